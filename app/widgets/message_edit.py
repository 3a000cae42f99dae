"""The editor that stands in a message's place while its words are changed."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from app.widgets.named import named


class MessageEdit(QWidget):
    """The text to change. finished: the new text, "" for cancel, and whether it is to be answered."""

    finished = Signal(str, bool)

    def __init__(self, text: str, primary: str, can_save: bool) -> None:
        super().__init__()
        self._answers = can_save
        self._text = named(QPlainTextEdit(text, tabChangesFocus=True), "messageEdit")
        self._text.setAccessibleName("Edit the message")
        self._text.setFixedHeight(max(72, min(320, (text.count("\n") + len(text) // 70 + 2) * 24)))
        self._text.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        row = QHBoxLayout()
        row.addStretch(1)
        for words, name, slot in (
            ("Cancel", "editCancel", self._cancel),
            ("Save", "editSave", self._save),
            (primary, "primary", self._send),
        ):
            if name == "editSave" and not can_save:
                continue
            button = named(QPushButton(words), name)
            button.setAccessibleName(words)
            button.clicked.connect(slot)
            row.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._text)
        column.addLayout(row)
        self._text.installEventFilter(self)
        self._text.setFocus()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.KeyPress and event.key() == Qt.Key.Key_Escape:  # type: ignore[attr-defined]
            self._cancel()
            return True
        if event.type() == QEvent.Type.ShortcutOverride and event.key() == Qt.Key.Key_Escape:  # type: ignore[attr-defined]
            event.accept()
            return True
        return super().eventFilter(watched, event)

    def _cancel(self) -> None:
        self.finished.emit("", False)

    def _save(self) -> None:
        self.finished.emit(self._text.toPlainText(), False)

    def _send(self) -> None:
        self.finished.emit(self._text.toPlainText(), self._answers)
