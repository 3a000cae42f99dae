"""The tokens of texts: asked once for each, kept while they are shown, asked anew of another model."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from app.state import State
from app.state.token_pieces import TokenPieces
from engine import Done, Loaded, Tokenize, Tokenized
from fakes import FakeEngine, a_model


@pytest.fixture
def pieces(state: State) -> TokenPieces:
    return TokenPieces(state.workspace)


def load(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    run = state.workspace.load("x")
    with qtbot.waitSignal(state.workspace.model_changed):
        fake.play(run.id, [Loaded(0, a_model()), Done(0)])


def test_nothing_is_asked_without_a_model_and_all_of_it_once_there_is_one(
    pieces: TokenPieces, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    pieces.ask((" dog", " cat", " dog"))
    assert fake.given(Tokenize) == [] and pieces.vocabulary == 0
    load(state, fake, qtbot)
    assert fake.given(Tokenize) == [Tokenize(" dog", setting=True), Tokenize(" cat", setting=True)]
    assert pieces.vocabulary == 4096


def test_what_is_known_is_not_asked_again_and_is_forgotten_with_its_text(
    pieces: TokenPieces, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    load(state, fake, qtbot)
    pieces.ask((" dog",))
    run, _ = fake.last(Tokenize)
    pieces.ask((" dog",))
    assert len(fake.given(Tokenize)) == 1, "the answer is on its way"
    with qtbot.waitSignal(pieces.changed):
        fake.play(run.id, [Tokenized(0, (5, 6), (" do", "g")), Done(0)])
    assert pieces.found == {" dog": ((5, " do"), (6, "g"))}
    pieces.ask((" dog", "x"))
    assert [command.text for command in fake.given(Tokenize)] == [" dog", "x"]
    pieces.ask(())
    assert pieces.found == {}


def test_what_the_model_before_said_does_not_count(
    pieces: TokenPieces, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    load(state, fake, qtbot)
    pieces.ask((" dog",))
    late, _ = fake.last(Tokenize)
    load(state, fake, qtbot)
    now, _ = fake.last(Tokenize)
    assert now.id != late.id
    fake.play(late.id, [Tokenized(0, (1,), ("old",)), Done(0)])
    with qtbot.waitSignal(pieces.changed):
        fake.play(now.id, [Tokenized(0, (2,), ("new",)), Done(0)])
    assert pieces.found == {" dog": ((2, "new"),)}
