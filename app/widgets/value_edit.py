"""A number that is edited in place: shown like text, typed like text, stepped with the arrow keys."""

from __future__ import annotations

import math

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent
from PySide6.QtWidgets import QLineEdit, QWidget

from engine import Param


class ValueEdit(QLineEdit):
    """changed: a valid number that was typed or stepped to. What cannot be read goes back to what it was."""

    changed = Signal(float)

    def __init__(self, knob: Param, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._knob = knob
        self._number: float = knob.default
        self.setProperty("kind", "value")
        self.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.setAccessibleName(f"{knob.label}, value")
        self.setToolTip(f"From {self.words(knob.low)} to {self.words(knob.high)}{self._off_words()}")
        self.editingFinished.connect(self._take)
        self.returnPressed.connect(self._take)  # so that whoever waits for Return finds the number taken
        self._show()

    @property
    def number(self) -> float:
        return self._number

    def words(self, number: float | None) -> str:
        """A number as it is shown: with as many decimals as the step has."""
        if number is None or isinstance(self._knob.default, int):
            return f"{number or 0:.0f}"
        decimals = max(0, -math.floor(math.log10(self._knob.step or 1) + 1e-9))
        return f"{number:.{decimals}f}"

    def set_number(self, number: float) -> None:
        """Show a value, without a signal."""
        self._number = number
        self._show()

    def _off_words(self) -> str:
        return "" if self._knob.off is None else f". {self.words(self._knob.off)} switches it off."

    def _show(self) -> None:
        off = self._number == self._knob.off
        meaning = "off" if off else self._knob.lowest if self._number == self._knob.low else ""
        text = self.words(self._number)
        self.setText(f"{text}  {meaning}" if meaning and not self.hasFocus() else text)
        if self.property("off") != off:
            self.setProperty("off", off)
            self.style().unpolish(self)
            self.style().polish(self)

    def _take(self) -> None:
        text = self.text().strip().lower().replace(",", ".").removesuffix("off").strip()
        if self._knob.lowest:
            text = text.removesuffix(self._knob.lowest).strip() or self.words(self._knob.low)
        try:
            number = float(text) if text else self._knob.off
        except ValueError:
            number = None
        if number is not None and math.isfinite(number):
            self._set(number)
        self._show()

    def _set(self, number: float) -> None:
        low = self._knob.low if self._knob.low is not None else -math.inf
        high = self._knob.high if self._knob.high is not None else math.inf
        number = min(max(number, low), high)
        number = int(number) if isinstance(self._knob.default, int) else round(number, 6)
        if number != self._number:
            self._number = number
            self.changed.emit(number)
        self._show()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {Qt.Key.Key_Up: 1, Qt.Key.Key_Down: -1, Qt.Key.Key_PageUp: 10, Qt.Key.Key_PageDown: -10}
        key = Qt.Key(event.key())
        if key in steps:
            self._take()
            self._set(self._number + steps[key] * (self._knob.step or 1))
        elif key == Qt.Key.Key_Escape and self.text() != self.words(self._number):
            self._show()
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self._show()
        self.selectAll()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._show()
