"""A model that does not chat: what the chat, the header and the window make of it."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from app.state import State
from app.widgets.model_card import facts
from app.window import Window
from engine import Done, Generate, Loaded, ModelCard
from fakes import FakeEngine, a_model


@pytest.fixture
def window(state: State, qtbot: QtBot) -> Window:
    window = Window(state)
    qtbot.addWidget(window)
    window.resize(1280, 800)
    with qtbot.waitSignal(window.painted):
        window.show()
    return window


def load(state: State, fake: FakeEngine, qtbot: QtBot, kind: str, template: bool = False) -> None:
    run = state.workspace.load("x")
    fake.play(run.id, [Loaded(0, a_model(kind=kind, chat_template=template)), Done(0)])
    qtbot.waitUntil(lambda: state.workspace.info is not None and state.workspace.info.kind == kind)


@pytest.mark.parametrize("kind", ["encoder", "encoder-decoder"])
def test_a_model_that_does_not_chat_says_so_and_offers_the_playground(
    window: Window, state: State, fake: FakeEngine, qtbot: QtBot, kind: str
) -> None:
    load(state, fake, qtbot, kind)
    assert window.chat._welcome.isVisible() and not window.chat.composer.isVisible()
    assert not window.chat.header.chat_button.isEnabled() and not window.chat.header.complete_button.isEnabled()
    assert f"is an {kind}" in window.chat.header._why.text()
    assert window.docks["playground"].pane is None
    window.chat._welcome.action.click()
    qtbot.waitUntil(lambda: window.docks["playground"].isVisible())
    load(state, fake, qtbot, "decoder", template=True)
    assert window.chat.composer.isVisible() and not window.chat._welcome.action.isVisible()


def test_the_line_that_names_the_playground_leads_there(
    window: Window, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    load(state, fake, qtbot, "encoder")
    why = window.chat.header._why
    assert '<a href="playground">Playground</a>' in why.text()
    assert why.textInteractionFlags() & Qt.TextInteractionFlag.LinksAccessibleByKeyboard
    why.linkActivated.emit("playground")
    qtbot.waitUntil(lambda: window.docks["playground"].isVisible())


@pytest.mark.parametrize(
    ("kind", "does"),
    [("decoder", "continues text"), ("encoder", "reads text"), ("encoder-decoder", "rewrites text")],
)
def test_a_card_says_what_a_model_of_its_kind_does(kind: str, does: str) -> None:
    assert facts(ModelCard("x", "X", family="x", kind=kind, supported=True)).endswith(f"· {does}")


def test_an_encoder_decoder_with_a_template_takes_turns(
    window: Window, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    load(state, fake, qtbot, "encoder-decoder", template=True)
    assert window.chat.composer.isVisible() and window.chat.header.chat_button.isEnabled()
    assert not window.chat.header.complete_button.isEnabled()


def test_beam_search_is_offered_for_every_model_that_writes(
    window: Window, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    section = window.docks["sampling"].build().form.sections["Beam search"]  # type: ignore[attr-defined]
    for kind, offered in (("encoder-decoder", True), ("encoder", False), ("decoder", True)):
        load(state, fake, qtbot, kind)
        assert section.isHidden() != offered


def test_the_stop_key_stops_the_playground_too(window: Window, state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    load(state, fake, qtbot, "encoder-decoder")
    state.playground.write("A house.")
    window.actions_by_name["stop"].trigger()
    assert fake.last(Generate)[0].cancelled
