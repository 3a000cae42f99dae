"""Targets of the playground go on from one of their tokens: versions for one source, and what each keeps."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.state import State
from engine import (
    Beam,
    Beams,
    Done,
    Drawing,
    Event,
    Failed,
    Generate,
    Generated,
    Prompt,
    SamplingParams,
    Started,
    Tokens,
)
from fakes import FakeEngine, a_model, a_record

DRAWING = Drawing(7, (2,), 1, 4096)


@pytest.fixture
def play(state: State, fake: FakeEngine, bridge: Bridge) -> State:
    """A target of three tokens for one source: "a", " b", " c"."""
    state.workspace._show_model(a_model(kind="encoder-decoder", family="bart", chat_template=False))
    state.captures.follow(True)
    state.playground.write("A house.")
    texts = ("a", " b", " c")
    tokens = [Tokens(0, text, (a_record(1 + place, text),)) for place, text in enumerate(texts)]
    say(fake, bridge, Started(0, (2,), "", 7, 0, (5, 6), DRAWING), *tokens, whole("a b c"), Done(0, "eos"))
    return state


def say(fake: FakeEngine, bridge: Bridge, *events: Event) -> None:
    fake.play(fake.last(Generate)[0].id, events)
    bridge.deliver()


def whole(text: str) -> Generated:
    return Generated(0, (5, 6), (103,), text, "eos", 0.1, 0.1, 9.0)


def test_a_branch_begins_with_the_tokens_before_and_the_one_that_is_wanted(
    play: State, fake: FakeEngine, bridge: Bridge
) -> None:
    playground, first = play.playground, play.playground.target_key
    assert playground.can_branch(first) and playground.target == "a b c"
    playground.branch(first, 1, (8,))
    assert fake.last(Generate)[1].prompt == Prompt(source="A house.", answer_ids=(101,), forced_ids=(8,))
    assert playground.target == "a" and not playground.can_branch(playground.target_key)
    assert play.captures.drawings(playground.target_key) == [DRAWING]
    say(fake, bridge, Started(0, (2,), "", 9, 0, (5, 6)), Tokens(0, " lake", (a_record(2, " lake"),)))
    assert playground.target == "a lake"
    say(fake, bridge, whole(" lake"), Done(0, "eos"))
    assert playground.target == "a lake"
    assert [record.text for record in play.captures.records(playground.target_key)] == ["a", " lake"]
    assert play.captures.focused == (playground.target_key, 1)


def test_both_versions_are_kept_and_a_branch_of_a_branch_is_a_third(
    play: State, fake: FakeEngine, bridge: Bridge
) -> None:
    playground, first = play.playground, play.playground.target_key
    playground.branch(first, 1, (8,))
    say(fake, bridge, Tokens(0, " lake", (a_record(2, " lake"),)), whole(" lake"), Done(0, "eos"))
    assert playground.versions == (2, 2)
    playground.show_version(-1)
    assert (playground.target, playground.versions, play.captures.focused) == ("a b c", (1, 2), (first, 2))
    playground.show_version(-1)
    assert playground.versions == (1, 2)
    playground.show_version(1)
    playground.branch(playground.target_key, 1, text=" sea")
    prompt = fake.last(Generate)[1].prompt
    assert (prompt.answer_ids, prompt.forced_ids, prompt.forced_text) == ((101,), (), " sea")
    assert playground.versions == (3, 3)


def test_writing_again_is_another_version_and_another_source_begins_anew(
    play: State, fake: FakeEngine, bridge: Bridge
) -> None:
    play.playground.write("A house.")
    assert play.playground.versions == (2, 2) and play.playground.target == ""
    say(fake, bridge, Tokens(0, "x", (a_record(1, "x"),)), whole("x"), Done(0, "eos"))
    play.playground.write("A tree.")
    assert play.playground.versions == (1, 1)


@pytest.mark.parametrize("end", [Done(0, "cancelled"), Failed(0, "There is not enough free memory.", "")])
def test_a_branch_that_wrote_nothing_goes_back_to_the_target_before(
    play: State, fake: FakeEngine, bridge: Bridge, end: Event
) -> None:
    first = play.playground.target_key
    play.playground.branch(first, 1, (8,))
    say(fake, bridge, end)
    assert (play.playground.target, play.playground.versions) == ("a b c", (1, 1))
    assert play.playground.can_branch(first) and play.captures.focused == (first, 2)


def test_the_beams_of_a_branch_begin_like_the_target_that_they_continue(
    play: State, fake: FakeEngine, bridge: Bridge
) -> None:
    play.presets.set_sampling(SamplingParams(beams=2))
    seen: list[tuple[Beam, ...]] = []
    play.playground.beams_changed.connect(seen.append)
    play.playground.branch(play.playground.target_key, 1, (8,))
    say(fake, bridge, Beams(0, (Beam((8,), " lake", -0.5), Beam((8, 9), " lakes", -0.9))))
    assert [beam.text for beam in seen[-1]] == ["a lake", "a lakes"] and play.playground.target == "a lake"
    say(fake, bridge, Tokens(0, " lake", (a_record(2, " lake"),)), whole(" lake"), Done(0, "eos"))
    assert play.playground.target == "a lake"
    play.playground.show_version(-1)
    assert seen[-1] == ()


def test_another_model_has_no_part_in_it(play: State, fake: FakeEngine) -> None:
    first = play.playground.target_key
    play.workspace._show_model(a_model(name="Another", kind="encoder-decoder"))
    assert play.playground.target == play.playground.target_key == "" and play.playground.versions == (1, 1)
    assert not play.playground.can_branch(first)
    count = len(fake.given(Generate))
    play.playground.branch(first, 1, (8,))
    assert len(fake.given(Generate)) == count


def test_what_comes_late_from_the_model_before_is_not_shown(play: State, fake: FakeEngine, bridge: Bridge) -> None:
    play.playground.write("A tree.")
    shown: list[object] = []
    play.workspace._show_model(a_model(name="Another", kind="encoder-decoder"))
    play.playground.target_changed.connect(shown.append)
    play.playground.beams_changed.connect(shown.append)
    say(fake, bridge, Tokens(0, "x", ()), Beams(0, (Beam((8,), " lake", -0.5),)), whole("x"), Done(0, "eos"))
    assert shown == [] and play.playground.running is None and play.playground.versions == (1, 1)


def test_another_model_leaves_the_focus_of_the_chat_where_it_is(
    state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    state.workspace._show_model(a_model())
    state.captures.follow(True)
    state.conversation.send("Hi")
    say(fake, bridge, Started(0, (1, 2), "", 1, 0), Tokens(0, "Hello", (a_record(2, "Hello"),)), Done(0, "eos"))
    focused = state.captures.focused
    assert focused is not None
    state.workspace._show_model(a_model(name="Another"))
    assert state.captures.focused == focused


def test_a_token_or_a_text_that_is_not_there_begins_nothing(play: State, fake: FakeEngine) -> None:
    count = len(fake.given(Generate))
    play.playground.branch(play.playground.target_key, 3, (8,))
    play.playground.branch(play.playground.target_key, 1)
    play.playground.branch("target-0", 1, (8,))
    assert len(fake.given(Generate)) == count
