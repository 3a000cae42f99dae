"""The Inside pane's two models: one text, each in its own tokens, with its attention, its positions and its mask."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.panes.inside import NO_SECOND, NOT_READ, Pane
from app.state import State
from app.state.beside import TOO_LONG
from engine import (
    Attend,
    AttentionRows,
    Done,
    Failed,
    ModelInfo,
    NamePieces,
    PositionMap,
    PositionMaps,
    Positions,
    Prompt,
    Started,
    Tokenized,
)
from fakes import FakeEngine, a_model

DECODER = a_model(name="Decoder", layers=2, heads=4)
ENCODER = a_model(name="Encoder", kind="encoder", layers=3, heads=2)
TARGET = a_model(name="Both", kind="encoder-decoder", layers=2, heads=2, encoder_layers=1, encoder_heads=2)
SIZES = {"Decoder": 2, "Encoder": 4, "Both": 3}


@pytest.fixture
def pane(state: State, qtbot: QtBot) -> Pane:
    state.workspace._show_model(DECODER)
    pane = Pane(state)
    qtbot.addWidget(pane)
    pane.resize(640, 700)
    pane.show()
    pane.tabs.setCurrentWidget(pane.two)
    return pane


def hold(state: State, info: ModelInfo | None) -> None:
    """This is the second model now."""
    state.second.info = info
    state.second.changed.emit(info)


def answer(fake: FakeEngine, bridge: Bridge, info: ModelInfo, second: bool) -> Attend:
    """Play what a model finds in the text: each row looks at the first token alone, in head 0, and evenly in others."""
    run, attend = next(
        (run, command)
        for run, command in reversed(fake.runs.values())
        if isinstance(command, Attend) and command.second == second
    )
    size, layer = SIZES[info.name], attend.capture.layer
    ids, weights = tuple(range(size)), np.full((1, info.heads, size, size), 1 / size, np.float16)
    weights[:, 0], weights[:, 0, :, 0] = 0.0, 1.0
    reads = info.kind != "decoder"
    side = "encoder" if info.kind == "encoder-decoder" else "layers"
    rows = AttentionRows(0, 0, (f"{side}.{layer}.self",), weights)
    cross = AttentionRows(0, 0, (f"layers.{layer}.cross",), weights[:, :, :1] * 0)
    started = Started(0, () if reads else ids, "", 0, 0, ids if reads else ())
    fake.play(run.id, [started, rows, *([cross] if side == "encoder" else []), Done(0)])
    bridge.deliver()
    asked = [(r, c) for r, c in fake.runs.values() if isinstance(c, Positions) and c.second == second]
    if asked:
        numbers = np.arange(size, dtype=np.int32)
        table = PositionMap("learned", side, None, numbers, numbers[:2], np.ones((size, 2), np.float32), "Added.")
        seen = np.tri(size, dtype=np.float32) if not reads else np.ones((size, size), np.float32)
        mask = PositionMap("mask", side, None, numbers, numbers, seen, f"{info.name} sees this.")
        fake.play(asked[-1][0].id, [PositionMaps(0, size, (table, mask)), Done(0)])
        bridge.deliver()
    return attend


def name(pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, second: bool) -> None:
    """Say what the tokens of one model look like: a0, a1, ... of the first, b0, b1, ... of the second."""
    state.beside.tokens(second)
    for run, command in list(fake.runs.values()):
        if isinstance(command, NamePieces) and command.second == second:
            pieces = tuple(f"{'ab'[second]}{i}" for i in command.ids)
            fake.play(run.id, [Tokenized(0, command.ids, pieces), Done(0)])
    bridge.deliver()


def test_an_encoder_stands_beside_a_decoder_each_with_its_own_tokens(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    hold(state, ENCODER)
    qtbot.waitUntil(lambda: pane.two.columns[1].says.text() == NOT_READ)
    pane.two.field.setPlainText("The cat")
    pane.two.button.click()
    assert [attend.prompt for attend in fake.given(Attend)] == [Prompt(text="The cat")] * 2
    for second, info in enumerate((DECODER, ENCODER)):
        answer(fake, bridge, info, bool(second))
        name(pane, state, fake, bridge, bool(second))
    left, right = pane.two.columns
    qtbot.waitUntil(lambda: (len(left.view.map.rows), len(right.view.map.rows)) == (2, 4))
    qtbot.waitUntil(lambda: list(right.view.map.columns) == ["b0", "b1", "b2", "b3"])
    assert list(left.view.map.columns) == ["a0", "a1"]
    pane.two.head.setCurrentIndex(1)
    assert right.view.map.values[2].tolist() == [1.0, 0.0, 0.0, 0.0]
    assert right.says.text() == "Layer 0 · head 0"
    pane.two.what.setCurrentText("Mask")
    assert (left.view.map.values[0, 1], right.view.map.values[0, 1]) == (0.0, 1.0)
    assert (left.says.text(), right.says.text()) == ("Decoder sees this.", "Encoder sees this.")
    assert list(right.view.map.rows) == ["b0", "b1", "b2", "b3"] and not pane.two.head.isVisible()
    pane.two.what.setCurrentText("Positions")
    assert left.view.map.values.shape == (2, 2) and list(left.view.map.columns) == ["0", "1"]


def test_another_layer_is_read_for_once_and_a_model_with_fewer_shows_its_last(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    hold(state, ENCODER)
    pane.two.button.click()
    for second, info in enumerate((DECODER, ENCODER)):
        answer(fake, bridge, info, bool(second))
    qtbot.waitUntil(lambda: pane.two.layer.count() == 3)
    pane.two.layer.setCurrentIndex(2)
    assert [(attend.second, attend.capture.layer) for attend in fake.given(Attend)[2:]] == [(False, 1), (True, 2)]
    for second, info in enumerate((DECODER, ENCODER)):
        answer(fake, bridge, info, bool(second))
    qtbot.waitUntil(lambda: pane.two.columns[0].says.text() == "Layer 1 · mean")
    qtbot.waitUntil(lambda: pane.two.columns[1].says.text() == "Layer 2 · mean")
    pane.two.layer.setCurrentIndex(0)
    assert len(fake.given(Attend)) == 4 and len(fake.given(Positions)) == 2, "what was seen before is kept"
    qtbot.waitUntil(lambda: [column.says.text() for column in pane.two.columns] == ["Layer 0 · mean"] * 2)


def test_an_encoder_decoder_reads_the_text_as_its_source(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    hold(state, TARGET)
    pane.two.field.setPlainText("Ein Haus")
    pane.two.button.click()
    attend = answer(fake, bridge, TARGET, second=True)
    assert attend.prompt == Prompt(source="Ein Haus")
    rows = state.beside.rows(True, 0)
    assert rows is not None and rows.shape == (2, 3, 3)
    qtbot.waitUntil(lambda: len(pane.two.columns[1].view.map.rows) == 3)


def test_a_second_model_that_comes_later_reads_the_text_too_and_one_that_goes_leaves_no_map(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    assert pane.two.columns[1].says.text() == NO_SECOND
    pane.two.button.click()
    answer(fake, bridge, DECODER, second=False)
    qtbot.waitUntil(lambda: pane.two.columns[0].view.isVisible())
    hold(state, ENCODER)
    qtbot.waitUntil(lambda: any(attend.second for attend in fake.given(Attend)))
    answer(fake, bridge, ENCODER, second=True)
    qtbot.waitUntil(lambda: pane.two.columns[1].view.isVisible())
    hold(state, None)
    qtbot.waitUntil(lambda: pane.two.columns[1].says.text() == NO_SECOND)
    assert not pane.two.columns[1].view.isVisible() and pane.two.columns[0].view.isVisible()


def test_stop_failures_and_long_texts_are_said_where_the_map_would_be(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    pane.two.button.click()
    qtbot.waitUntil(lambda: pane.two.button.text() == "Stop")
    run, _ = fake.last(Attend)
    pane.two.button.click()
    assert run.cancelled
    qtbot.waitUntil(lambda: pane.two.button.text() == "Read")
    pane.two.button.click()
    run, _ = fake.last(Attend)
    fake.play(run.id, [Failed(0, "It does not fit.", "Choose a smaller model.")])
    bridge.deliver()
    qtbot.waitUntil(lambda: pane.two.columns[0].says.text() == "It does not fit. Choose a smaller model.")
    count = len(fake.given(Attend))
    pane.two.field.setPlainText("word " * 200)
    pane.two.button.click()
    qtbot.waitUntil(lambda: pane.two.columns[0].says.text() == TOO_LONG)
    assert len(fake.given(Attend)) == count


def test_both_maps_are_tables_too_and_are_read_and_copied_by_keyboard(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    pane.two.button.click()
    answer(fake, bridge, DECODER, second=False)
    name(pane, state, fake, bridge, second=False)
    column = pane.two.columns[0]
    qtbot.waitUntil(lambda: list(column.view.map.columns) == ["a0", "a1"])
    column.view.map.pointer = (0, 0)
    qtbot.keyClick(column.view.map, Qt.Key.Key_Down)
    assert column.readout.text() == "a1 looks at a0: 0.625", "the mean of 1 and three times a half"
    pane.two.as_table.click()
    assert column.view.table.isVisible()
    qtbot.keyClick(column.view.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text().splitlines()[0].split("\t") == ["", "a0", "a1"]


@pytest.mark.parametrize("size", [(280, 400), (640, 700), (1100, 500)])
def test_it_fits_any_pane(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot, size: tuple[int, int]
) -> None:
    hold(state, ENCODER)
    pane.two.button.click()
    answer(fake, bridge, DECODER, second=False)
    answer(fake, bridge, ENCODER, second=True)
    pane.resize(*size)
    left, right = pane.two.columns
    qtbot.waitUntil(lambda: left.view.isVisible() and right.view.isVisible())
    assert pane.minimumSizeHint().width() <= 280
    assert (left.y() == right.y()) == (size[0] > 400)
    assert left.view.map.width() >= 150


def test_whoever_reads_a_table_stays_in_his_cell_while_other_panes_change(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    pane.two.button.click()
    answer(fake, bridge, DECODER, second=False)
    name(pane, state, fake, bridge, second=False)
    table = pane.two.columns[0].view.table
    qtbot.waitUntil(lambda: table.model().headerData(1, Qt.Orientation.Horizontal) == "a1")
    pane.two.as_table.click()
    table.setCurrentIndex(table.model().index(1, 1))
    pane.refresh()
    assert (table.currentIndex().row(), table.currentIndex().column()) == (1, 1)
    pane.two.what.setCurrentText("Mask")
    assert table.model().index(0, 1).data() == "0"
