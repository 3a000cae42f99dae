"""Two buttons side by side of which one is down: a choice between two views of one thing."""

from __future__ import annotations

from PySide6.QtGui import QFont, QFontMetrics
from PySide6.QtWidgets import QPushButton

from app.widgets.named import toggle_button


def segments(first: str, second: str) -> tuple[QPushButton, QPushButton]:
    """The buttons, the first down to begin with; to lay them out without a space is the owner's."""
    left, right = toggle_button("segmentLeft", first), toggle_button("segmentRight", second)
    for button in (left, right):
        _make_room(button)
    left.setChecked(True)
    left.toggled.connect(lambda on: right.setChecked(not on))
    right.toggled.connect(lambda on: left.setChecked(not on))
    return left, right


def _make_room(button: QPushButton) -> None:
    """Have room for the bolder letters of the one that is down, which Qt does not count in."""
    button.ensurePolished()
    bold = QFont(button.font())
    bold.setWeight(QFont.Weight.DemiBold)
    plain, down = (QFontMetrics(font).horizontalAdvance(button.text()) for font in (button.font(), bold))
    button.setMinimumWidth(button.sizeHint().width() + max(0, down - plain))
