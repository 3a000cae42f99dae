"""Captures: records by message, the focus that follows, and attention that belongs to one context."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.state import State
from app.state.captures import Captures
from app.state.rereading import FOREIGN
from engine import (
    Attend,
    AttentionRows,
    AttentionThumbnails,
    Done,
    Message,
    NamePieces,
    OpenRecords,
    Progress,
    Prompt,
    Rendered,
    RenderTemplate,
    Retune,
    Started,
    Tokenized,
    Tokens,
)
from fakes import FakeEngine, a_model, a_record

PROMPT = Prompt(messages=(Message("user", "Hi"),))
LAYERS = tuple(f"layers.{n}.self" for n in range(2))


@pytest.fixture
def captures(state: State) -> Captures:
    state.workspace._show_model(a_model())
    return state.captures


def rows(start: int, count: int = 1) -> AttentionRows:
    size = start + count
    weights = np.full((2, 4, count, size), 1 / size, np.float16)
    return AttentionRows(0, start, LAYERS, weights)


def write(captures: Captures, fake: FakeEngine, bridge: Bridge, message: str, run: int, texts: list[str]) -> None:
    """An answer after a prompt of the ids 1, 2, 3, with its attention."""
    captures.set_context(message, PROMPT)
    captures.begin(message, run)
    events = [Started(0, (1, 2, 3), "rendered", 1, 0), rows(0, 3)]
    for number, text in enumerate(texts):
        events += [Tokens(0, text, (a_record(3 + number, text),)), rows(3 + number)]
    fake.play(run, events)
    bridge.deliver()


def test_records_gather_under_their_message_and_the_focus_follows(
    captures: Captures, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    with qtbot.waitSignals([captures.records_changed, captures.focus_changed]):
        write(captures, fake, bridge, "m", 900, ["a", "b", "c"])
    assert [record.text for record in captures.records("m")] == ["a", "b", "c"]
    assert captures.focused == ("m", 2) and captures.following and captures.live
    fake.play(901, [Tokens(0, "x", (a_record(9, "x"),))])
    bridge.deliver()
    assert len(captures.records("m")) == 3


def test_a_chosen_token_stays_in_focus_until_following_is_asked_for(
    captures: Captures, fake: FakeEngine, bridge: Bridge
) -> None:
    write(captures, fake, bridge, "m", 900, ["a", "b"])
    captures.focus("m", 0)
    fake.play(900, [Tokens(0, "c", (a_record(5, "c"),))])
    bridge.deliver()
    assert captures.focused == ("m", 0) and not captures.following
    captures.follow()
    assert captures.focused == ("m", 2)
    captures.step(-1)
    captures.step(-9)
    assert captures.focused == ("m", 0)
    captures.focus("m", 77)
    assert captures.focused == ("m", 0)


def test_the_wish_not_to_follow_outlives_an_answer_and_a_click_does_not(captures: Captures) -> None:
    captures.begin("m", 900)
    captures._set_following(False)
    captures.begin("n", 901)
    assert captures.following
    captures.follow(False)
    captures.begin("o", 902)
    assert not captures.following


def test_stored_records_are_read_once_and_the_newest_token_comes_into_focus(
    captures: Captures, fake: FakeEngine, bridge: Bridge
) -> None:
    fake.records["m"] = (a_record(3, "a"), a_record(4, "b"))
    captures.want("m")
    captures.want("m")
    bridge.deliver()
    captures.want("m")
    assert len(fake.given(OpenRecords)) == 1
    assert captures.focused == ("m", 1)


def test_records_of_a_continued_answer_join_those_that_come_from_the_store(
    captures: Captures, fake: FakeEngine, bridge: Bridge
) -> None:
    fake.records["m"] = (a_record(3, "a"), a_record(4, "b"))
    captures.set_context("m", Prompt(messages=PROMPT.messages, answer_ids=(103, 104)))
    captures.begin("m", 900)
    fake.play(900, [Tokens(0, "c", (a_record(5, "c"),))])
    bridge.deliver()
    assert [record.text for record in captures.records("m")] == ["a", "b", "c"]


@pytest.mark.parametrize("store_is_late", [False, True])
def test_continuing_takes_the_end_mark_back(
    captures: Captures, fake: FakeEngine, bridge: Bridge, store_is_late: bool
) -> None:
    fake.records["m"] = (a_record(3, "a"), a_record(4, ""))
    captures.set_context("m", Prompt(messages=PROMPT.messages, answer_ids=(103, 104)))
    captures.begin("m", 900)
    stored = fake.drain() if store_is_late else []
    fake.play(900, [Started(0, (1, 2, 3), "", 1, 0), Tokens(0, "bc", (a_record(4, "b"), a_record(5, "c"))), Done(0)])
    bridge.deliver()
    for event in stored:
        bridge.arrived.emit(event)
    assert [(record.position, record.text) for record in captures.records("m")] == [(3, "a"), (4, "b"), (5, "c")]


def test_the_records_of_another_model_do_not_name_this_models_tokens(
    captures: Captures, fake: FakeEngine, bridge: Bridge
) -> None:
    fake.records["old"] = (a_record(1, "elsewhere"),)  # its id is 101
    captures.want("old")
    bridge.deliver()
    assert captures.focused == ("old", 0) and captures.tokens() == []
    captures.set_context("m", PROMPT)
    captures.begin("m", 900)
    fake.play(900, [Started(0, (101, 2), "rendered", 1, 0), Tokens(0, "a", (a_record(2, "a"),))])
    bridge.deliver()
    assert captures.tokens() == ["<id 101>", "<id 2>", "a"]


def test_a_focus_on_a_message_that_is_not_shown_goes(captures: Captures, fake: FakeEngine, bridge: Bridge) -> None:
    write(captures, fake, bridge, "m", 900, ["a"])
    captures.show(["other"])
    assert captures.focused is None
    fake.play(900, [Tokens(0, "b", (a_record(4, "b"),))])
    bridge.deliver()
    assert captures.focused is None
    captures.show(["m"])
    captures.follow()
    assert captures.focused == ("m", 1)


def test_attention_is_asked_for_only_while_its_pane_is_seen(captures: Captures, fake: FakeEngine) -> None:
    assert (captures.capture_params().attention, captures.capture_params().thumbnails) == ("none", 0)
    captures.begin("m", 900)
    captures.set_visible("attention", True)
    shown = fake.last(Retune)[1]
    assert shown.target == 900 and shown.capture is not None and shown.capture.attention == "all"
    assert shown.capture.thumbnails > 0
    captures.set_visible("attention", False)
    hidden = fake.last(Retune)[1].capture
    assert hidden is not None and (hidden.attention, hidden.thumbnails) == ("none", 0)


def test_of_a_large_model_only_the_layer_on_screen_is_captured(state: State, fake: FakeEngine) -> None:
    state.workspace._show_model(a_model(layers=32, heads=32, context=4096))
    state.captures.set_visible("attention", True)
    state.captures.begin("m", 900)
    state.captures.set_layer(7)
    capture = fake.last(Retune)[1].capture
    assert capture is not None and (capture.attention, capture.layer) == ("layer", 7)


def test_attention_rows_and_tokens_are_those_of_the_context_in_focus(
    captures: Captures, fake: FakeEngine, bridge: Bridge
) -> None:
    write(captures, fake, bridge, "m", 900, ["a", "b"])
    captures._pieces.update({1: "one", 2: "two", 3: "three"})
    assert captures.tokens() == ["one", "two", "three", "a", "b"]
    values, first = captures.map(LAYERS[1], 0)
    assert (first, values.shape) == (0, (5, 5))
    assert captures.row(LAYERS[1], 3, 3) is not None
    assert captures.row(LAYERS[1], 3, 5) is None


def test_an_answer_from_another_context_is_told_nothing(captures: Captures, fake: FakeEngine, bridge: Bridge) -> None:
    write(captures, fake, bridge, "m", 900, ["a", "b"])
    captures.set_context("n", PROMPT)
    captures.begin("n", 901)
    fake.play(901, [Started(0, (8, 9), "other", 1, 0), Tokens(0, "z", (a_record(2, "z"),))])
    bridge.deliver()
    captures.focus("m", 1)
    assert captures.row(LAYERS[0], 0, 2) is None
    assert captures.map(LAYERS[0], 0)[0].size == 0
    assert captures.thumbnails() is None


def test_two_versions_of_an_answer_have_tokens_of_their_own(
    captures: Captures, fake: FakeEngine, bridge: Bridge
) -> None:
    write(captures, fake, bridge, "m", 900, ["a"])
    captures.set_context("n", PROMPT)
    captures.begin("n", 901)
    other = dataclasses.replace(a_record(3, "z"), id=555)
    fake.play(901, [Started(0, (1, 2, 3), "rendered", 1, 3), Tokens(0, "z", (other,))])
    bridge.deliver()
    assert (captures.focused, captures._ids()) == (("n", 0), [1, 2, 3, 555])
    captures.focus("m", 0)
    assert captures._ids() == [1, 2, 3, 103]
    assert captures.row(LAYERS[0], 0, 2) is not None, "the prompt's rows are both answers'"
    assert captures.row(LAYERS[0], 0, 3) is None


def test_unknown_pieces_of_the_prompt_are_asked_for_once(
    captures: Captures, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    write(captures, fake, bridge, "m", 900, ["a"])
    assert captures.tokens()[:3] == ["<id 1>", "<id 2>", "<id 3>"]
    captures.tokens()
    assert [command.ids for command in fake.given(NamePieces)] == [(1, 2, 3)]
    run, _ = fake.last(NamePieces)
    with qtbot.waitSignal(captures.attention_changed):
        fake.play(run.id, [Tokenized(0, (1, 2, 3), ("<s>", "H", "i")), Done(0)])
        bridge.deliver()
    assert captures.tokens() == ["<s>", "H", "i", "a"]


def test_a_stored_answer_is_read_again_from_its_messages(captures: Captures, fake: FakeEngine, bridge: Bridge) -> None:
    fake.records["m"] = (a_record(3, "a"), a_record(4, "b"))
    captures.set_visible("attention", True)
    captures.set_context("m", PROMPT)
    captures.want("m")
    bridge.deliver()
    captures.reread()
    run, command = fake.last(RenderTemplate)
    assert command.messages == PROMPT.messages
    fake.play(run.id, [Rendered(0, "Hi", (1, 2, 3), ()), Done(0)])
    bridge.deliver()
    run, attend = fake.last(Attend)
    assert attend.prompt == Prompt(ids=(1, 2, 3), answer_ids=(103,))
    assert attend.capture.attention == "all" and captures.rereading.running
    thumbs = AttentionThumbnails(0, 4, 1, LAYERS, np.zeros((2, 4, 4, 4), np.float32))
    fake.play(run.id, [Progress(0, "Reading", 0, 4), rows(0, 4), thumbs, Done(0)])
    bridge.deliver()
    assert not captures.rereading.running and captures.rereading.error == ""
    assert captures.row(LAYERS[0], 0, 3) is not None
    assert captures.thumbnails() is not None


def test_an_answer_of_another_model_is_refused_in_words(captures: Captures, fake: FakeEngine, bridge: Bridge) -> None:
    fake.records["m"] = (a_record(9, "a"),)
    captures.set_context("m", PROMPT)
    captures.want("m")
    bridge.deliver()
    captures.reread()
    run, _ = fake.last(RenderTemplate)
    fake.play(run.id, [Rendered(0, "Hi", (1, 2, 3), ()), Done(0)])
    bridge.deliver()
    assert captures.rereading.error == FOREIGN
    assert not fake.given(Attend)


def test_a_new_answer_ends_a_rereading(captures: Captures, fake: FakeEngine, bridge: Bridge) -> None:
    fake.records["m"] = (a_record(3, "a"),)
    captures.set_context("m", PROMPT)
    captures.want("m")
    bridge.deliver()
    captures.reread()
    run, _ = fake.last(RenderTemplate)
    captures.begin("n", 900)
    assert run.cancelled and not captures.rereading.running
    fake.play(run.id, [Rendered(0, "Hi", (1, 2, 3), ()), Done(0)])
    bridge.deliver()
    assert not fake.given(Attend)


def test_another_model_forgets_the_attention_and_keeps_the_records(
    state: State, captures: Captures, fake: FakeEngine, bridge: Bridge
) -> None:
    write(captures, fake, bridge, "m", 900, ["a", "b"])
    state.workspace._show_model(a_model(name="Other"))
    assert captures.tokens() == [] and captures.row(LAYERS[0], 0, 0) is None
    assert len(captures.records("m")) == 2
