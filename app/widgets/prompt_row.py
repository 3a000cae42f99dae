"""A setting that is one text of several lines, such as the prompt that guidance keeps away from."""

from __future__ import annotations

from app.widgets.settled_field import SettledField
from app.widgets.text_row import TextRow, words_of


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
