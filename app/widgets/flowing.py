"""A read-only text as high as its content, for a page that scrolls as a whole: no scrollbar inside a scrollbar."""

from __future__ import annotations

from PySide6.QtCore import QSize, QSizeF, Qt
from PySide6.QtGui import QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QFrame, QSizePolicy, QTextBrowser, QWidget


class FlowingText(QTextBrowser):
    """Never opens a link itself and never fetches anything: anchorClicked says what was asked for."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setOpenLinks(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setTabChangesFocus(True)
        self.setMinimumWidth(40)
        self.setUndoRedoEnabled(False)
        self.viewport().setAutoFillBackground(False)
        self.document().setDocumentMargin(0)
        self.document().documentLayout().documentSizeChanged.connect(self._fit)
        self._height = 0

    def loadResource(self, kind: int, name: object) -> None:
        """Nothing in an answer may read a file or reach the network."""
        return None

    def sizeHint(self) -> QSize:
        return QSize(super().sizeHint().width(), self._height)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit(self.document().documentLayout().documentSize())

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()

    def _fit(self, size: QSizeF) -> None:
        height = max(1, round(size.height() + 0.49))
        if height != self._height:
            self._height = height
            self.setFixedHeight(height)
