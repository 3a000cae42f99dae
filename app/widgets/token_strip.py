"""An answer as its tokens: the coloured text, what its colours mean, and the token in focus in words.

It knows records, not where they come from. What the colours mean can be chosen; a readout line says it in numbers, and
a table says all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from app.widgets.elided import Elided
from app.widgets.ink import Ink
from app.widgets.named import named, toggle_button
from app.widgets.row_table import RowTable
from app.widgets.token_scales import SCALES, TokenLegend, choice
from app.widgets.token_text import TokenText
from app.widgets.token_words import HEAD, cells, describe
from engine import TokenRecord

HELP = "Choose a token; Enter shows what else it could have been."
KEYS = "A wave marks tokens that these settings would have drawn otherwise, dots those that are uncertain."


class TokenStrip(QWidget):
    """Coloured text, the readout of the token in focus, and the legend. focused: index of the token chosen.

    replaced: index of a token, and the id of the candidate wanted in its place.
    """

    focused = Signal(int)
    replaced = Signal(int, int)

    def __init__(self, ink: Ink, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._records: list[TokenRecord] = []
        self._before = ""
        self.text = TokenText(ink)
        self.text.focused.connect(self.focused)
        self.text.replaced.connect(self.replaced)
        self._readout = named(Elided(), "caption")
        self._readout.setText(HELP)
        self._readout.setAccessibleName("The token in focus")
        self._readout.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.scales = named(QComboBox(), "tokenScale", "What the colours mean")
        self.scales.addItems(list(SCALES))
        self.scales.setMinimumWidth(64)  # a narrow column must not be widened
        self.scales.textActivated.connect(choice.choose)
        self._legend = TokenLegend()
        self.as_table = toggle_button("tokensTable", "Table")
        self.as_table.setToolTip("The tokens as a table")
        self.as_table.toggled.connect(self._show_table)
        self.table: RowTable | None = None  # made when it is first asked for: a chat has many strips
        self._keys = named(QLabel(KEYS, wordWrap=True), "caption")
        self._keys.hide()
        row = QHBoxLayout()
        row.addWidget(self.scales)
        row.addWidget(self._legend)
        row.addStretch(1)
        line = QHBoxLayout()
        line.addWidget(self._readout, 1)
        line.addStretch()
        line.addWidget(self.as_table)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.text)
        column.addLayout(line)
        column.addLayout(row)
        column.addWidget(self._keys)
        choice.changed.connect(self._show_scale)
        self._show_scale()

    def _show_table(self, shown: bool) -> None:
        """The tokens as rows in the coloured text's place."""
        if self.table is None:
            self.table = RowTable("tokenTable", f"{self.text.accessibleName()} as a table", HEAD, (0,))
            column = self.layout()
            assert isinstance(column, QVBoxLayout)
            column.insertWidget(1, self.table)
        self._fill_table()
        self.table.setVisible(shown)
        self.text.setVisible(not shown)
        self._readout.setVisible(not shown)

    def _fill_table(self) -> None:
        if self.table is not None and self.as_table.isChecked():
            self.table.put(tuple(self._records), cells)

    def set_branching(self, on: bool) -> None:
        """Whether another token can be taken in one's place."""
        self.text.branching = on

    def _show_scale(self, *_: object) -> None:
        self.scales.setCurrentText(choice.scale.name)
        self.scales.setToolTip(choice.scale.help)
        self._legend.set_scale(choice.scale)
        self.text.set_scale(choice.scale)

    def show_marks(self, changed: Sequence[bool], uncertain: Sequence[bool], words: str = "") -> None:
        """Mark what other settings would have drawn otherwise, and say in words how much it is."""
        marked = any(changed) or any(uncertain)
        self._keys.setText(f"{words} {KEYS}" if marked else words)
        self._keys.setVisible(bool(self._keys.text()))
        self.text.show_marks(changed, uncertain)

    @property
    def count(self) -> int:
        return len(self._records)

    def append(self, records: Sequence[TokenRecord]) -> None:
        self._records.extend(records)
        self.text.add_tokens(records)
        self._fill_table()

    def set(self, records: Sequence[TokenRecord], before: str = "") -> None:
        """before: the text that they continue."""
        self._records.clear()
        self._before = before
        self.text.start(before)
        self.append(records)

    def grows_into(self, records: Sequence[TokenRecord], before: str = "") -> bool:
        """Whether these are the tokens shown and some more."""
        if not 0 < self.count < len(records) or self._before != before:
            return False
        return self._records[0] is records[0] and self._records[-1] is records[self.count - 1]

    def shows(self, records: Sequence[TokenRecord]) -> bool:
        """Whether these are the tokens shown. Those of two versions differ from one of them on, so the last tells."""
        return len(records) == self.count and (not records or self._records[-1] is records[-1])

    def show_focus(self, index: int) -> None:
        self.text.show_focus(index)
        if 0 <= index < len(self._records):
            self._readout.setText(describe(self._records[index]))
