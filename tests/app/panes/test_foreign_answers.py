"""Attention and Inside over an answer whose model is not loaded: a sentence which to load, and nothing to press."""

from __future__ import annotations

import pytest
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.panes import attention, inside
from app.state import State
from engine import Attend, Lens, Prompt
from fakes import FakeEngine, a_model, a_record

WORDS = "This answer was written by Two: load it, as the model or as the second one, to read it again."


@pytest.mark.parametrize("kind", [attention.Pane, inside.Pane])
def test_it_names_the_model_and_asks_no_other(
    state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot, kind: type[QWidget]
) -> None:
    state.workspace._show_model(a_model(name="One"))
    fake.records["m"] = tuple(a_record(3 + n, f" w{n}") for n in range(3))
    pane = kind(state)  # type: ignore[call-arg]
    qtbot.addWidget(pane)
    pane.resize(420, 480)
    pane.show()
    state.captures.set_context("m", Prompt(ids=(1, 2, 3)), "Two")
    state.captures.want("m")
    bridge.deliver()
    reader = pane.reader if isinstance(pane, attention.Pane) else pane.lens.reader  # type: ignore[attr-defined]
    qtbot.waitUntil(lambda: reader.words.text() == WORDS)
    assert reader.isVisible() and not reader.button.isVisible()
    assert not fake.given(Attend) and not fake.given(Lens)
    state.workspace._show_model(a_model(name="Two"))
    qtbot.waitUntil(lambda: bool(fake.given(Attend) or fake.given(Lens)))
