"""Captures: records by message, the focus that follows, and attention that belongs to one context."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.state import State
from app.state.attention import BOTH_WAYS, CROSS, DECODER, ENCODER
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
    captures.tokens()
    run, asked = fake.last(NamePieces)
    fake.play(run.id, [Tokenized(0, asked.ids, ("one", "two", "three"))])
    bridge.deliver()
    assert captures.tokens() == ["one", "two", "three", "a", "b"]
    values, first = captures.map(DECODER, 1, 0)
    assert (first, values.shape) == (0, (5, 5))
    assert captures.row(DECODER, 1, 3, 3) is not None
    assert captures.row(DECODER, 1, 3, 5) is None


def test_an_answer_from_another_context_is_told_nothing(captures: Captures, fake: FakeEngine, bridge: Bridge) -> None:
    write(captures, fake, bridge, "m", 900, ["a", "b"])
    captures.set_context("n", PROMPT)
    captures.begin("n", 901)
    fake.play(901, [Started(0, (8, 9), "other", 1, 0), Tokens(0, "z", (a_record(2, "z"),))])
    bridge.deliver()
    captures.focus("m", 1)
    assert captures.row(DECODER, 0, 0, 2) is None
    assert captures.map(DECODER, 0, 0)[0].size == 0
    assert captures.thumbnails(DECODER) is None


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
    assert captures.row(DECODER, 0, 0, 2) is not None, "the prompt's rows are both answers'"
    assert captures.row(DECODER, 0, 0, 3) is None


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
    run, attend = fake.last(Attend)
    assert attend.prompt == dataclasses.replace(PROMPT, answer_ids=(103,))
    fake.play(run.id, [Started(0, (1, 2, 3), "", 0, 0)])
    bridge.deliver()
    assert attend.capture.attention == "all" and captures.rereading.running
    thumbs = AttentionThumbnails(0, 4, 1, LAYERS, np.zeros((2, 4, 4, 4), np.float32))
    fake.play(run.id, [Progress(0, "Reading", 0, 4), rows(0, 4), thumbs, Done(0)])
    bridge.deliver()
    assert not captures.rereading.running and captures.rereading.error == ""
    assert captures.row(DECODER, 0, 0, 3) is not None
    assert captures.thumbnails(DECODER) is not None


def test_an_answer_of_another_model_is_refused_in_words(captures: Captures, fake: FakeEngine, bridge: Bridge) -> None:
    fake.records["m"] = (a_record(9, "a"),)
    captures.set_context("m", PROMPT)
    captures.want("m")
    bridge.deliver()
    captures.reread()
    run, _ = fake.last(Attend)
    fake.play(run.id, [Started(0, (1, 2, 3), "", 0, 0)])
    bridge.deliver()
    assert captures.rereading.error == FOREIGN
    assert run.cancelled and not captures.rereading.running


def test_a_new_answer_ends_a_rereading(captures: Captures, fake: FakeEngine, bridge: Bridge) -> None:
    fake.records["m"] = (a_record(3, "a"),)
    captures.set_context("m", PROMPT)
    captures.want("m")
    bridge.deliver()
    captures.reread()
    run, _ = fake.last(Attend)
    captures.begin("n", 900)
    assert run.cancelled and not captures.rereading.running
    fake.play(run.id, [Started(0, (1, 2, 3), "", 0, 0), rows(0, 3), Done(0)])
    bridge.deliver()
    captures.focus("m", 0)
    assert captures.tokens() == []


def test_another_model_forgets_the_attention_and_keeps_the_records(
    state: State, captures: Captures, fake: FakeEngine, bridge: Bridge
) -> None:
    write(captures, fake, bridge, "m", 900, ["a", "b"])
    state.workspace._show_model(a_model(name="Other"))
    assert captures.tokens() == [] and captures.row(DECODER, 0, 0, 0) is None
    assert len(captures.records("m")) == 2


SIDES = ("layers.0.self", "layers.0.cross", "encoder.0.self")


def captured(start: int, count: int, source: int) -> list[AttentionRows]:
    """Rows of one layer with one head: every target row looks at source token 1 with its position / 16."""
    cross = np.zeros((1, 1, count, source), np.float16)
    cross[0, 0, :, 1] = np.arange(start, start + count) / 16
    own = np.ones((1, 1, count, start + count), np.float16)
    return [AttentionRows(0, start, SIDES[:1], own), AttentionRows(0, start, SIDES[1:2], cross)]


@pytest.fixture
def writer(state: State) -> Captures:
    """Of a model with one layer and head in its decoder, two layers with three heads in its encoder."""
    state.workspace._show_model(
        a_model(kind="encoder-decoder", layers=1, heads=1, encoder_layers=2, encoder_heads=3, chat_template=False)
    )
    state.captures.show(["t"])
    return state.captures


def translate(captures: Captures, fake: FakeEngine, bridge: Bridge, source: tuple[int, ...], run: int) -> None:
    captures.set_context("t", Prompt(source="a b c"))
    captures.begin("t", run)
    both = np.arange(source_size := len(source), dtype=np.float16)[:, None] + np.zeros((1, 1, source_size, source_size))
    encoder = AttentionRows(0, 0, SIDES[2:], (both / 16).astype(np.float16))
    thumbs = [
        AttentionThumbnails(0, 1, 1, (name,), np.zeros((1, 1, 1, source_size), np.float32)) for name in SIDES
    ]  # fmt: skip
    token = Tokens(0, "x", (a_record(1, "x"),))
    fake.play(
        run, [Started(0, (2,), "a b c", 1, 0, source), encoder, *captured(0, 1, source_size), *thumbs, token, Done(0)]
    )
    bridge.deliver()


def test_every_part_of_an_encoder_decoder_has_rows_of_its_own(
    writer: Captures, fake: FakeEngine, bridge: Bridge
) -> None:
    assert writer.parts == (DECODER, CROSS, ENCODER)
    assert [writer.shape(part) for part in writer.parts] == [(1, 1), (1, 1), (2, 3)]
    translate(writer, fake, bridge, (7, 8, 9), 900)
    assert [writer.row_of(part) for part in writer.parts] == [0, 0, 0]
    assert writer.row(DECODER, 0, 0, 0).tolist() == [1.0]
    assert writer.row(CROSS, 0, 0, 0).tolist() == [0.0, 0.0, 0.0]
    assert writer.map(CROSS, 0, 0)[0].shape == (1, 3)
    writer.focus_source(2)
    assert writer.row_of(ENCODER) == 2 and writer.row(ENCODER, 0, 0, 2).tolist() == [0.125] * 3
    assert writer.map(ENCODER, 0, 0)[0].shape == (3, 3)
    assert writer.row(ENCODER, 0, 0, 3) is None and writer.row(ENCODER, 1, 0, 2) is None
    assert all(writer.thumbnails(part) is not None for part in writer.parts)
    assert writer.tokens("source") == ["<id 7>", "<id 8>", "<id 9>"] and writer.tokens()[:1] == ["<id 2>"]
    assert [(command.ids, command.source) for command in fake.given(NamePieces)] == [((7, 8, 9), True), ((2,), False)]


def test_rows_of_another_source_are_not_these(writer: Captures, fake: FakeEngine, bridge: Bridge) -> None:
    translate(writer, fake, bridge, (7, 8, 9), 900)
    writer.set_context("u", Prompt(source="d"))
    writer.begin("u", 901)
    fake.play(901, [Started(0, (2,), "d", 1, 0, (5,)), Tokens(0, "x", (a_record(1, "x"),)), Done(0)])
    bridge.deliver()
    for message in ("t", "u"):
        writer.show([message])
        writer.focus(message, 0)
        assert all(writer.row(part, 0, 0, 0) is None for part in (DECODER, CROSS, ENCODER))


def test_a_stored_target_is_read_again_with_its_source(writer: Captures, fake: FakeEngine, bridge: Bridge) -> None:
    fake.records["t"] = (a_record(1, "x"), a_record(2, "y"))
    writer.set_context("t", Prompt(source="a b c"))
    writer.want("t")
    bridge.deliver()
    writer.reread()
    run, attend = fake.last(Attend)
    assert attend.prompt == Prompt(source="a b c", answer_ids=(101,))
    fake.play(run.id, [Started(0, (2,), "", 0, 0, (7, 8, 9)), *captured(0, 2, 3), Done(0)])
    bridge.deliver()
    assert writer.row(CROSS, 0, 0, 1).tolist() == [0.0, 1 / 16, 0.0]
    writer.focus("t", 1)
    assert writer.row_of(CROSS) == 1


def test_the_forecast_counts_both_sides_of_an_encoder_decoder(state: State) -> None:
    state.captures.set_visible("attention", True)
    small = {"layers": 4, "heads": 4, "context": 1024}  # 16 heads x 2^20 weights: within the budget
    state.workspace._show_model(a_model(**small))
    assert state.captures.capture_params().attention == "all"
    state.workspace._show_model(a_model(kind="encoder-decoder", encoder_layers=12, encoder_heads=4, **small))
    assert state.captures.capture_params().attention == "layer"
    state.captures.set_layer(11)
    assert state.captures.capture_params().layer == 11


def test_a_text_that_an_encoder_reads_is_looked_at_both_ways(state: State, fake: FakeEngine, bridge: Bridge) -> None:
    state.workspace._show_model(a_model(kind="encoder", layers=1, heads=1, chat_template=False))
    captures = state.captures
    captures.watch("text", Prompt(ids=(5, 6, 7)), 1)
    assert captures.parts == (BOTH_WAYS,) and captures.row_of(BOTH_WAYS) == 1 and captures.record is None
    captures.reread()
    run, attend = fake.last(Attend)
    assert attend.prompt == Prompt(ids=(5, 6, 7))
    weights = np.full((1, 1, 3, 3), 1 / 4, np.float16)
    fake.play(run.id, [Started(0, (), "", 0, 0, (5, 6, 7)), AttentionRows(0, 0, SIDES[:1], weights), Done(0)])
    bridge.deliver()
    assert captures.row(BOTH_WAYS, 0, 0, 0).tolist() == [0.25] * 3
    captures.watch("other", Prompt(ids=(5, 6)), 0)
    assert captures.row(BOTH_WAYS, 0, 0, 0) is None


def test_a_token_further_back_than_rows_are_kept_is_read_up_to_there_and_a_late_one_with_all(
    state: State, fake: FakeEngine, bridge: Bridge
) -> None:
    state.workspace._show_model(a_model(context=8192, heads=32))
    captures = state.captures
    captures.set_visible("attention", True)
    captures.show(["m"])
    captures.set_context("m", Prompt(ids=tuple(range(10))))
    captures.begin("m", 900)
    one = a_record(10, "w")
    records = tuple(dataclasses.replace(one, position=10 + n) for n in range(3000))
    fake.play(900, [Started(0, tuple(range(10)), "", 1, 0), Tokens(0, "w" * 3000, records), Done(0)])
    bridge.deliver()
    assert captures.capture_params().attention == "layer"
    for index, read, beyond in ((2999, 2999, False), (2990, 2999, False), (100, 100, True), (0, 0, True)):
        captures.focus("m", index)
        captures.reread()
        assert len(fake.last(Attend)[1].prompt.answer_ids) == read
        assert captures.beyond is beyond
        run, _ = fake.last(Attend)
        row = np.full((1, 32, 1, 10 + index), 1 / (10 + index), np.float16)
        last = AttentionRows(0, 9 + index, ("layers.0.self",), row)
        fake.play(run.id, [Started(0, tuple(range(10)), "", 1, 0), last, Done(0)])
        bridge.deliver()
        seen = captures.row(DECODER, 0, 0, captures.row_of(DECODER))
        assert seen is not None and len(seen) == 10 + index
