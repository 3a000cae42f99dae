"""A setting that is one text of several lines, such as the prompt that guidance keeps away from."""

from __future__ import annotations

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QFocusEvent

from app.widgets.ask_text import TextField
from app.widgets.text_row import PAUSE, TextRow, words_of


class SettledField(TextField):
    """A field whose text is taken once nobody types: after a pause, or when the keyboard goes elsewhere."""

    settled = Signal()

    def __init__(self, name: str, words: str, hint: str, height: int = 64) -> None:
        super().__init__(name, words, hint, height)
        self._pause = QTimer(self, singleShot=True, interval=PAUSE)
        self._pause.timeout.connect(self.settled)
        self.textChanged.connect(self._pause.start)
        self.submitted.connect(self._settle)

    def put(self, text: str) -> None:
        """Show another text, as if nobody had typed it."""
        if text != self.toPlainText():
            self.setPlainText(text)
        self._pause.stop()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._settle()

    def _settle(self) -> None:
        if self._pause.isActive():
            self._pause.stop()
            self.settled.emit()


class PromptRow(TextRow):
    """The setting. Its value: the text."""

    def __init__(self, name: str, hint: str) -> None:
        super().__init__(words_of(name), "")
        self.field = SettledField(f"{name}Text", self.knob.label, hint)
        self.field.settled.connect(self._take)
        self.column.addWidget(self.field)

    def set_value(self, value: str) -> None:
        super().set_value(value)
        self.field.put(value)

    def _take(self) -> None:
        text = self.field.toPlainText()
        if text != self.value:
            self.value = text
            self.changed.emit(text)
