"""Files that are dragged in: which they are, and text fields that leave them to the window."""

from __future__ import annotations

from PySide6.QtCore import QMimeData
from PySide6.QtGui import QDragEnterEvent
from PySide6.QtWidgets import QPlainTextEdit


def files_of(data: QMimeData) -> list[str]:
    """The paths of the files and folders of this machine, as a file manager hands them over."""
    return [url.toLocalFile() for url in data.urls() if url.isLocalFile()]


class TextEdit(QPlainTextEdit):
    """A field for text that can be dragged in; a file is none, and goes on to what lies behind."""

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if files_of(event.mimeData()):
            event.ignore()
        else:
            super().dragEnterEvent(event)
