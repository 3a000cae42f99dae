"""A text whose stretches are coloured by how differently two models find them, with the legend and the table beside it.

Blue where the second model finds it likelier, orange where the first does, the page's own colour where they agree.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QColor, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from app import theme
from app.widgets.ink import current_ink
from app.widgets.long_text import LongText
from app.widgets.named import named
from app.widgets.pieces import visible
from app.widgets.row_table import RowTable
from app.widgets.scales import Scale, ScaleLegend
from app.widgets.token_text import light

MOST_BITS = 8.0
AT_ONCE = 100  # stretches painted between two frames
HEAD = ("Text", "First, bits", "Second, bits", "Difference")


class DifferenceScale(Scale):
    """Blue below 0, orange above."""

    def color(self, value: float) -> QColor:
        return theme.difference_color(value / self.high)


class DifferenceText(QWidget):
    """What is shown: a text, what it surprises the first model by and the second, in bits."""

    def __init__(self, size: int) -> None:
        """size: of the text, in pixels."""
        super().__init__()
        self._size = size
        self._stretches: Sequence[tuple[str, float, float]] = ()
        self._painted = 0
        self._more = QTimer(self, singleShot=True, interval=0)
        self._more.timeout.connect(self._go_on)
        self.scale = DifferenceScale("Second minus first, bits: orange is less likely", -MOST_BITS, MOST_BITS, "signed")
        self.words = QLabel(wordWrap=True)
        self.words.setProperty("role", "heading")
        self.text = named(LongText(), "differenceText", "The text, coloured by the difference of two models")
        self.text.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        legend = ScaleLegend()
        legend.set_scale(self.scale)
        self.table = RowTable("differenceTable", "The difference of two models, stretch by stretch", HEAD, (0,))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 8, 0, 0)
        column.setSpacing(6)
        for part in (self.words, self.text, legend, self.table):
            column.addWidget(part)
        theme.theme_changed.connect(self._paint)

    def show_stretches(self, stretches: Sequence[tuple[str, float, float]], words: str) -> None:
        """words: whose they are."""
        self._stretches = stretches
        self.words.setText(words)
        self.table.put(stretches, _cells)
        self._paint()

    def _paint(self, *_: object) -> None:
        self.text.document().clear()
        self.text.forget_seams()
        self._painted = 0
        self._go_on()

    def _go_on(self) -> None:
        """Some more of the text; the rest between two frames."""
        plain = current_ink(self._size).text_format()
        cursor = QTextCursor(self.text.document())
        cursor.beginEditBlock()
        cursor.movePosition(QTextCursor.MoveOperation.End)
        for text, first, second in self._stretches[self._painted : self._painted + AT_ONCE]:
            form, ground = QTextCharFormat(plain), self.scale.color(second - first)
            form.setBackground(ground)
            form.setForeground(QColor("#10151B") if light(ground) else QColor("#FFFFFF"))
            form.setToolTip(f"{first:.2f} and {second:.2f} bits")
            cursor.insertText(text, form)
        cursor.endEditBlock()
        self.text.part_later()
        self._painted += AT_ONCE
        if self._painted < len(self._stretches):
            self._more.start()


def _cells(stretch: tuple[str, float, float]) -> tuple[str, ...]:
    """A stretch as a row of the table."""
    text, first, second = stretch
    numbers = (f"{bits:.2f}" for bits in (first, second, round(second - first, 2) + 0.0))
    return visible(text, 40), *(number.replace("-", "\N{MINUS SIGN}") for number in numbers)
