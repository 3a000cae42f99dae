"""Scoring and writing side by side over the real engine: two bundled models, one prompt, one text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.panes.compare import Pane as ComparePane
from app.panes.score import Pane as ScorePane
from app.state import State
from app.state.attention import DECODER
from engine import AttentionRows, SamplingParams, Tokens
from live import LONG, living

TEXT = "Once upon a time, there was a little dog."


@pytest.fixture
def both(home: Path, assets: Path, themed: QApplication, qtbot: QtBot) -> Iterator[State]:
    """A state with a story teller and, as the second model, a chat model."""
    with living(home, qtbot, assets / "models" / "babyllama-361", assets / "models" / "companion") as state:
        yield state


def test_two_models_continue_one_text_at_once_and_one_is_kept(both: State, qtbot: QtBot) -> None:
    pane = ComparePane(both)
    qtbot.addWidget(pane)
    pane.show()
    order: list[int] = []
    both.workspace.event.connect(lambda event: order.append(event.run) if isinstance(event, Tokens) else None)
    both.presets.set_sampling(SamplingParams(max_new_tokens=60))
    both.comparison.choose_model(1, True)
    pane.field.setPlainText("Once upon a time")
    pane.page.button.click()
    qtbot.waitUntil(lambda: not both.comparison.running, timeout=LONG)
    first, second = both.comparison.sides
    assert first.text != second.text and (first.status, second.status) != ("failed", "failed")
    runs = list(dict.fromkeys(order))
    assert len(runs) == 2 and order.index(runs[1]) < len(order) - 1 - order[::-1].index(runs[0])
    assert pane.columns[1].text.toPlainText() == second.text and pane.table.model().rowCount() > 0
    pane.columns[1].keep.click()
    (kept,) = both.conversation.path
    assert kept.text == "Once upon a time" + second.text and kept.model == second.model == "companion"


def test_the_attention_of_the_side_that_is_looked_at_is_there_while_it_writes_and_is_that_of_reading_it_again(
    both: State, qtbot: QtBot
) -> None:
    captures, comparison = both.captures, both.comparison
    captures.set_visible("attention", True)
    both.presets.set_sampling(SamplingParams(max_new_tokens=40, end_token="never"))
    comparison.choose_model(1, True)
    rows: dict[int, int] = {}

    def count(event: object) -> None:
        if isinstance(event, AttentionRows):
            rows[event.run] = rows.get(event.run, 0) + 1

    both.workspace.event.connect(count)
    comparison.look_at(1)
    comparison.ask("Once upon a time")
    first, second = (side.run for side in comparison.sides)
    assert first is not None and second is not None
    live: list[int] = []  # tokens whose row was there before the answer was whole

    def look(message: str, index: int) -> None:
        record = captures.record
        if captures.live and record is not None and captures.row(DECODER, 0, 0, record.position - 1) is not None:
            live.append(index)

    captures.attention_changed.connect(lambda: look(*(captures.focused or ("", 0))))
    qtbot.waitUntil(lambda: not comparison.running, timeout=LONG)
    assert live and captures.focused == (comparison.sides[1].key, 39)
    assert rows.get(second.id, 0) > 0 and first.id not in rows, "what is not looked at captures nothing"
    last = captures.row_of(DECODER)
    seen = captures.row(DECODER, 1, 2, last)
    captures._store.clear()
    captures.reread()
    qtbot.waitUntil(lambda: not captures.rereading.running, timeout=LONG)
    again = captures.row(DECODER, 1, 2, last)
    assert seen is not None and again is not None
    assert np.abs(seen - again).max() < 2e-3


def test_two_models_score_one_text_and_their_sums_are_their_perplexities(both: State, qtbot: QtBot) -> None:
    pane = ScorePane(both)
    qtbot.addWidget(pane)
    pane.show()
    pane.page.field.setPlainText(TEXT)
    pane.page.button.click()
    qtbot.waitUntil(lambda: not both.scoring.running and both.scoring.other is not None, timeout=LONG)
    first, other = both.scoring.first, both.scoring.other
    assert first is not None and other is not None
    found = both.scoring.differences
    joined = "".join(each.text for each in found)
    assert joined and TEXT.endswith(joined)
    assert joined == "".join(record.text for record in other.records)
    assert sum(each.second for each in found) == pytest.approx(other.nll / math.log(2), rel=1e-5)
    assert pane.page.difference.isVisible() and not pane.notice.isVisible()
