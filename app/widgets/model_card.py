"""One model of this machine as a card: what it is, how large, whether it can be run, and what to do with it."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout

from app import theme
from app.widgets.named import named
from engine import ModelCard


def amount(number: int) -> str:
    """A count in the field's short form: 7.3M, 1.1B."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return str(number)


def size_words(count: int) -> str:
    """Bytes in decimal units, as download pages count them: 14.7 MB, 2.1 GB."""
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
        chats = f"chats as {card.chat_format}" if card.chat_format else "chats"
        parts.append(chats if card.chat_template else "continues text")
    return " · ".join(part for part in parts if part)


class Card(QFrame):
    """load: its path, the button was pressed. unload: the same for the model in use."""

    load = Signal(str)
    unload = Signal()

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        self.card = card
        self.current = self.loading = False
        self.setObjectName("card")
        self.setToolTip(card.path)
        self._mark = QLabel()
        self._state = words("", "caption", wrap=False)
        self.button = named(QPushButton("Load"), "cardButton")
        self.button.clicked.connect(self._act)
        head = QHBoxLayout()
        head.setSpacing(6)
        head.addWidget(words(card.name, "name"), 1)
        for widget in (self._mark, self._state, self.button):
            head.addWidget(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 8, 10)
        column.setSpacing(4)
        column.addLayout(head)
        for text in (facts(card), card.note):
            if text:
                column.addWidget(words(text, "caption"))
        self._runs = words("", "caption")
        column.addWidget(self._runs)
        self._warning = QLabel()
        if not card.supported:
            row = QHBoxLayout()
            row.setSpacing(6)
            row.addWidget(self._warning, 0, Qt.AlignmentFlag.AlignTop)
            row.addWidget(words(f"{card.reason} {card.hint}".strip(), ""), 1)
            column.addLayout(row)
        theme.theme_changed.connect(self._tint)
        self._tint()
        self.show_state(False, False)

    def show_state(self, current: bool, loading: bool, runs: str = "") -> None:
        """Whether this is the model in use, and whether it is being loaded. runs: how the one in use runs, and why."""
        self.current, self.loading = current, loading
        state = "Loading" if loading else "In use" if current else ""
        self._state.setText(state)
        self._state.setVisible(bool(state))
        self._mark.setVisible(current and not loading)
        self._runs.setText(runs)
        self._runs.setVisible(bool(runs))
        self.button.setText("Unload" if current else "Load")
        self.button.setAccessibleName(f"{self.button.text()} {self.card.name}")
        self.button.setVisible((self.card.supported or current) and not loading)
        usable = "" if self.card.supported else f"cannot be run: {self.card.reason}"
        spoken = (self.card.name, state.lower(), facts(self.card), usable, runs)
        self.setAccessibleName(", ".join(part for part in spoken if part))
        if self.property("current") != current:
            self.setProperty("current", current)
            self.style().unpolish(self)
            self.style().polish(self)

    def _act(self) -> None:
        if self.current:
            self.unload.emit()
        else:
            self.load.emit(self.card.path)

    def _tint(self, *_: object) -> None:
        self._mark.setPixmap(theme.icon("check", 16, "accent").pixmap(16))
        self._warning.setPixmap(theme.icon("triangle-alert", 16, "warning").pixmap(16))


def words(text: str, role: str, wrap: bool = True) -> QLabel:
    """A label of plain text in one of the style sheet's roles."""
    label = QLabel(text, textFormat=Qt.TextFormat.PlainText, wordWrap=wrap)
    label.setProperty("role", role)
    return label
