"""Scoring and writing side by side over the real engine: two bundled models, one prompt, one text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.panes.compare import Pane as ComparePane
from app.panes.score import Pane as ScorePane
from app.settings import Settings
from app.state import State, make_state
from engine import Engine, LoadParams, SamplingParams, Tokens

LONG = 60_000  # milliseconds: torch is imported once, by a busy machine
TEXT = "Once upon a time, there was a little dog."


@pytest.fixture
def both(home: Path, assets: Path, themed: QApplication, qtbot: QtBot) -> Iterator[State]:
    """A state with a story teller and, as the second model, a chat model."""
    bridge = Bridge(Engine)
    state = make_state(bridge, Settings(home))
    bridge.start()
    try:
        state.workspace.load(str(assets / "models" / "babyllama-361"), LoadParams(device="cpu", threads=1))
        qtbot.waitUntil(lambda: state.workspace.info is not None, timeout=LONG)
        state.second.load(str(assets / "models" / "companion"))
        qtbot.waitUntil(lambda: state.second.info is not None, timeout=LONG)
        yield state
    finally:
        bridge.stop()


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
