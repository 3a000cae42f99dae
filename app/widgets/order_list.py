"""The order of the sampling steps: drawn with the mouse, moved a place at a time, or taken from a known program."""

from __future__ import annotations

from functools import cache

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from app import theme
from app.widgets.choice_box import ChoiceBox
from app.widgets.named import named, quiet_button
from engine import STEPS, TRANSFORMERS_ORDER, SamplingParams

KNOWN = {"llama.cpp": STEPS, "transformers": TRANSFORMERS_ORDER}
OWN = "Own order"
ABBREVIATED = ("dry", "xtc")


@cache  # asked for with every candidate that is drawn
def step_words(step: str) -> str:
    """A step as people say it."""
    if step in ABBREVIATED:
        return step.upper()
    labels = {knob.name: knob.label for knob in SamplingParams.table()}
    return labels.get(step, step.replace("_", " ").capitalize())


class _Name(QLabel):
    """A step that can be drawn to another place. drawn: how far down from its top the pointer is, and whether it was
    let go there."""

    drawn = Signal(int, bool)

    def __init__(self) -> None:
        super().__init__()
        self.setCursor(Qt.CursorShape.OpenHandCursor)
        self.setToolTip("Draw it to another place")

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self.setCursor(Qt.CursorShape.ClosedHandCursor)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.drawn.emit(round(event.position().y()), False)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self.setCursor(Qt.CursorShape.OpenHandCursor)
            self.drawn.emit(round(event.position().y()), True)


class OrderList(QWidget):
    """changed: the whole order, as a tuple."""

    changed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._order: tuple[str, ...] = STEPS
        title = QLabel("Order of the steps")
        title.setToolTip("The same values give other text in another order. Each answer keeps the one it used.")
        self.known = named(ChoiceBox(), "orderKnown", "Order of the steps")
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
        self.names: list[_Name] = []
        self._goal = -1  # before which place a step that is being drawn would go
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
        number, name = QLabel(str(place + 1)), _Name()
        name.drawn.connect(lambda down, let_go: self._draw(place, down, let_go))
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

    def _draw(self, place: int, down: int, let_go: bool) -> None:
        """Show where the step would go, or put it there."""
        y = self.names[place].y() + down
        goal = sum(y > name.geometry().center().y() for name in self.names)
        self._goal = -1 if let_go or goal in (place, place + 1) else goal
        self.update()
        if let_go and goal not in (place, place + 1):
            order = list(self._order)
            step = order.pop(place)
            order.insert(goal - (goal > place), step)
            self._set(tuple(order))

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self._goal >= 0:
            at_end = self._goal == len(self.names)
            accent = QColor(theme.current().accent)
            box = self.names[self._goal - at_end].geometry()
            QPainter(self).fillRect(0, box.bottom() + 1 if at_end else box.top() - 2, self.width(), 2, accent)

    def _take_known(self) -> None:
        self._set(KNOWN.get(self.known.currentText(), self._order))

    def _set(self, order: tuple[str, ...]) -> None:
        self.set_order(order)
        self.changed.emit(order)

    def _tint(self, *_: object) -> None:
        for up, down in self.movers:
            up.setIcon(theme.icon("chevron-up", 16, "muted"))
            down.setIcon(theme.icon("chevron-down", 16, "muted"))
