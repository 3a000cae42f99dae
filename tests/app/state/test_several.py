"""Several answers to one message: each kept as a version with its score, the likeliest shown, whatever interrupts."""

from __future__ import annotations

import math

import pytest
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.state import State
from engine import (
    Answered,
    BestOf,
    DeleteMessages,
    Done,
    Drawing,
    Event,
    Failed,
    Generate,
    Generated,
    Progress,
    Retune,
    SamplingParams,
    Started,
    Stats,
    Tokens,
)
from fakes import FakeEngine, a_model, a_record


@pytest.fixture
def talk(state: State) -> State:
    state.workspace._show_model(a_model())
    state.captures.follow(True)
    return state


def begun(index: int, *texts: str) -> tuple[Event, ...]:
    """One of several answers while it is written, a token for each text."""
    started = Started(0, (1, 2, 3), "", 40 + index, 0, (), Drawing(40 + index, (1, 2, 3), 3, 4096))
    tokens = (Tokens(0, text, (a_record(3 + place, text),)) for place, text in enumerate(texts))
    return (Progress(0, "Writing answers", index, 3), started, *tokens)


def answered(index: int, text: str, score: float, finish: str = "eos") -> tuple[Event, ...]:
    """One of several answers from its beginning to its end, of one token."""
    told = begun(index, *([text] if text else []))
    started = told[1]
    assert isinstance(started, Started)
    generated = Generated(0, (1, 2, 3), (103,) if text else (), text, finish, 0.1, 0.2, 10.0)
    records = (a_record(3, text),) if text else ()
    return (*told, Answered(0, index, started, generated, records, score))


def play(fake: FakeEngine, bridge: Bridge, *events: Event) -> None:
    fake.play(fake.last(BestOf)[0].id, events)
    bridge.deliver()


def texts(state: State) -> list[str]:
    return [message.text for message in state.conversation.path]


def test_all_answers_are_versions_with_their_scores_and_the_likeliest_is_shown(
    talk: State, fake: FakeEngine, bridge: Bridge
) -> None:
    assert talk.conversation.send("Hi", answers=3)
    run, command = fake.last(BestOf)
    assert command.count == 3 and not fake.given(Generate)
    play(fake, bridge, *answered(0, "one", -1.5))
    assert texts(talk) == ["Hi", "one"] and talk.conversation.answering == run
    play(fake, bridge, *answered(1, "two", -0.5))
    assert texts(talk) == ["Hi", "two"]
    play(fake, bridge, *answered(2, "three", -0.75))
    assert texts(talk) == ["Hi", "three"], "the one written last, until all have ended"
    play(fake, bridge, Done(0))
    assert texts(talk) == ["Hi", "two"] and talk.conversation.answering is None
    versions = talk.conversation.tree.siblings(talk.conversation.path[-1].id)
    assert [version.text for version in versions] == ["one", "two", "three"]
    assert [version.stats["score"] for version in versions] == [-1.5, -0.5, -0.75]
    assert [(version.stats["rank"], version.stats["ranked"]) for version in versions] == [(3, 3), (1, 3), (2, 3)]
    assert [version.settings["seed"] for version in versions] == [40, 41, 42]
    assert {(version.status, version.model) for version in versions} == {("done", "Companion 7M")}


def test_each_is_stored_with_its_records_and_its_draw_as_soon_as_it_is_there(
    talk: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    talk.conversation.send("Hi", answers=2)
    play(fake, bridge, *answered(0, "one", -1.5))
    first = talk.conversation.path[-1]
    assert fake.messages[first.id] == first and fake.chats[first.chat].leaf == first.id
    play(fake, bridge, *answered(1, "two", -0.5), Done(0))
    qtbot.waitUntil(lambda: talk.conversation.stored)
    for version in talk.conversation.tree.siblings(first.id):
        assert fake.messages[version.id] == version
        assert [record.text for record in fake.records[version.id]] == [version.text]
        assert [drawing.seed for drawing in talk.captures.drawings(version.id)] == [version.settings["seed"]]
    assert fake.chats[first.chat].leaf == talk.conversation.path[-1].id != first.id


def test_the_focus_is_in_the_answer_that_is_shown_and_moves_with_the_versions(
    talk: State, fake: FakeEngine, bridge: Bridge
) -> None:
    talk.conversation.send("Hi", answers=2)
    play(fake, bridge, *answered(0, "one", -1.5))
    first = talk.conversation.path[-1].id
    assert talk.captures.focused == (first, 0)
    play(fake, bridge, *answered(1, "two", -0.5), Done(0))
    second = talk.conversation.path[-1].id
    assert talk.captures.focused == (second, 0)
    talk.conversation.show_version(second, -1)
    assert talk.captures.focused == (first, 0)


def test_it_says_which_answer_of_how_many_is_being_written(talk: State, fake: FakeEngine, bridge: Bridge) -> None:
    said: list[str] = []
    talk.conversation.reading_changed.connect(lambda progress: said.append(progress.phase if progress else ""))
    talk.conversation.send("Hi", answers=2)
    play(fake, bridge, *begun(0), Stats(0, 40, 1024, 37, 20.0), *answered(0, "one", -1.5)[2:])
    play(fake, bridge, *answered(1, "two", -0.5), Done(0))
    assert said == ["Answer 1 of 2", "Answer 1 of 2, 37 tokens", "Answer 2 of 2", ""]


def test_each_grows_in_its_place_with_the_score_that_it_has_so_far(
    talk: State, fake: FakeEngine, bridge: Bridge
) -> None:
    grown: list[tuple[str, str]] = []
    talk.conversation.text_added.connect(lambda key, text: grown.append((key, text)))
    talk.conversation.send("Hi", answers=2)
    play(fake, bridge, *begun(0, "o", "ne"), Stats(0, 40, 1024, 2, 20.0))
    first = talk.conversation.writing
    message = talk.conversation.message(first)
    assert (message.text, message.status) == ("one", "writing") and grown == [(first, "o"), (first, "ne")]
    assert message.stats["score"] == pytest.approx(math.log(0.5), abs=1e-6)
    play(fake, bridge, *answered(0, "", -1.5)[2:], *begun(1, "t"))
    second = talk.conversation.writing
    assert second != first and talk.conversation.path[-1].id == second and grown[-1] == (second, "t")
    assert talk.conversation.versions(second) == (2, 2) and talk.conversation.message(first).status == "done"
    assert [record.text for record in talk.captures.records(second)] == ["t"] and talk.captures.focused == (second, 0)
    assert "rank" not in talk.conversation.message(first).stats


def test_the_one_under_way_is_on_the_disk_too(
    talk: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.state.storing.SAVE_EVERY", 20)
    talk.conversation.send("Hi", answers=2)
    play(fake, bridge, *answered(0, "one", -1.5), *begun(1, "tw"))
    second = talk.conversation.writing
    qtbot.waitUntil(lambda: second in fake.messages and fake.messages[second].text == "tw")
    assert fake.messages[second].status == "writing" and len(fake.records[second]) == 1


def test_its_attention_is_captured_while_it_is_looked_at(talk: State, fake: FakeEngine, bridge: Bridge) -> None:
    talk.captures.set_visible("attention", True)
    talk.conversation.send("Hi", answers=3)
    run, command = fake.last(BestOf)
    assert command.capture.attention == "all"
    play(fake, bridge, *answered(0, "one", -1.5), *begun(1, "t"))
    told = [(each.target, each.capture and each.capture.attention) for each in fake.given(Retune)]
    assert told == [(run.id, "all")], "the engine begins each answer as the command said"
    talk.conversation.show_version(talk.conversation.writing, -1)
    last = fake.last(Retune)[1].capture
    assert last is not None and last.attention == "none"


def test_one_that_is_finished_can_be_read_while_the_others_are_written(
    talk: State, fake: FakeEngine, bridge: Bridge
) -> None:
    talk.conversation.send("Hi", answers=3)
    play(fake, bridge, *answered(0, "one", -1.5), *begun(1, "t"))
    first = talk.conversation.tree.siblings(talk.conversation.writing)[0]
    talk.conversation.show_version(talk.conversation.writing, -1)
    assert texts(talk) == ["Hi", "one"] and talk.captures.focused == (first.id, 0)
    play(fake, bridge, *answered(1, "wo", -0.5)[2:], *answered(2, "three", -0.75), Done(0))
    assert texts(talk) == ["Hi", "one"] and talk.captures.focused == (first.id, 0), "nothing moves under the reader"
    assert talk.conversation.versions(first.id) == (1, 3)
    assert [version.text for version in talk.conversation.tree.siblings(first.id)] == ["one", "two", "three"]


def test_who_comes_back_to_the_one_under_way_is_shown_the_likeliest_at_the_end(
    talk: State, fake: FakeEngine, bridge: Bridge
) -> None:
    talk.conversation.send("Hi", answers=2)
    play(fake, bridge, *answered(0, "one", -0.5), *begun(1, "t"))
    talk.conversation.show_version(talk.conversation.writing, -1)
    talk.conversation.show_version(talk.conversation.path[-1].id, 1)
    play(fake, bridge, *answered(1, "wo", -1.5)[2:], Done(0))
    assert texts(talk) == ["Hi", "one"]


def test_one_cut_short_by_a_failure_is_kept_and_says_why(
    talk: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    talk.conversation.send("Hi", answers=3)
    play(fake, bridge, *answered(0, "one", -1.5), *begun(1, "t", "w"))
    second = talk.conversation.writing
    with qtbot.waitSignal(talk.conversation.refused):
        play(fake, bridge, Failed(0, "There is not enough free memory.", ""))
    versions = talk.conversation.tree.siblings(second)
    assert [(version.text, version.status) for version in versions] == [("one", "done"), ("tw", "failed")]
    assert versions[1].stats["error"] == "There is not enough free memory." and texts(talk) == ["Hi", "one"]
    qtbot.waitUntil(lambda: talk.conversation.stored)
    assert fake.messages[second] == versions[1] and len(fake.records[second]) == 2
    talk.conversation.send("Again", answers=2)
    play(fake, bridge, *begun(0, "on"), Failed(0, "There is not enough free memory.", ""))
    assert texts(talk) == ["Hi", "one", "Again", "on"] and talk.conversation.path[-1].status == "failed"


def test_a_later_one_cut_short_before_its_first_word_is_no_answer(
    talk: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    talk.conversation.send("Hi", answers=3)
    play(fake, bridge, *answered(0, "one", -1.5), *begun(1))
    second = talk.conversation.writing
    play(fake, bridge, Done(0, "cancelled"))
    assert texts(talk) == ["Hi", "one"] and talk.conversation.versions(talk.conversation.path[-1].id) == (1, 1)
    assert fake.last(DeleteMessages)[1].messages == (second,)
    qtbot.waitUntil(lambda: talk.conversation.stored)


def test_stopping_keeps_what_was_finished_and_what_was_under_way_but_never_prefers_the_latter(
    talk: State, fake: FakeEngine, bridge: Bridge
) -> None:
    talk.conversation.send("Hi", answers=4)
    run, _ = fake.last(BestOf)
    play(fake, bridge, *answered(0, "one", -1.5), *answered(1, "two", -1.2))
    talk.conversation.stop()
    assert run.cancelled
    play(fake, bridge, *answered(2, "thr", -0.1, "cancelled"), Done(0, "cancelled"))
    versions = talk.conversation.tree.siblings(talk.conversation.path[-1].id)
    assert [(version.text, version.status) for version in versions] == [
        ("one", "done"), ("two", "done"), ("thr", "stopped"),
    ]  # fmt: skip
    assert texts(talk) == ["Hi", "two"]
    assert [version.stats.get("rank") for version in versions] == [2, 1, None]


def test_one_stopped_before_its_first_word_is_no_answer(talk: State, fake: FakeEngine, bridge: Bridge) -> None:
    talk.conversation.send("Hi", answers=2)
    place = talk.conversation.writing
    play(fake, bridge, *answered(0, "", 0.0, "cancelled"), Done(0, "cancelled"))
    assert texts(talk) == ["Hi"] and fake.last(DeleteMessages)[1].messages == (place,)


def test_an_answer_without_a_word_is_not_preferred_to_one_that_says_something(
    talk: State, fake: FakeEngine, bridge: Bridge
) -> None:
    talk.conversation.send("Hi", answers=2)
    play(fake, bridge, *answered(0, "", -0.01), *answered(1, "two", -2.0), Done(0))
    assert texts(talk) == ["Hi", "two"]


def test_a_failure_before_the_first_answer_brings_the_message_back_and_a_later_one_keeps_what_is_there(
    talk: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    talk.conversation.send("Hi", answers=2)
    play(fake, bridge, Failed(0, "The prompt does not fit.", ""))
    assert texts(talk) == [] and talk.conversation.draft == "Hi"
    talk.conversation.send("Hi", answers=2)
    play(fake, bridge, *answered(0, "one", -1.5))
    with qtbot.waitSignal(talk.conversation.refused) as said:
        play(fake, bridge, Failed(0, "There is not enough free memory.", ""))
    assert said.args is not None and said.args[0] == "There is not enough free memory."
    assert texts(talk) == ["Hi", "one"] and talk.conversation.message(talk.conversation.path[-1].id).status == "done"


def test_retrying_several_times_adds_versions_beside_the_one_there(
    talk: State, fake: FakeEngine, bridge: Bridge
) -> None:
    talk.conversation.send("Hi", answers=2)
    play(fake, bridge, *answered(0, "one", -1.5), *answered(1, "two", -0.5), Done(0))
    talk.conversation.retry(talk.conversation.path[-1].id, answers=2)
    play(fake, bridge, *answered(0, "three", -2.5), *answered(1, "four", -2.0), Done(0))
    assert texts(talk) == ["Hi", "four"]
    assert talk.conversation.versions(talk.conversation.path[-1].id) == (4, 4)


def test_a_continued_text_is_written_several_times_from_the_same_place(
    talk: State, fake: FakeEngine, bridge: Bridge
) -> None:
    talk.conversation.set_mode("complete")
    talk.conversation.send("Once", answers=2)
    assert texts(talk) == ["Once"]
    play(fake, bridge, *answered(0, " more", -1.5), *answered(1, " upon", -0.5), Done(0))
    versions = talk.conversation.tree.siblings(talk.conversation.path[-1].id)
    assert [version.text for version in versions] == ["Once more", "Once upon"]
    assert {version.stats["prompt_length"] for version in versions} == {4} and texts(talk) == ["Once upon"]


def test_in_a_chat_that_is_not_shown_they_are_written_on_and_found_there(
    talk: State, fake: FakeEngine, bridge: Bridge
) -> None:
    talk.conversation.send("Hi", answers=3)
    chat = talk.conversation.chat.id
    play(fake, bridge, *answered(0, "one", -1.5))
    talk.conversation.new_chat()
    assert talk.conversation.answering is None
    play(fake, bridge, *answered(1, "two", -0.5))
    talk.conversation.open(chat)
    bridge.deliver()
    assert texts(talk) == ["Hi", "two"] and talk.conversation.answering is not None
    talk.conversation.new_chat()
    play(fake, bridge, *answered(2, "three", -0.25), Done(0))
    talk.conversation.open(chat)
    bridge.deliver()
    assert texts(talk) == ["Hi", "three"]
    assert talk.conversation.versions(talk.conversation.path[-1].id) == (3, 3)


def test_a_full_disk_loses_none_of_them(
    talk: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.state.storing.SAVE_EVERY", 20)
    talk.conversation.send("Hi", answers=2)
    fake.broken = Failed(0, "The disk is full.")
    play(fake, bridge, *answered(0, "one", -1.5), *answered(1, "two", -0.5), Done(0))
    assert not talk.conversation.stored
    fake.broken = None
    qtbot.waitUntil(lambda: talk.conversation.stored)
    for version in talk.conversation.tree.siblings(talk.conversation.path[-1].id):
        assert fake.messages[version.id] == version and len(fake.records[version.id]) == 1


@pytest.mark.parametrize(
    ("sampling", "why"),
    [
        (SamplingParams(temperature=0.0), "At temperature 0 every answer would be the same."),
        (SamplingParams(beams=3), "A beam search finds the same answer every time."),
        (SamplingParams(contrast=0.6), "A contrastive search writes the same answer every time."),
    ],
)
def test_settings_that_always_write_the_same_are_refused_with_the_reason(
    talk: State, fake: FakeEngine, qtbot: QtBot, sampling: SamplingParams, why: str
) -> None:
    talk.presets.set_sampling(sampling)
    with qtbot.waitSignal(talk.conversation.refused) as said:
        assert not talk.conversation.send("Hi", answers=3)
    assert said.args is not None and said.args[0] == why and not fake.given(BestOf) and texts(talk) == []
    assert talk.conversation.send("Hi")


def test_an_encoder_and_no_model_at_all_are_refused(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    with qtbot.waitSignal(state.conversation.refused):
        assert not state.conversation.send("Hi", answers=3)
    state.workspace._show_model(a_model(name="Tiny", kind="encoder"))
    with qtbot.waitSignal(state.conversation.refused) as said:
        assert not state.conversation.send("Hi", answers=3)
    assert said.args is not None and said.args[0] == "Tiny is an encoder: it writes no answers."
    assert not fake.given(BestOf)


def test_a_slider_moved_meanwhile_leaves_them_comparable(talk: State, fake: FakeEngine) -> None:
    talk.conversation.send("Hi", answers=3)
    talk.presets.set_sampling(SamplingParams(temperature=1.3))
    assert not fake.given(Retune)
