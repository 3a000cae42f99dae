"""A field as high as its text, for a setting: what is typed counts once nobody types any more."""

from __future__ import annotations

from math import ceil

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QFocusEvent, QResizeEvent

from app.widgets.ask_text import TextField

PAUSE = 300  # milliseconds without a key before what is typed is taken


class SettledField(TextField):
    """A field whose text is taken once nobody types: after a pause, or when the keyboard goes elsewhere.

    least, most: pixels between which it is as high as its text.
    """

    settled = Signal()

    def __init__(self, name: str, words: str, hint: str, least: int = 64, most: int = 160) -> None:
        super().__init__(name, words, hint, least)
        self._least, self._most = least, most
        self.textChanged.connect(self._fit)
        self._pause = QTimer(self, singleShot=True, interval=PAUSE)
        self._pause.timeout.connect(self.settled)
        self.textChanged.connect(self._pause.start)
        self.submitted.connect(self.settle)

    def put(self, text: str) -> None:
        """Show another text, as if nobody had typed it."""
        if text != self.toPlainText():
            self.setPlainText(text)
        self._pause.stop()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        block, text = self.document().begin(), 0.0
        while block.isValid() and text < self._most:
            text += self.blockBoundingRect(block).height()
            block = block.next()
        frame = self.height() - self.viewport().height()
        high = ceil(text + 2 * self.document().documentMargin()) + max(frame, 8)
        self.setFixedHeight(min(max(self._least, high), self._most))

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.settle()

    def settle(self) -> None:
        """Take now what was typed, if that has not been done."""
        if self._pause.isActive():
            self._pause.stop()
            self.settled.emit()
