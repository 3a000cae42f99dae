"""The Inside pane over the real engine: its last layer says what was written, for every kind of model."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from encoders import write_bert
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.panes.inside import Pane
from app.state import State
from engine import SamplingParams
from live import LONG, showing


def opened(home: Path, model: Path, qtbot: QtBot) -> AbstractContextManager[tuple[Pane, State]]:
    return showing(Pane, home, qtbot, model)


def the_last_layer_says_the_token_in_focus(state: State) -> bool:
    rows, record = state.inside.rows, state.captures.record
    return rows is not None and record is not None and int(rows.tops[-1, state.inside.place, 0]) == record.id


def test_a_stored_answer_is_looked_into_token_by_token(
    home: Path, assets: Path, themed: QApplication, qtbot: QtBot
) -> None:
    with opened(home, assets / "models" / "companion", qtbot) as (pane, state):
        state.presets.set_sampling(SamplingParams.neutral(temperature=0.0, max_new_tokens=30))
        state.conversation.send("Hi")
        qtbot.waitUntil(lambda: state.conversation.answering is None, timeout=LONG)
        message = state.conversation.path[-1].id
        for index in (len(state.captures.records(message)) - 1, 3):
            state.captures.focus(message, index)
            qtbot.waitUntil(lambda: the_last_layer_says_the_token_in_focus(state), timeout=LONG)
        state.captures.rereading.cancel()
        state.captures._prompts.clear()  # as after a restart: only the conversation is known
        state.inside._rows = None
        state.captures.focus(message, 2)
        state.inside.look()
        qtbot.waitUntil(lambda: the_last_layer_says_the_token_in_focus(state), timeout=LONG)
        pane.tabs.setCurrentIndex(1)
        qtbot.waitUntil(lambda: pane.positions.which.count() == 2, timeout=LONG)
        assert [pane.positions.which.itemText(n) for n in range(2)] == ["Rotary angles", "Mask"]


def test_a_target_is_looked_into_for_its_source(
    home: Path, references: Path, themed: QApplication, qtbot: QtBot
) -> None:
    with opened(home, references / "models" / "aren-transliteration" / "hf", qtbot) as (pane, state):
        state.presets.set_sampling(SamplingParams.neutral(temperature=0.0, max_new_tokens=40))
        state.playground.write("آتزمون")
        qtbot.waitUntil(lambda: state.playground.running is None, timeout=LONG)
        qtbot.waitUntil(lambda: the_last_layer_says_the_token_in_focus(state), timeout=LONG)
        pane.tabs.setCurrentIndex(1)
        qtbot.waitUntil(lambda: pane.positions.which.count() == 4, timeout=LONG)
        assert pane.positions.which.itemText(2).startswith("Mask · encoder")


def test_an_encoder_says_what_every_token_would_be_filled_with(
    home: Path, tmp_path: Path, themed: QApplication, qtbot: QtBot
) -> None:
    with opened(home, write_bert(tmp_path / "bert", "BertForMaskedLM"), qtbot) as (pane, state):
        state.playground.fill("the [MASK] sat")
        qtbot.waitUntil(lambda: state.inside.rows is not None, timeout=LONG)
        rows = state.inside.rows
        assert rows is not None and state.inside.place == 2 and rows.tops.shape[1] == 5
        assert np.isfinite(rows.said).all()
        state.captures.focus_source(4)
        qtbot.waitUntil(lambda: pane.lens.strip.map._marked == 4)
