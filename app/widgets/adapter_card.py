"""One adapter of this machine as a card: what it was trained on, its size, whether it fits, and whether it is on."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout

from app import theme
from app.widgets.model_card import size_words, words
from app.widgets.named import named
from engine import AdapterCard


def adapter_facts(card: AdapterCard) -> str:
    """What it is for, its rank and its size, as far as they are known."""
    parts = [f"Adapter for {card.base}" if card.base else "Adapter"]
    if card.rank:
        parts.append(f"rank {card.rank}")
    if card.bytes_on_disk:
        parts.append(size_words(card.bytes_on_disk))
    return " · ".join(parts)


class AdapterView(QFrame):
    """used: whether it is to be on."""

    used = Signal(bool)

    def __init__(self, card: AdapterCard) -> None:
        super().__init__()
        self.card = card
        self._on = False
        self.setObjectName("card")
        self.setToolTip(card.path)
        self._mark, self._state = QLabel(), words("", "caption", wrap=False)
        self.button = named(QPushButton("Use"), "adapterButton")
        self.button.clicked.connect(lambda: self.used.emit(not self._on))
        head = QHBoxLayout()
        head.setSpacing(6)
        head.addWidget(words(card.name, "caption" if card.reason else "name"), 1)
        for widget in (self._mark, self._state, self.button):
            head.addWidget(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 8, 10)
        column.setSpacing(4)
        column.addLayout(head)
        column.addWidget(words(adapter_facts(card), "caption"))
        self._warning = QLabel()
        if card.reason:
            row = QHBoxLayout()
            row.setSpacing(6)
            row.addWidget(self._warning, 0, Qt.AlignmentFlag.AlignTop)
            row.addWidget(words(f"{card.reason} {card.hint}".strip(), "caption"), 1)
            column.addLayout(row)
        theme.theme_changed.connect(self._tint)
        self._tint()
        self.show_weight(0.0, False)

    def show_weight(self, weight: float, usable: bool) -> None:
        """How strongly it is on, 0 for off. usable: there is a model to use it with."""
        self._on = bool(weight)
        state = f"On at {weight:g}" if weight else ""
        self._state.setText(state)
        self._state.setVisible(self._on)
        self._mark.setVisible(self._on)
        self.button.setText("Switch off" if self._on else "Use")
        self.button.setAccessibleName(f"{self.button.text()} {self.card.name}")
        self.button.setVisible(usable and not self.card.reason)
        fits = f"does not fit: {self.card.reason}" if self.card.reason else ""
        spoken = (self.card.name, adapter_facts(self.card), state.lower(), fits)
        self.setAccessibleName(", ".join(part for part in spoken if part))

    def _tint(self, *_: object) -> None:
        self._mark.setPixmap(theme.icon("check", 16, "accent").pixmap(16))
        self._warning.setPixmap(theme.icon("triangle-alert", 16, "muted").pixmap(16))
