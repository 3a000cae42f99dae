"""A row for every adapter that the model can take: how strongly it is on. Not there where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QToolButton, QVBoxLayout, QWidget

from app.widgets.adapter_card import adapter_facts
from app.widgets.form import NumberRow, Section
from engine import AdapterCard, AdapterUse

KNOB = AdapterUse.table()[0]
HELP = f"{KNOB.help} It counts from the next answer on."
FEW = 3
"""So many begin unfolded."""


class AdapterRows(QWidget):
    """weighed: the path of an adapter, and how strongly it is to be on; 0 for not at all."""

    weighed = Signal(str, float)

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, NumberRow] = {}
        self._cards: Sequence[AdapterCard] = ()
        self._section = Section("Adapters", True)
        assert isinstance(self._section.heading, QToolButton)
        self.fold = self._section.heading
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 12)
        column.addWidget(self._section)
        self.hide()

    def show_adapters(self, cards: Sequence[AdapterCard], weights: Sequence[float]) -> None:
        """Those that fit, and how strongly each is on."""
        if list(cards) != list(self._cards):
            self._make(cards)
        for row, weight in zip(self.rows.values(), weights):
            if row.value != weight:
                row.set_value(weight)
        self.setVisible(bool(cards))
        self._section.refresh()

    def _make(self, cards: Sequence[AdapterCard]) -> None:
        for row in self.rows.values():
            row.hide()
            row.deleteLater()
        self._cards = tuple(cards)
        self.rows = {card.path: self._make_row(card) for card in cards}
        self._section.rows[:] = self.rows.values()
        for row in self.rows.values():
            self._section.body.addWidget(row)
        self.fold.setChecked(len(cards) <= FEW)

    def _make_row(self, card: AdapterCard) -> NumberRow:
        row = NumberRow(replace(KNOB, name=f"adapter-{card.name}", label=card.name, default=0.0, help=HELP))
        row.label.setToolTip(f"{adapter_facts(card)}\n{card.path}")
        row.set_baseline(KNOB.default, False)
        row.set_value(0.0)
        row.changed.connect(partial(self.weighed.emit, card.path))
        row.reset.connect(partial(self.weighed.emit, card.path, KNOB.default))
        return row
