"""The strip at the foot: when drafted tokens were right, and how full the context of the chat in view is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtWidgets import QLabel, QWidget
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.panes.status import Pane
from app.state import State
from engine import Chat, Stats, StoredMessage
from fakes import FakeEngine, a_model


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


def test_the_context_is_that_of_the_chat_in_view(state: State, bridge: Bridge, fake: FakeEngine, qtbot: QtBot) -> None:
    fake.chats["c"] = Chat("c", "Rivers", leaf="m")
    fake.messages["m"] = StoredMessage("m", "c", "", "user", "Hi")
    bridge.start()
    state.workspace._show_model(a_model(context=1024))
    pane = Pane(state)
    qtbot.addWidget(pane)
    used = found(pane, lambda label: label.text() == "context 0 / 1,024")
    state.conversation.stats_changed.emit(Stats(1, 264, 1024, 10, 42.0))
    assert used.text() == "context 264 / 1,024"
    state.conversation.open("c")
    qtbot.waitUntil(lambda: used.text() == "context ? / 1,024")
    assert used.toolTip() and not any(label.text() == "42 tok/s" for label in pane.findChildren(QLabel))
    state.conversation.new_chat()
    assert (used.text(), used.toolTip()) == ("context 0 / 1,024", "")


def found(pane: QWidget, fits: Callable[[Any], bool]) -> QLabel:
    (label,) = [label for label in pane.findChildren(QLabel) if fits(label)]
    return label
