"""The Attention pane over its state: heads, the large head, scrubbing, and reading a stored answer again."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.panes.attention import Pane
from app.state import State
from app.state.attention import MEAN
from engine import Attend, AttentionRows, AttentionThumbnails, Done, Prompt, Retune, Started, Tokens
from fakes import FakeEngine, a_model, a_record

RUN = 900
LAYERS = ("layers.0.self", "layers.1.self")


@pytest.fixture
def pane(state: State, qtbot: QtBot) -> Pane:
    state.workspace._show_model(a_model())
    pane = Pane(state)
    qtbot.addWidget(pane)
    pane.resize(420, 480)
    pane.show()
    state.captures.show(["m"])
    state.captures.set_context("m", Prompt(ids=(1, 2, 3)))
    return pane


def rows(start: int, count: int = 1) -> AttentionRows:
    """Head h of layer l looks at token 0 with weight (l * 4 + h + 1) / 16, at the rest evenly."""
    size = start + count
    weights = np.zeros((2, 4, count, size), np.float16)
    for layer in range(2):
        for head in range(4):
            first = (layer * 4 + head + 1) / 16
            weights[layer, head] = (1 - first) / (size - 1)
            weights[layer, head, :, 0] = first
    return AttentionRows(0, start, LAYERS, weights)


def write(state: State, fake: FakeEngine, bridge: Bridge, count: int, captured: bool = True) -> None:
    state.captures.begin("m", RUN)
    events = [Started(0, (1, 2, 3), "rendered", 1, 0)]
    if captured:
        events.append(rows(0, 3))
        events.append(AttentionThumbnails(0, 3 + count, 1, LAYERS, np.full((2, 4, 5, 5), 0.5, np.float32)))
    for number in range(count):
        text = f" w{number}"
        events.append(Tokens(0, text, (a_record(3 + number, text),)))
        if captured:
            events.append(rows(3 + number))
    fake.play(RUN, events)
    bridge.deliver()


def test_an_empty_pane_says_what_will_appear(pane: Pane) -> None:
    assert pane._pages.currentIndex() == 0


def test_attention_is_captured_while_the_pane_is_seen_and_no_longer(pane: Pane, state: State, fake: FakeEngine) -> None:
    state.captures.begin("m", RUN)
    pane.hide()
    hidden = fake.last(Retune)[1].capture
    assert hidden is not None and hidden.attention == "none"
    pane.show()
    shown = fake.last(Retune)[1].capture
    assert shown is not None and shown.attention == "all"


def test_the_row_that_wrote_the_newest_token_is_in_focus(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    write(state, fake, bridge, 3)
    qtbot.waitUntil(lambda: pane.map._row == 4)
    assert pane.scrub.maximum() == 2 and pane.scrub.value() == 2
    assert pane.map.weight(4, 0) == pytest.approx(1 / 16, abs=1e-3)
    assert pane.map.weight(2, 2) is not None
    assert "While writing ␣w2 it looked at" in pane.readout.text()
    qtbot.waitUntil(lambda: pane.grid._image is not None)


def test_scrubbing_moves_the_focus_and_the_focus_moves_the_slider(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    write(state, fake, bridge, 3)
    qtbot.waitUntil(lambda: pane.scrub.maximum() == 2)
    pane.scrub.setValue(0)
    assert state.captures.focused == ("m", 0)
    state.captures.focus("m", 1)
    qtbot.waitUntil(lambda: pane.scrub.value() == 1 and pane.map._row == 3)
    pane.map.row_chosen.emit(4)
    assert state.captures.focused == ("m", 2)


def test_a_head_that_is_chosen_is_shown_large_and_the_mean_is_their_mean(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    write(state, fake, bridge, 2)
    qtbot.waitUntil(lambda: pane.map._row == 3)
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Right, Qt.Key.Key_Right):
        qtbot.keyClick(pane.grid, key)
    assert pane.title.text() == "Layer 1 · head 2"
    assert pane.map.weight(3, 0) == pytest.approx(7 / 16, abs=1e-3)
    pane.mean.click()
    assert pane._head == MEAN
    assert pane.map.weight(3, 0) == pytest.approx(6.5 / 16, abs=1e-3)


def test_the_table_and_the_clipboard_hold_the_row_in_focus(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    write(state, fake, bridge, 2)
    qtbot.waitUntil(lambda: pane.map._row == 3)
    pane.as_table.click()
    assert pane.table.model().rowCount() == 4
    assert pane.table.model().index(3, 1).data() == "␣w0"
    pane.copy.click()
    lines = QGuiApplication.clipboard().text().split("\n")
    assert lines[0] == "position\ttoken\tweight" and len(lines) == 5
    assert sum(float(line.split("\t")[2]) for line in lines[1:]) == pytest.approx(1, abs=0.01)


def test_what_was_not_captured_is_said_and_a_small_model_reads_it_again_by_itself(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    write(state, fake, bridge, 2, captured=False)
    fake.play(RUN, [Done(0)])
    bridge.deliver()
    qtbot.waitUntil(lambda: bool(fake.given(Attend)))
    assert pane.map.weight(3, 0) is None
    run, attend = fake.last(Attend)
    assert attend.prompt == Prompt(ids=(1, 2, 3), answer_ids=(103,))
    qtbot.waitUntil(lambda: pane.reader.progress.isVisible() and pane.reader.cancel.isVisible())
    fake.play(run.id, [rows(0, 4), Done(0)])
    bridge.deliver()
    qtbot.waitUntil(lambda: pane.map.weight(3, 0) is not None and not pane.reader.isVisible())
    assert len(fake.given(Attend)) == 1


def test_a_large_model_waits_to_be_asked_and_can_be_cancelled(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    state.workspace._show_model(a_model(parameters=70_000_000_000))
    write(state, fake, bridge, 2, captured=False)
    fake.play(RUN, [Done(0)])
    bridge.deliver()
    qtbot.waitUntil(pane.reader.button.isVisible)
    assert not fake.given(Attend)
    pane.reader.button.click()
    run, _ = fake.last(Attend)
    qtbot.waitUntil(pane.reader.cancel.isVisible)
    pane.reader.cancel.click()
    assert run.cancelled
    qtbot.waitUntil(pane.reader.button.isVisible)


@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (2, 40), (40, 2), (32, 32)])
@pytest.mark.parametrize("size", [(300, 320), (900, 500)])
def test_any_shape_of_model_fits_any_size_of_pane(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, layers: int, heads: int, size: tuple[int, int]
) -> None:
    state.workspace._show_model(a_model(layers=layers, heads=heads))
    write(state, fake, bridge, 2, captured=False)
    pane.resize(*size)
    pane.refresh()
    assert pane.map.width() >= 150 and pane.map.height() >= 100
    assert not pane.grab().isNull()
