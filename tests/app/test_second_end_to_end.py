"""What the second model wrote, looked into by the second model over the real engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from encoders import write_bert
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.panes.attention import Pane as AttentionPane
from app.panes.inside import Pane as InsidePane
from app.state import State
from app.state.attention import DECODER
from engine import SamplingParams
from live import LONG, living


@pytest.fixture
def both(home: Path, assets: Path, themed: QApplication, qtbot: QtBot) -> Iterator[State]:
    """A state with a story teller and, as the second model, a chat model."""
    with living(home, qtbot, assets / "models" / "stories260K", assets / "models" / "companion") as state:
        yield state


def test_an_answer_of_the_second_model_is_read_again_by_the_second_model(both: State, qtbot: QtBot) -> None:
    state = both
    attention, inside = AttentionPane(state), InsidePane(state)
    for pane in (attention, inside):
        qtbot.addWidget(pane)
        pane.resize(600, 500)
        pane.show()
    state.conversation.set_mode("complete")
    state.presets.set_sampling(SamplingParams.neutral(temperature=0.0, max_new_tokens=20))
    state.comparison.choose_model(1, True)
    assert state.comparison.ask("Once upon a time")
    qtbot.waitUntil(lambda: not state.comparison.running, timeout=LONG)
    for side in state.comparison.sides:
        look_into(state, attention, side.key, side.second, qtbot)


def test_an_encoder_and_a_decoder_read_one_text_in_their_own_tokens(both: State, tmp_path: Path, qtbot: QtBot) -> None:
    state, pane = both, InsidePane(both)
    qtbot.addWidget(pane)
    pane.resize(640, 700)
    pane.show()
    pane.tabs.setCurrentWidget(pane.two)
    pane.two.field.setPlainText("the cat sat")
    pane.two.button.click()
    state.second.load(str(write_bert(tmp_path / "bert", "BertForMaskedLM")))
    qtbot.waitUntil(lambda: state.beside.info(True) is not None and state.beside.info(True).kind == "encoder")
    columns = [column.view.map for column in pane.two.columns]
    qtbot.waitUntil(lambda: bool(state.beside.tokens(True)) and not state.beside.running, timeout=LONG)
    qtbot.waitUntil(lambda: list(columns[1].columns) == ["[CLS]", " the", " cat", " sat", "[SEP]"], timeout=LONG)
    qtbot.waitUntil(lambda: "".join(columns[0].columns).endswith("the cat sat"), timeout=LONG)
    for map in columns:
        assert map.values.shape == (len(map.columns),) * 2
        assert np.allclose(map.values.sum(1), 1.0, atol=0.01), "each token's weights are one in all"
    assert np.all(np.triu(columns[0].values, 1) == 0.0) and np.all(columns[1].values > 0.0)
    pane.two.what.setCurrentText("Mask")
    assert np.array_equal(columns[0].values, np.tri(len(columns[0].columns)))
    assert np.all(columns[1].values == 1.0)


def look_into(state: State, attention: AttentionPane, key: str, second: bool, qtbot: QtBot) -> None:
    """The sixth token of an answer: where the model that wrote it looked, and what its layers say."""
    captures, info = state.captures, state.second.info if second else state.workspace.info
    assert info is not None
    captures.show((key,))
    captures.focus(key, 5)
    row = captures.row_of(DECODER)
    qtbot.waitUntil(lambda: captures.row(DECODER, info.layers - 1, 0, row) is not None, timeout=LONG)
    weights = captures.row(DECODER, info.layers - 1, info.heads - 1, row)
    assert weights is not None and float(np.sum(weights)) == pytest.approx(1.0, abs=0.01)
    qtbot.waitUntil(lambda: "Not captured" not in attention.reader.words.text())
    state.inside.look()
    qtbot.waitUntil(lambda: state.inside.rows is not None, timeout=LONG)
    rows, record = state.inside.rows, captures.record
    assert rows is not None and record is not None and len(rows.names) == info.layers + 1
    assert int(rows.tops[-1, state.inside.place, 0]) == record.id, "the last layer says what was written"
    assert all("<id" not in token for token in captures.tokens()[-3:])
