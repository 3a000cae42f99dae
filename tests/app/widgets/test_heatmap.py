"""The large head and the grid of heads: geometry, reading, keys, and that missing is never drawn as zero."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QSize, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.widgets.head_grid import EDGE_LEFT, EDGE_TOP, HeadGrid
from app.widgets.heatmap import Heatmap, _largest, _runs
from app.widgets.tint import tinted


@pytest.fixture
def heatmap(qtbot: QtBot, themed: QApplication) -> Heatmap:
    widget = Heatmap()
    qtbot.addWidget(widget)
    widget.resize(400, 400)
    values = np.full((4, 6), np.nan, np.float32)
    for row in range(4):
        values[row, : row + 3] = 1 / (row + 3)
    widget.set_map(values, 2, [f" t{n}" for n in range(6)], 4)
    widget.show()
    return widget


def test_a_cell_is_its_weight_where_captured_and_none_elsewhere(heatmap: Heatmap) -> None:
    assert heatmap.weight(2, 0) == pytest.approx(1 / 3)
    assert heatmap.weight(0, 0) is None and heatmap.weight(2, 5) is None and heatmap.weight(9, 0) is None


def test_the_readout_says_both_tokens_and_the_weight_or_why_there_is_none(heatmap: Heatmap) -> None:
    said = {}
    for cell in ((5, 1), (0, 0), (2, 4)):
        heatmap.pointer = cell
        said[cell] = heatmap.readout()
    assert said[(5, 1)] == "␣t5 (5) → ␣t1 (1): 0.167"
    assert said[(0, 0)] == "␣t0 (0) → ␣t0 (0): not captured"
    assert said[(2, 4)] == "␣t2 (2) comes before ␣t4 (4) and cannot look at it"


def test_missing_cells_are_transparent_and_zero_is_not(themed: QApplication) -> None:
    image = tinted(np.array([[0.0, np.nan, 1.0]], np.float32))
    assert [image.pixelColor(x, 0).alpha() for x in range(3)] == [255, 0, 255]
    assert image.pixelColor(0, 0) != image.pixelColor(2, 0)


def test_arrow_keys_move_the_cross_hair_and_enter_chooses_its_row(heatmap: Heatmap, qtbot: QtBot) -> None:
    qtbot.keyClick(heatmap, Qt.Key.Key_Left)
    assert heatmap.pointer == (4, 3)
    assert heatmap.accessibleDescription() == "␣t4 (4) → ␣t3 (3): 0.200"
    qtbot.keyClick(heatmap, Qt.Key.Key_Up)
    with qtbot.waitSignal(heatmap.row_chosen) as chosen:
        qtbot.keyClick(heatmap, Qt.Key.Key_Return)
    assert chosen.args == [3]


def test_a_click_chooses_the_row_under_it_at_every_zoom(heatmap: Heatmap, qtbot: QtBot) -> None:
    for zoom in (heatmap.fit, lambda: heatmap.zoom(1.5), lambda: heatmap.zoom(0.7)):
        zoom()
        spot = heatmap._place(3.5, 1.5)
        with qtbot.waitSignal(heatmap.row_chosen) as chosen:
            qtbot.mouseClick(heatmap, Qt.MouseButton.LeftButton, pos=QPoint(round(spot.x()), round(spot.y())))
        assert chosen.args == [3]


def test_copying_gives_the_part_in_view_with_blanks_for_what_is_missing(heatmap: Heatmap, qtbot: QtBot) -> None:
    heatmap.fit()
    qtbot.keyClick(heatmap, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    lines = [line.split("\t") for line in QGuiApplication.clipboard().text().split("\n")]
    assert lines[0] == ["", *(f"␣t{n}" for n in range(6))]
    assert lines[1] == ["␣t0", *[""] * 6]
    assert lines[3] == ["␣t2", *["0.3333"] * 3, *[""] * 3]


@pytest.mark.parametrize("count", [1, 40, 700])
def test_maps_of_any_size_are_drawn_whole_or_in_part(qtbot: QtBot, themed: QApplication, count: int) -> None:
    widget = Heatmap()
    qtbot.addWidget(widget)
    widget.resize(300, 260)
    widget.set_map(np.tril(np.full((count, count), 0.5, np.float32)), 0, ["x"] * count, count - 1)
    for draw in (widget.grab, widget.fit, widget.grab):
        draw()
    rows, columns = widget._in_view()
    assert rows.stop <= count and columns.stop <= count and widget.weight(count - 1, 0) == 0.5


@pytest.mark.parametrize("each", [1, 2, 3, 7, 20])
def test_rows_that_share_a_pixel_give_their_largest_values(each: int) -> None:
    rows = np.random.default_rng(1).random((11, 5)).astype(np.float32)
    rows[:4, 2] = np.nan
    pooled = _largest(rows, each)
    assert len(pooled) == -(-11 // each)
    for index, row in enumerate(pooled):
        group = rows[index * each : (index + 1) * each]
        for column in range(5):
            known = group[np.isfinite(group[:, column]), column]
            assert row[column] == known.max() if known.size else np.isnan(row[column])


def test_neighbours_join_into_runs() -> None:
    assert _runs([1, 2, 3, 7, 9, 10]) == [(1, 4), (7, 8), (9, 11)]


def test_a_head_is_chosen_by_click_and_by_keys_and_stays_in_the_grid(qtbot: QtBot, themed: QApplication) -> None:
    grid = HeadGrid()
    qtbot.addWidget(grid)
    grid.set_shape(3, 4)
    grid.resize(grid.fitting(QSize(200, 200)))
    grid.show()
    said: list[tuple[int, int]] = []
    grid.chosen.connect(lambda layer, head: said.append((layer, head)))
    cell = (grid.width() - EDGE_LEFT) // 4
    qtbot.mouseClick(grid, Qt.MouseButton.LeftButton, pos=QPoint(EDGE_LEFT + cell + 5, EDGE_TOP + 2 * cell + 5))
    assert said == [(2, 1)]
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Left, Qt.Key.Key_Left, Qt.Key.Key_Up):
        qtbot.keyClick(grid, key)
    assert grid.choice == (1, 0)
    assert grid.accessibleDescription() == "Layer 1, head 0 of 3 layers with 4 heads"
    grid.set_maps(np.zeros((3, 4, 5, 5), np.float32))
    assert not grid.grab().isNull()
    grid.set_shape(1, 1)
    assert grid.choice == (0, 0)
