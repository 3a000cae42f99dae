"""Branches: another version of an answer that goes on from one of its tokens, and what it keeps of the first."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.state import State
from engine import Done, Drawing, Generate, Generated, Prompt, SaveMessage, Started, StoredMessage, Tokens
from fakes import FakeEngine, a_model, a_record

DRAWING = Drawing(7, (1, 2, 3), 3, 4096)


@pytest.fixture
def answer(state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot) -> StoredMessage:
    """A chat with one answer of three tokens: " a", " b", " c"."""
    state.workspace._show_model(a_model())
    state.conversation.send("Hi")
    run, _ = fake.last(Generate)
    texts = (" a", " b", " c")
    fake.play(run.id, [Started(0, (1, 2, 3), "", 7, 0, (), DRAWING)])
    fake.play(run.id, [Tokens(0, text, (a_record(3 + n, text),)) for n, text in enumerate(texts)])
    fake.play(run.id, [Generated(0, (1, 2, 3), (103, 104, 105), " a b c", "length", 0.1, 0.1, 9.0), Done(0, "length")])
    bridge.deliver()
    return state.conversation.path[-1]


def test_a_branch_is_a_sibling_that_begins_with_the_tokens_before(
    state: State, fake: FakeEngine, bridge: Bridge, answer: StoredMessage
) -> None:
    assert answer.text == " a b c"
    state.conversation.branch(answer.id, 1, (8,))
    _, command = fake.last(Generate)
    assert command.prompt == Prompt(ids=(1, 2, 3), answer_ids=(103,), forced_ids=(8,))
    version = state.conversation.path[-1]
    assert (version.text, version.parent) == (" a", answer.parent)
    assert state.conversation.versions(version.id) == (2, 2)
    assert state.conversation.message(answer.id).text == " a b c"
    assert [record.text for record in state.captures.records(version.id)] == [" a"]
    assert state.captures.drawings(version.id) == [DRAWING]


def test_what_a_branch_keeps_is_stored_with_it(
    state: State, fake: FakeEngine, bridge: Bridge, answer: StoredMessage
) -> None:
    state.conversation.branch(answer.id, 2, text=" sea")
    _, command = fake.last(Generate)
    assert (command.prompt.forced_ids, command.prompt.forced_text) == ((), " sea")
    saved = [c for c in fake.given(SaveMessage) if c.message.id == state.conversation.path[-1].id]
    assert [record.text for record in saved[0].records] == [" a", " b"]
    assert saved[0].drawings == (DRAWING,)


def test_what_an_answer_was_drawn_with_is_stored_once(fake: FakeEngine, answer: StoredMessage, state: State) -> None:
    saved = [c for c in fake.given(SaveMessage) if c.message.id == answer.id]
    assert [drawing for command in saved for drawing in command.drawings] == [DRAWING]


def test_another_model_goes_on_by_the_text(state: State, fake: FakeEngine, answer: StoredMessage) -> None:
    state.workspace._show_model(a_model(name="Another"))
    state.conversation.branch(answer.id, 1, (8,), " lake")
    _, command = fake.last(Generate)
    assert command.prompt.answer_text == " a" and command.prompt.forced_text == " lake"
    assert command.prompt.answer_ids == command.prompt.forced_ids == ()


def test_without_a_model_it_says_so_and_while_one_writes_nothing_happens(
    state: State, fake: FakeEngine, answer: StoredMessage, qtbot: QtBot
) -> None:
    state.workspace._show_model(None)
    with qtbot.waitSignal(state.conversation.refused):
        state.conversation.branch(answer.id, 1, (8,))
    state.workspace._show_model(a_model())
    state.conversation.branch(answer.id, 1, (8,))
    count = len(fake.given(Generate))
    state.conversation.branch(answer.id, 1, (9,))
    assert len(fake.given(Generate)) == count


def test_a_stopped_branch_that_wrote_nothing_goes_back_to_the_answer(
    state: State, fake: FakeEngine, bridge: Bridge, answer: StoredMessage
) -> None:
    state.conversation.branch(answer.id, 1, (8,))
    run, _ = fake.last(Generate)
    fake.play(run.id, [Done(0, "cancelled")])
    bridge.deliver()
    assert state.conversation.path[-1].id == answer.id
