"""Two buttons side by side of which one is down: a choice between two views of one thing."""

from __future__ import annotations

from PySide6.QtWidgets import QPushButton

from app.widgets.named import toggle_button


def segments(first: str, second: str) -> tuple[QPushButton, QPushButton]:
    """The buttons, the first down to begin with; to lay them out without a space is the owner's."""
    left, right = toggle_button("segmentLeft", first), toggle_button("segmentRight", second)
    left.setChecked(True)
    left.toggled.connect(lambda on: right.setChecked(not on))
    right.toggled.connect(lambda on: left.setChecked(not on))
    return left, right
