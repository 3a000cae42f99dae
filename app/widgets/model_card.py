"""A card of a model: what it is, how large, whether it can be run; it can be loaded, and its folder forgotten."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from app import theme
from app.widgets.named import quiet_button
from engine import ModelCard


def amount(number: int) -> str:
    """A count in the field's short form: 7.3M, 1.1B."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return str(number)


def size_words(count: int) -> str:
    """Bytes in words: 14.7 MB, 2.1 GB."""
    for size, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def facts(card: ModelCard) -> str:
    """Family, parameters, size, precision and context, as far as they are known."""
    parts = [card.family]
    if card.parameters:
        parts.append(f"{amount(card.parameters)} parameters")
    if card.bytes_on_disk:
        parts.append(size_words(card.bytes_on_disk))
    parts.append(card.precision)
    if card.context:
        parts.append(f"context {card.context:,}")
    if card.supported:
        parts.append("talks" if card.chat_template else "continues text")
    return " · ".join(part for part in parts if part)


class Card(QFrame):
    """load: its button was pressed. forget: its folder shall not be looked into any more."""

    load = Signal(str)
    forget = Signal()

    def __init__(self, card: ModelCard, current: bool, added: bool, parent: QWidget | None = None) -> None:
        """current: this model is loaded. added: the person added its folder."""
        super().__init__(parent)
        self.card = card
        self.setObjectName("card")
        self.setProperty("current", current)
        self.setAccessibleName(f"{card.name}, {facts(card)}")
        name = _words(card.name, "name")
        self.button = QPushButton("Loaded" if current else "Load")
        self.button.setAccessibleName(f"{card.name} is loaded" if current else f"Load {card.name}")
        self.button.setEnabled(card.supported and not current)
        self.button.clicked.connect(lambda: self.load.emit(card.path))
        head = QHBoxLayout()
        head.setSpacing(4)
        head.addWidget(name, 1)
        self.remove = quiet_button("modelForget", f"Remove {card.name} from this list")
        self.remove.setToolTip("Remove from this list. Nothing on the disk is touched.")
        self.remove.setIcon(theme.icon("x", 16, "muted"))
        self.remove.clicked.connect(self.forget)
        self.remove.setVisible(added)
        head.addWidget(self.remove)
        if card.supported:
            head.addWidget(self.button)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 8, 10)
        column.setSpacing(2)
        column.addLayout(head)
        column.addWidget(_words(facts(card), "caption"))
        if card.note:
            column.addWidget(_words(card.note, "caption"))
        if not card.supported:
            column.addWidget(_words(f"{card.reason} {card.hint}".strip(), "danger"))
        self.setToolTip(card.path)


def _words(text: str, role: str) -> QLabel:
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setProperty("role", role)
    return label
