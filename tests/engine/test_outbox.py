"""The way out: what merges, what keeps its order, what is dropped, and who is woken."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from bench.kill_store import record
from hypothesis import given
from hypothesis import strategies as st

from engine import outbox as outbox_module
from engine.messages import (
    AttentionRows,
    AttentionThumbnails,
    Done,
    Event,
    Failed,
    Progress,
    Started,
    Stats,
    Tokens,
)
from engine.outbox import Outbox


def rows(run: int, start: int, size: int = 1000) -> AttentionRows:
    return AttentionRows(run, start, ("layers.0.self",), np.zeros(size // 2, np.float16))


def test_a_reader_that_stalls_for_two_seconds_of_20_000_events_finds_a_short_list_with_all_text_in_order() -> None:
    outbox = Outbox()
    one = record(0)
    for number in range(40_000):
        outbox.put(Tokens(1, f"{number} ", (one,)))
        if number % 10 == 0:
            outbox.put(Progress(1, "writing", number, 40_000))
            outbox.put(Stats(1, number, 40_000, number, 100.0))
    start = time.perf_counter()
    events = outbox.drain()
    assert time.perf_counter() - start < 0.25
    assert [type(event) for event in events] == [Tokens, Progress, Stats]
    tokens, progress, stats = events
    assert isinstance(tokens, Tokens) and isinstance(progress, Progress) and isinstance(stats, Stats)
    assert tokens.text == "".join(f"{number} " for number in range(40_000))
    assert len(tokens.records) == 40_000
    assert progress.done == stats.new_tokens == 39_990
    assert outbox.drain() == []


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from("tttpsxd"))), st.integers(1, 20))
def test_whatever_is_put_and_whenever_it_is_read_no_text_is_lost_and_no_order_changes(
    puts: list[tuple[int, str]], every: int
) -> None:
    outbox = Outbox()
    seen: list[Event] = []
    for number, (run, kind) in enumerate(puts):
        match kind:
            case "t":
                outbox.put(Tokens(run, f"{number} ", ()))
            case "p":
                outbox.put(Progress(run, "writing", number, 0))
            case "s":
                outbox.put(Stats(run, number, 0, 0, 0.0))
            case "x":
                outbox.put(Started(run, (), f"{number} ", 0, 0))
            case _:
                outbox.put(Done(run, f"{number} "))
        if number % every == 0:
            seen += outbox.drain()
    seen += outbox.drain()
    for run in (1, 2, 3):
        put = [f"{number} " for number, (of, kind) in enumerate(puts) if of == run and kind in "txd"]
        assert "".join(put) == "".join(_words(event) for event in seen if event.run == run)
        for kind, name in ((Progress, "p"), (Stats, "s")):
            last = [number for number, (of, what) in enumerate(puts) if (of, what) == (run, name)]
            values = [_number(event) for event in seen if event.run == run and isinstance(event, kind)]
            assert values == sorted(values) and values[-1:] == last[-1:]


def _words(event: Event) -> str:
    match event:
        case Tokens(text=text):
            return text
        case Started(rendered=text):
            return text
        case Done(reason=text):
            return text
    return ""


def _number(event: Event) -> int:
    assert isinstance(event, Progress | Stats)
    return event.done if isinstance(event, Progress) else event.context_used


def test_tokens_of_two_runs_join_apart() -> None:
    outbox = Outbox()
    for text in "abc":
        outbox.put(Tokens(1, text, ()))
        outbox.put(Tokens(2, text.upper(), ()))
    assert outbox.drain() == [Tokens(1, "abc", ()), Tokens(2, "ABC", ())]


def test_tokens_do_not_join_over_an_event_that_refers_to_the_text_so_far() -> None:
    outbox = Outbox()
    events = [Tokens(1, "a", ()), Failed(1, "wrong"), Tokens(1, "b", ())]
    for event in events:
        outbox.put(event)
    assert outbox.drain() == events


def test_of_progress_statistics_and_thumbnails_the_latest_of_each_run_stays() -> None:
    outbox = Outbox()
    cells = np.zeros((1, 1, 2, 2), np.float32)
    for number in range(3):
        for run in (1, 2):
            outbox.put(Progress(run, "reading", number, 3))
            outbox.put(AttentionThumbnails(run, number, 1, ("layers.0.self",), cells))
    events = outbox.drain()
    assert len(events) == 4
    assert [event.tokens for event in events if isinstance(event, AttentionThumbnails)] == [2, 2]


def test_thumbnails_of_one_part_do_not_displace_anothers() -> None:
    outbox = Outbox()
    cells = np.zeros((1, 1, 2, 2), np.float32)
    for number in range(3):
        for layer in ("layers.0.self", "layers.0.cross", "encoder.0.self"):
            outbox.put(AttentionThumbnails(1, number, 1, (layer,), cells))
    kept = [event for event in outbox.drain() if isinstance(event, AttentionThumbnails)]
    assert {(event.layers[0], event.tokens) for event in kept} == {
        ("layers.0.self", 2), ("layers.0.cross", 2), ("encoder.0.self", 2),
    }  # fmt: skip


def test_attention_rows_are_bounded_by_bytes_and_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "ROWS_BUDGET", 10_000)
    outbox = Outbox()
    outbox.put(Tokens(1, "kept", ()))
    for start in range(100):
        outbox.put(rows(1 + start % 2, start))
    kept = outbox.drain()
    assert kept[0] == Tokens(1, "kept", ())
    assert [event.start for event in kept[1:] if isinstance(event, AttentionRows)] == list(range(90, 100))
    outbox.put(rows(1, 0, size=50_000))
    assert len(outbox.drain()) == 1, "a single step larger than the budget is still shown"
    outbox.put(rows(1, 1))
    assert len(outbox.drain()) == 1, "what was drained counts no longer"


def test_wake_is_called_once_for_each_time_the_outbox_stops_being_empty() -> None:
    woken: list[int] = []
    outbox = Outbox(lambda: woken.append(1))
    for expected in (1, 2, 3):
        for _ in range(10):
            outbox.put(Progress(1, "reading", 0, 0))
            outbox.put(Done(1))
        assert len(woken) == expected
        outbox.drain()
    assert outbox.drain() == [] and len(woken) == 3


def test_wake_may_drain_from_inside() -> None:
    seen: list[Event] = []
    outbox = Outbox(lambda: seen.extend(outbox.drain()))
    outbox.put(Done(1))
    assert seen == [Done(1)]


def test_threads_that_write_while_another_reads_lose_nothing() -> None:
    outbox = Outbox()
    seen: list[Event] = []

    def write(run: int) -> None:
        for number in range(2000):
            outbox.put(Tokens(run, f"{number} ", ()))

    writers = [threading.Thread(target=write, args=(run,)) for run in (1, 2, 3)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        seen += outbox.drain()
    seen += outbox.drain()
    expected = "".join(f"{number} " for number in range(2000))
    for run in (1, 2, 3):
        assert "".join(event.text for event in seen if isinstance(event, Tokens) and event.run == run) == expected
