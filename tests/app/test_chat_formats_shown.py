"""A format that stands in for a missing chat template is named where one chats and where one chooses a model."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from app.panes.chat import Pane
from app.state import State
from app.widgets.model_card import facts
from engine import Done, Loaded, ModelCard
from fakes import FakeEngine, a_model


@pytest.mark.parametrize(("chat_format", "shown"), [("ChatML", True), ("", False)])
def test_the_header_names_the_format_that_stands_in(
    state: State, fake: FakeEngine, qtbot: QtBot, chat_format: str, shown: bool
) -> None:
    pane = Pane(state)
    qtbot.addWidget(pane)
    run = state.workspace.load("tuned")
    fake.play(run.id, [Loaded(0, a_model(name="Tuned", chat_format=chat_format)), Done(0)])
    qtbot.waitUntil(lambda: pane.header._name == "Tuned")
    words = "Tuned has no chat template of its own: ChatML's is used, as its special tokens show."
    assert pane.header._why.text() == (words if shown else "")
    assert pane.header._why.isVisibleTo(pane) is shown and pane.header.chat_button.isEnabled()


def test_a_card_names_the_format() -> None:
    card = ModelCard("tuned", "Tuned", supported=True, chat_template=True, chat_format="ChatML")
    assert facts(card).endswith("chats as ChatML")
