"""What if: the answer in focus drawn again under the settings of now, over real answers and over made-up ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.settings import Settings
from app.state import State, make_state
from app.state.what_if import NOT_KEPT, Outcome, _parts
from engine import Done, Drawing, Engine, LoadParams, SamplingParams, Tokens
from fakes import FakeEngine, a_record

DRAWN = SamplingParams(temperature=1.0, seed=5, max_new_tokens=60)


@pytest.fixture
def real(themed: QApplication, home: Path, assets: Path, qtbot: QtBot) -> Iterator[State]:
    """A state over the real engine, with an answer that a real model has written, in focus."""
    bridge = Bridge(Engine)
    state = make_state(bridge, Settings(home))
    bridge.start()
    state.workspace.load(str(assets / "models" / "companion"), LoadParams(precision="fp32", threads=1))
    qtbot.waitUntil(lambda: state.workspace.info is not None, timeout=60_000)
    state.presets.set_sampling(DRAWN)
    state.what_if.watch("test", True)
    state.conversation.send("Tell me a story about a dog.")
    qtbot.waitUntil(lambda: state.conversation.answering is None, timeout=60_000)
    qtbot.waitUntil(lambda: bool(state.what_if.outcome.changed))
    yield state
    state.conversation.finish()
    bridge.stop()


def answer(state: State) -> str:
    return state.conversation.path[-1].id


def test_under_its_own_settings_nothing_would_differ_and_a_slider_says_what_would(real: State, qtbot: QtBot) -> None:
    total = len(real.captures.records(answer(real)))
    qtbot.waitUntil(lambda: real.what_if.outcome.words == f"None of {total} tokens would differ.")
    real.presets.set_sampling(DRAWN.replace(temperature=0.0))
    outcome = real.what_if.outcome
    ranks = [record.rank for record in real.captures.records(answer(real))]
    assert list(outcome.changed) == [rank > 0 for rank in ranks] and any(outcome.changed)
    assert outcome.words == f"{sum(outcome.changed)} of {total} tokens would differ."
    real.presets.set_sampling(DRAWN.replace(temperature=1.0))
    assert not any(real.what_if.outcome.changed)


def test_a_column_says_what_each_step_left_and_ends_where_the_draw_began(real: State) -> None:
    for index, record in enumerate(real.captures.records(answer(real))[:20]):
        column = real.what_if.column(answer(real), index)
        assert column is not None and column.exact and not column.uncertain
        assert tuple(stage.step for stage in column.stages[1:]) == record.steps
        np.testing.assert_allclose(column.record.after, record.after, atol=1e-3)
        np.testing.assert_array_equal(column.record.cut, record.cut)
        now = real.what_if.column(answer(real), index, SamplingParams.neutral(temperature=0.0))
        assert now is not None and now.record.id == int(record.candidate_ids[0])


def test_mirostat_says_why_all_is_uncertain(real: State) -> None:
    real.presets.set_sampling(DRAWN.replace(mirostat="v2"))
    assert real.what_if.outcome.words == "Mirostat follows what was drawn before, so every token is uncertain."
    assert all(real.what_if.outcome.uncertain)
    real.presets.set_sampling(DRAWN.replace(adaptive_target=0.5))
    assert real.what_if.outcome.words.startswith("Adaptive-p follows")


def test_a_forced_token_counts_as_no_difference(real: State, qtbot: QtBot) -> None:
    before = answer(real)
    record = real.captures.records(before)[3]
    other = int(record.candidate_ids[1 if record.rank == 0 else 0])
    real.conversation.branch(before, 3, (other,))
    qtbot.waitUntil(lambda: real.conversation.answering is None, timeout=60_000)
    assert answer(real) != before and real.captures.records(answer(real))[3].id == other
    real.captures.focus(answer(real), 3)
    total = len(real.captures.records(answer(real)))
    qtbot.waitUntil(lambda: real.what_if.outcome.words == f"None of {total} tokens would differ.")


def test_what_is_stored_is_there_tomorrow(real: State, themed: QApplication, home: Path, qtbot: QtBot) -> None:
    key = answer(real)
    chat = real.conversation.chat.id
    qtbot.waitUntil(lambda: real.conversation.stored)
    bridge = Bridge(Engine)
    later = make_state(bridge, Settings(home))
    bridge.start()
    later.what_if.watch("test", True)
    later.library.refresh()
    qtbot.waitUntil(lambda: later.library.chat(chat) is not None)
    later.conversation.open(chat)
    qtbot.waitUntil(lambda: bool(later.captures.drawings(key)))
    later.captures.focus(key, 0)
    later.presets.set_sampling(DRAWN.replace(temperature=0.0))
    qtbot.waitUntil(lambda: any(later.what_if.outcome.changed))
    later.conversation.finish()
    bridge.stop()


def test_an_answer_of_which_nothing_was_kept_says_so(
    state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    state.what_if.watch("test", True)
    state.captures.show(["m"])
    state.captures.begin("m", 900)
    fake.play(900, [Tokens(0, " a", (a_record(3, " a"),)), Done(0)])
    bridge.deliver()
    assert state.what_if.outcome.words == NOT_KEPT
    assert state.what_if.column("m", 0) is None


def test_for_nobody_nothing_is_derived(real: State) -> None:
    real.what_if.watch("test", False)
    assert real.what_if.outcome == Outcome()
    real.presets.set_sampling(DRAWN.replace(temperature=0.0))
    assert real.what_if.outcome == Outcome()


def test_each_token_belongs_to_the_run_that_wrote_it() -> None:
    records = [a_record(position, "a") for position in range(3, 9)]
    first, second = Drawing(1, (1, 2, 3), 3, 9), Drawing(2, (1, 2, 3, 103, 104), 3, 9)
    assert [(p.first, len(p.records), p.drawing.seed) for p in _parts(records, [first, second])] == [
        (0, 2, 1),
        (2, 4, 2),
    ]
    assert _parts(records, []) == []
