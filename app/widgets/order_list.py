"""The order of the sampling steps, moved up and down one place at a time, or taken whole from a known program."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from app import theme
from app.widgets.named import named, quiet_button
from engine import STEPS, TRANSFORMERS_ORDER, SamplingParams

KNOWN = {"llama.cpp": STEPS, "transformers": TRANSFORMERS_ORDER}
OWN = "Own order"


def step_words(step: str) -> str:
    """A step as people say it."""
    labels = {knob.name: knob.label for knob in SamplingParams.table()}
    return labels.get(step, step.replace("_", " ").capitalize())


class OrderList(QWidget):
    """changed: the whole order, as a tuple."""

    changed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._order: tuple[str, ...] = STEPS
        title = QLabel("Order of the steps")
        title.setToolTip("The same values give other text in another order. Each answer keeps the one it used.")
        self.known = named(QComboBox(), "orderKnown", "Order of the steps")
        self.known.addItems([*KNOWN, OWN])
        self.known.setMinimumWidth(96)
        self.known.activated.connect(self._take_known)
        head = QHBoxLayout()
        head.addWidget(title, 1)
        head.addWidget(self.known)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.setSpacing(2)
        column.addLayout(head)
        self.names: list[QLabel] = []
        self.movers: list[tuple[QToolButton, QToolButton]] = []
        for place in range(len(STEPS)):
            column.addLayout(self._row(place))
        theme.theme_changed.connect(self._tint)
        self._tint()
        self._show()

    def set_order(self, order: tuple[str, ...]) -> None:
        """Show this order, without a signal."""
        self._order = order
        self._show()

    def _row(self, place: int) -> QHBoxLayout:
        number, name = QLabel(str(place + 1)), QLabel()
        number.setProperty("role", "caption")
        number.setFixedWidth(16)
        number.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        up, down = quiet_button(f"up-{place}", "Move up", 24), quiet_button(f"down-{place}", "Move down", 24)
        up.clicked.connect(lambda: self._move(place, -1))
        down.clicked.connect(lambda: self._move(place, 1))
        up.setEnabled(place > 0)
        down.setEnabled(place < len(STEPS) - 1)
        self.names.append(name)
        self.movers.append((up, down))
        row = QHBoxLayout()
        row.setSpacing(8)
        for widget, stretch in ((number, 0), (name, 1), (up, 0), (down, 0)):
            row.addWidget(widget, stretch)
        return row

    def _show(self) -> None:
        for label, (up, down), step in zip(self.names, self.movers, self._order):
            label.setText(step_words(step))
            up.setAccessibleName(f"Move {step_words(step)} up")
            down.setAccessibleName(f"Move {step_words(step)} down")
        self.known.setCurrentText(next((name for name, order in KNOWN.items() if order == self._order), OWN))

    def _move(self, place: int, by: int) -> None:
        order = list(self._order)
        order[place], order[place + by] = order[place + by], order[place]
        self._set(tuple(order))

    def _take_known(self) -> None:
        self._set(KNOWN.get(self.known.currentText(), self._order))

    def _set(self, order: tuple[str, ...]) -> None:
        self.set_order(order)
        self.changed.emit(order)

    def _tint(self, *_: object) -> None:
        for up, down in self.movers:
            up.setIcon(theme.icon("chevron-up", 16, "muted"))
            down.setIcon(theme.icon("chevron-down", 16, "muted"))
