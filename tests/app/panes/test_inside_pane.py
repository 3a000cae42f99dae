"""The Inside pane over its state: what the layers say, what it costs to ask them, and the maps of positions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.panes.inside import Pane
from app.state import State
from app.widgets.bar_table import SHARE
from engine import Done, Failed, Lens, LensRows, PositionMap, PositionMaps, Positions, Progress, Prompt, Started, Tokens
from fakes import FakeEngine, a_model, a_record

RUN = 900
PROMPT = (1, 2, 3)


@pytest.fixture
def pane(state: State, qtbot: QtBot) -> Pane:
    state.workspace._show_model(a_model())
    pane = Pane(state)
    qtbot.addWidget(pane)
    pane.resize(420, 480)
    pane.show()
    state.captures.show(["m"])
    state.captures.set_context("m", Prompt(ids=PROMPT))
    return pane


def write(state: State, fake: FakeEngine, bridge: Bridge, count: int, end: bool = True) -> None:
    state.captures.begin("m", RUN)
    events = [Started(0, PROMPT, "rendered", 1, 0)]
    events += [Tokens(0, f" w{n}", (a_record(3 + n, f" w{n}"),)) for n in range(count)]
    fake.play(RUN, [*events, *([Done(0, "eos")] if end else [])])
    bridge.deliver()


def seen(lens: Lens) -> LensRows:
    """What the layers of a model of two say for this command: token 7 after the embedding, then 8, then 9."""
    ids = (*(lens.prompt.ids or ()), *lens.prompt.answer_ids)
    rows = len(ids) - lens.first
    tops = np.repeat(np.array([7, 8, 9], np.int32), rows).reshape(3, rows, 1)
    p = np.repeat(np.array([0.1, 0.4, 0.8], np.float32), rows).reshape(3, rows, 1)
    said = np.repeat(np.array([0.0, 0.2, 0.8], np.float32), rows).reshape(3, rows)
    names = ("embedding", "layers.0", "layers.1")
    return LensRows(0, ids, lens.first, names, tops, p, said + 1, said, {7: " a", 8: " b", 9: " w"})


def answer(fake: FakeEngine, bridge: Bridge) -> Lens:
    run, lens = fake.last(Lens)
    fake.play(run.id, [seen(lens), Done(0)])
    bridge.deliver()
    return lens


def test_a_cheap_look_is_taken_at_once_and_shows_what_each_layer_says(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    write(state, fake, bridge, 4)
    qtbot.waitUntil(lambda: bool(fake.given(Lens)))
    lens = answer(fake, bridge)
    assert lens.prompt == Prompt(ids=PROMPT, answer_ids=(103, 104, 105)), "the last row wrote the last token"
    qtbot.waitUntil(pane.lens.body.isVisible)
    bars = pane.lens.bars
    assert [bars.item(row, 0).text() for row in range(3)] == ["Embedding  ␣a", "Layer 0  ␣b", "Layer 1  ␣w"]
    assert bars.item(2, 1).text() == "80.00 %" and bars.item(2, 1).data(SHARE) == pytest.approx(0.8)
    assert pane.lens.title.text() == "Towards ␣w3" and pane.lens.strip.map._marked == 5
    assert pane.lens.strip.map.values.shape == (3, 6)
    assert not pane.lens.reader.isVisible()


def test_the_focus_moves_within_what_was_seen_without_another_reading(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    write(state, fake, bridge, 4)
    qtbot.waitUntil(lambda: bool(fake.given(Lens)))
    answer(fake, bridge)
    qtbot.waitUntil(pane.lens.body.isVisible)
    strip = pane.lens.strip.map
    strip.setFocus()
    qtbot.keyClick(strip, Qt.Key.Key_Left)
    assert "towards ␣w2" in pane.lens.readout.text() and "80.00 %" in pane.lens.readout.text()
    qtbot.keyClick(strip, Qt.Key.Key_Return)
    assert state.captures.focused == ("m", 2)
    qtbot.waitUntil(lambda: pane.lens.title.text() == "Towards ␣w2")
    assert len(fake.given(Lens)) == 1
    pane.lens.shown.setCurrentIndex(1)
    assert strip.values[0, 0] == 1.0 and "nats" in pane.lens.legend.accessibleName()


def test_the_strip_is_a_table_too_and_is_copied(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    write(state, fake, bridge, 2)
    qtbot.waitUntil(lambda: bool(fake.given(Lens)))
    answer(fake, bridge)
    qtbot.waitUntil(pane.lens.body.isVisible)
    pane.lens.as_table.click()
    model = pane.lens.strip.table.model()
    assert (model.rowCount(), model.columnCount()) == (3, 4)
    assert model.index(2, 3).data() == "0.8"
    assert model.headerData(3, Qt.Orientation.Horizontal) == "␣w1"
    assert model.headerData(0, Qt.Orientation.Vertical) == "Embedding"
    pane.lens.copy.click()
    lines = QGuiApplication.clipboard().text().split("\n")
    assert len(lines) == 4 and lines[3].split("\t") == ["Layer␣1", "0.8", "0.8", "0.8", "0.8"]


def test_a_large_model_says_what_a_look_costs_and_waits_to_be_asked(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    state.workspace._show_model(a_model(parameters=70_000_000_000, vocabulary=150_000, width=8192, layers=80))
    write(state, fake, bridge, 20)
    qtbot.waitUntil(pane.lens.reader.button.isVisible)
    assert not fake.given(Lens)
    assert "22 tokens" in pane.lens.reader.words.text() and "81 layers about 8 of them" in pane.lens.reader.words.text()
    pane.lens.reader.button.click()
    run, lens = fake.last(Lens)
    assert lens.first == 14
    fake.play(run.id, [Progress(0, "Reading", 5, 22)])
    bridge.deliver()
    qtbot.waitUntil(lambda: pane.lens.reader.progress.value() == 5)
    pane.lens.reader.cancel.click()
    assert run.cancelled
    qtbot.waitUntil(pane.lens.reader.button.isVisible)


def test_while_an_answer_is_written_no_layer_is_asked(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    write(state, fake, bridge, 3, end=False)
    qtbot.waitUntil(lambda: "when the answer is written" in pane.lens.reader.words.text())
    assert not fake.given(Lens)


def test_an_answer_written_anew_is_not_shown_with_what_the_old_one_said(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    write(state, fake, bridge, 3)
    qtbot.waitUntil(lambda: bool(fake.given(Lens)))
    answer(fake, bridge)
    assert state.inside.rows is not None
    records = state.captures.records("m")
    records[1] = dataclasses.replace(records[1], id=55)
    assert state.inside.rows is None


def test_a_failure_is_said_where_it_happened(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    write(state, fake, bridge, 3)
    qtbot.waitUntil(lambda: bool(fake.given(Lens)))
    run, _ = fake.last(Lens)
    fake.play(run.id, [Failed(0, "It does not fit.", "Choose a smaller model.")])
    bridge.deliver()
    qtbot.waitUntil(lambda: pane.lens.reader.words.text() == "It does not fit. Choose a smaller model.")


def test_maps_of_positions_are_asked_for_once_and_read_without_a_mouse(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    pane.tabs.setCurrentIndex(1)
    run, asked = fake.last(Positions)
    assert asked.length == 64
    numbers = np.arange(4, dtype=np.int32)
    angles = PositionMap("rotary", "layers", (0,), numbers, numbers[:2], np.full((4, 2), np.pi, np.float32), "Turned.")
    mask = PositionMap("mask", "layers", None, numbers, numbers, np.tri(4, dtype=np.float32), "Sees what came before.")
    fake.play(run.id, [PositionMaps(0, 4, (angles, mask)), Done(0)])
    bridge.deliver()
    page = pane.positions
    qtbot.waitUntil(lambda: page.which.count() == 2)
    assert page.which.itemText(0) == "Rotary angles · layer 0" and page.says.text() == "Turned. Layers 0."
    assert page.view.map.values[0, 0] == pytest.approx(-1)
    page.which.setCurrentIndex(1)
    assert page.says.text() == "Sees what came before."
    page.view.map.pointer = (0, 0)
    qtbot.keyClick(page.view.map, Qt.Key.Key_Right)
    assert page.readout.text() == "Position 0 does not see position 1"
    page.as_table.click()
    assert page.view.table.model().index(0, 1).data() == "0"
    assert len(fake.given(Positions)) == 1


@pytest.mark.parametrize("size", [(280, 300), (320, 560), (1000, 600)])
def test_it_fits_any_pane(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot, size: tuple[int, int]
) -> None:
    write(state, fake, bridge, 4)
    qtbot.waitUntil(lambda: bool(fake.given(Lens)))
    answer(fake, bridge)
    pane.resize(*size)
    qtbot.waitUntil(pane.lens.body.isVisible)
    assert pane.minimumSizeHint().width() <= 280
    assert pane.lens.strip.width() >= 150 and not pane.grab().isNull()
