"""The strip at the foot says when drafted tokens were right, and nothing of drafts while they are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtWidgets import QLabel, QWidget
from pytestqt.qtbot import QtBot

from app.panes.status import Pane
from app.state import State
from engine import Stats


def test_the_speed_tells_how_many_tokens_a_pass_gave(state: State, qtbot: QtBot) -> None:
    pane = Pane(state)
    qtbot.addWidget(pane)

    def shown(tokens_per_pass: float) -> QLabel:
        state.conversation.stats_changed.emit(Stats(1, 10, 100, 5, 42.0, tokens_per_pass))
        return found(pane, lambda label: label.text() == "42 tok/s")

    assert shown(1.0).toolTip() == ""
    speed = shown(2.34)
    assert speed.toolTip() == "2.3 tokens for each pass of the model: drafted ones were right"
    assert speed.accessibleDescription() == speed.toolTip()
    assert shown(1.04).toolTip() == ""


def found(pane: QWidget, fits: Callable[[Any], bool]) -> QLabel:
    (label,) = [label for label in pane.findChildren(QLabel) if fits(label)]
    return label
