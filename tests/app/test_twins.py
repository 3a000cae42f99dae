"""Whatever a dock paints has a table twin: Tab reaches both, Ctrl+C copies both, and the table holds the same numbers.

The real window over the real engine, with two bundled models and what they wrote.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QAbstractButton, QApplication, QTableView, QWidget
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.settings import Settings
from app.state import State, make_state
from app.state.attention import DECODER
from app.widgets.row_table import RowTable
from app.window import Window
from engine import Engine, LoadParams, SamplingParams

LONG = 60_000  # milliseconds: torch is imported once, by a busy machine
TEXT = "Once upon a time, there was a little dog."


class Twin(NamedTuple):
    """A painted widget, None where the table is painted itself; what brings the table, None where it always shows.

    numbers: what must stand in the table.
    """

    painted: QWidget | None
    table: Callable[[], QTableView | None]
    numbers: Sequence[str]
    button: QAbstractButton | None = None


@pytest.fixture
def window(home: Path, assets: Path, themed: QApplication, qtbot: QtBot) -> Iterator[Window]:
    """The window with a story teller and, as the second model, a chat model."""
    bridge = Bridge(Engine)
    state = make_state(bridge, Settings(home))
    window = Window(state)
    qtbot.addWidget(window)
    window.resize(1600, 1000)
    with qtbot.waitSignal(window.painted):
        window.show()
    bridge.start()
    try:
        state.workspace.load(str(assets / "models" / "stories260K"), LoadParams(device="cpu", threads=1))
        qtbot.waitUntil(lambda: state.workspace.info is not None, timeout=LONG)
        state.second.load(str(assets / "models" / "companion"))
        qtbot.waitUntil(lambda: state.second.info is not None, timeout=LONG)
        state.conversation.set_mode("complete")
        state.presets.set_sampling(SamplingParams.neutral(temperature=0.0, max_new_tokens=12))
        yield window
    finally:
        bridge.stop()


def write(state: State, qtbot: QtBot) -> None:
    """An answer, and the last but one of its tokens in focus."""
    assert state.conversation.send("Once upon a time")
    qtbot.waitUntil(lambda: state.conversation.answering is None, timeout=LONG)
    key = state.conversation.path[-1].id
    qtbot.waitUntil(lambda: len(state.captures.records(key)) > 8, timeout=LONG)
    state.captures.focus(key, 6)


def probabilities(pane: Any, state: State, qtbot: QtBot) -> Iterator[Twin]:
    write(state, qtbot)
    qtbot.waitUntil(pane.bars.isVisible)
    record = state.captures.record
    assert record is not None
    pane.written.click()
    before = [f"{p:.6f}" for p in record.before[:10]]
    yield Twin(pane.bars, lambda: pane.table, before, pane.as_table)
    pane.steps.click()
    qtbot.waitUntil(pane.grid.isVisible)
    painted = [f"{p:.6f}" for p in pane.grid._stages[0].probabilities[:10]]
    yield Twin(pane.grid, lambda: pane.table, painted, pane.as_table)


def attention(pane: Any, state: State, qtbot: QtBot) -> Iterator[Twin]:
    write(state, qtbot)
    where = state.captures.row_of(DECODER)
    qtbot.waitUntil(lambda: state.captures.row(DECODER, 0, 0, where) is not None, timeout=LONG)
    qtbot.waitUntil(lambda: bool(pane.grid.as_text()), timeout=LONG)
    weights = [f"{weight:.4f}" for weight in state.captures.row(DECODER, *pane.grid.choice, where)]
    yield Twin(pane.map, lambda: pane.table, weights, pane.as_table)
    yield Twin(pane.grid, lambda: pane.table, weights, pane.as_table)
    pane.as_text.click()
    yield Twin(pane.flow, lambda: pane.table, weights, pane.as_table)


def inside(pane: Any, state: State, qtbot: QtBot) -> Iterator[Twin]:
    write(state, qtbot)
    state.inside.look()
    qtbot.waitUntil(pane.lens.body.isVisible, timeout=LONG)
    rows = state.inside.rows
    assert rows is not None
    said = [f"{p:.4g}" for p in rows.said[-1]]
    strip = pane.lens.strip
    yield Twin(strip.map, lambda: strip.table, said, pane.lens.as_table)
    best = rows.probabilities[-1, state.inside.place, 0]
    yield Twin(None, lambda: pane.lens.bars, [f"{best:.2%}".replace("%", " %")])
    pane.tabs.setCurrentWidget(pane.positions)
    qtbot.waitUntil(pane.positions.view.isVisible, timeout=LONG)
    view = pane.positions.view
    yield Twin(view.map, lambda: view.table, [f"{math.cos(n):.4g}" for n in range(8)], pane.positions.as_table)
    pane.tabs.setCurrentWidget(pane.two)
    pane.two.button.click()
    for second, column in enumerate(pane.two.columns):
        qtbot.waitUntil(column.view.map.isVisible, timeout=LONG)
        found = state.beside.rows(bool(second), 0)
        assert found is not None
        mean = [f"{weight:.4g}" for weight in found.astype("float32").mean(0)[-1]]
        table = column.view.table
        yield Twin(column.view.map, lambda table=table: table, mean, pane.two.as_table)


def score(pane: Any, state: State, qtbot: QtBot) -> Iterator[Twin]:
    pane.page.field.setPlainText(TEXT)
    pane.page.button.click()
    qtbot.waitUntil(lambda: not state.scoring.running and state.scoring.other is not None, timeout=LONG)
    qtbot.waitUntil(pane.page.difference.isVisible)
    strip, difference, scored = pane.page.strip, pane.page.difference, state.scoring.first
    assert scored is not None
    likely = [f"{math.exp(record.logprob):.6f}" for record in scored.records]
    yield Twin(strip.text, lambda: strip.table, likely, strip.as_table)
    bits = [f"{stretch.first:.2f}" for stretch in state.scoring.differences]
    yield Twin(None, lambda: difference.table, bits)
    pane.tabs.setCurrentWidget(pane.cutting)
    pane.cutting.field.setPlainText("taco bell")
    table = pane.cutting.columns[0].table
    qtbot.waitUntil(lambda: table.model().rowCount() > 0, timeout=LONG)
    yield Twin(None, lambda: table, [])


def compare(pane: Any, state: State, qtbot: QtBot) -> Iterator[Twin]:
    state.comparison.choose_model(1, True)
    pane.field.setPlainText("Once upon a time")
    pane.page.button.click()
    qtbot.waitUntil(lambda: bool(state.comparison.sides[0].text) and not state.comparison.running, timeout=LONG)
    qtbot.waitUntil(pane.table.isVisible)
    yield Twin(None, lambda: pane.table, [str(each.word) for each in state.comparison.differences(1)])
    pane.tokens.click()
    for column, side in zip(pane.columns, state.comparison.sides):
        records, strip = state.captures.records(side.key), column.strip
        qtbot.waitUntil(lambda strip=strip, records=records: strip.count == len(records))
        likely = [f"{math.exp(record.logprob):.6f}" for record in records]
        yield Twin(strip.text, lambda strip=strip: strip.table, likely, strip.as_table)


def reached(widget: QWidget | None) -> bool:
    """Whether Tab comes to a widget that can be seen and that says what it is."""
    if widget is None or not widget.isVisible() or not widget.isEnabled():
        return False
    tab = widget.focusPolicy() & Qt.FocusPolicy.TabFocus
    return bool(tab) and bool(widget.accessibleName() or getattr(widget, "text", str)())


def copied(widget: QWidget, qtbot: QtBot) -> list[str]:
    QGuiApplication.clipboard().setText("nothing")
    qtbot.keyClick(widget, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    return QGuiApplication.clipboard().text().splitlines()


@pytest.mark.parametrize("dock", [probabilities, attention, inside, score, compare])
def test_what_a_dock_paints_is_a_table_too(
    window: Window, qtbot: QtBot, dock: Callable[[Any, State, QtBot], Iterator[Twin]]
) -> None:
    window.docks[dock.__name__].bring()
    pane = window.docks[dock.__name__].build()
    for twin in dock(pane, window._state, qtbot):
        if twin.painted is not None:
            assert reached(twin.painted), f"Tab does not come to {twin.painted.objectName()}"
            assert len(copied(twin.painted, qtbot)) > 1, f"{twin.painted.accessibleName()} copies nothing"
        if twin.button is not None:
            assert reached(twin.button)
            qtbot.keyClick(twin.button, Qt.Key.Key_Space)
        table = twin.table()
        assert table is not None and reached(table)
        model, lines = table.model(), copied(table, qtbot)
        assert model.rowCount() > 0 and len(lines) == model.rowCount() + 1, f"{table.accessibleName()} is not whole"
        shown = {model.index(row, c).data() for row in range(model.rowCount()) for c in range(model.columnCount())}
        assert set(twin.numbers) <= shown
        if isinstance(table, RowTable):
            cells = [[model.index(row, c).data() for c in range(model.columnCount())] for row in range(len(lines) - 1)]
            assert [line.split("\t") for line in lines[1:]] == cells
        if twin.button is not None:
            qtbot.keyClick(twin.button, Qt.Key.Key_Space)
