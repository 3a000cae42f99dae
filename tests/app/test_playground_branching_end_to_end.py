"""Going on from a token of a target with a real transliterator: greedily, with beams, and back to what was written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.panes import probabilities
from app.panes.playground import Pane
from app.state import State
from engine import SamplingParams
from live import LONG, showing

GREEDY = SamplingParams.neutral(temperature=0.0, max_new_tokens=40)


@pytest.fixture
def real(home: Path, references: Path, themed: QApplication, qtbot: QtBot) -> Iterator[tuple[Pane, State]]:
    model = references / "models" / "aren-transliteration" / "hf"
    with showing(Pane, home, qtbot, model, size=(380, 640)) as shown:
        yield shown


def settle(state: State, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: state.playground.running is None, timeout=LONG)


def joined(state: State) -> str:
    return "".join(record.text for record in state.captures.records(state.playground.target_key))


@pytest.mark.parametrize("beams", [1, 3])
def test_a_candidate_begins_another_version_and_the_first_one_stays(
    real: tuple[Pane, State], qtbot: QtBot, beams: int
) -> None:
    pane, state = real
    chances = probabilities.Pane(state)
    qtbot.addWidget(chances)
    chances.show()
    state.presets.set_sampling(GREEDY.replace(beams=beams))
    pane.writer.field.setPlainText("آتزمون")
    pane.writer.button.click()
    settle(state, qtbot)
    assert pane.writer.target.toPlainText() == joined(state) == "atzmon"
    state.captures.focus(state.playground.target_key, 1)
    chances.refresh()
    first, record = state.captures.records(state.playground.target_key)[0], state.captures.record
    assert record is not None
    other = int(next(id for id in record.candidate_ids if id != record.id))
    chances.bars.taken.emit(other)
    settle(state, qtbot)
    branch = state.captures.records(state.playground.target_key)
    assert branch[0] is first and branch[1].id == other
    assert pane.writer.target.toPlainText() == joined(state) != "atzmon"
    assert [each.position for each in branch] == list(range(1, 1 + len(branch)))
    assert state.playground.versions == (2, 2)
    pane.writer.step.emit(-1)
    assert pane.writer.target.toPlainText() == joined(state) == "atzmon"


def test_to_take_the_token_that_was_written_writes_the_same_again_and_so_does_its_text(
    real: tuple[Pane, State], qtbot: QtBot
) -> None:
    pane, state = real
    state.presets.set_sampling(GREEDY)
    state.playground.write("آتزمون")
    settle(state, qtbot)
    for forced in ("id", "text"):
        state.playground.show_version(-1)
        record = state.captures.records(state.playground.target_key)[2]
        ids, text = ((record.id,), "") if forced == "id" else ((), record.text)
        state.playground.branch(state.playground.target_key, 2, ids, text)
        settle(state, qtbot)
        assert pane.writer.target.toPlainText() == joined(state) == "atzmon"
    assert state.playground.versions == (3, 3)


def test_what_the_branch_keeps_and_what_it_draws_can_be_drawn_again(real: tuple[Pane, State], qtbot: QtBot) -> None:
    _, state = real
    sampled = GREEDY.replace(temperature=1.0, seed=3)
    state.presets.set_sampling(sampled)
    state.what_if.watch("test", True)
    state.playground.write("آتزمون")
    settle(state, qtbot)
    record = state.captures.records(state.playground.target_key)[1]
    other = int(next(id for id in record.candidate_ids if id != record.id))
    state.playground.branch(state.playground.target_key, 1, (other,))
    settle(state, qtbot)
    total = len(state.captures.records(state.playground.target_key))
    qtbot.waitUntil(lambda: state.what_if.outcome.words == f"None of {total} tokens would differ.", timeout=LONG)
