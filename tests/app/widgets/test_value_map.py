"""Numbers as colours: the scale, the map with its cross-hair, and the table that says the same."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QGuiApplication
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app import theme
from app.widgets.scales import Scale, ScaleLegend
from app.widgets.value_map import MapOrTable

VALUES = np.array([[0.0, 0.5, 1.0], [1.0, np.nan, 0.25]], np.float32)


@pytest.fixture
def view(themed: QApplication, qtbot: QtBot) -> MapOrTable:
    view = MapOrTable("numbers", "Numbers")
    qtbot.addWidget(view)
    view.resize(400, 200)
    view.show()
    view.set_map(VALUES, ["a", "b"], ["x", " y", "z"], Scale("Share"), lambda r, c: f"{r} and {c}", 1)
    return view


def test_a_cell_has_the_colour_of_its_number_and_none_where_there_is_no_number(view: MapOrTable) -> None:
    image = Scale("Share").image(VALUES)
    for row, column in np.ndindex(VALUES.shape):
        value = VALUES[row, column]
        if np.isnan(value):
            assert image.pixelColor(column, row).alpha() == 0
        else:
            assert image.pixelColor(column, row) == theme.probability_color(round(float(value) * 255) / 255)


def test_a_signed_scale_is_the_page_at_zero_and_another_hue_on_either_side(themed: QApplication) -> None:
    scale = Scale.around(np.array([-3.0, 0.5, np.nan]), "What is added")
    assert (scale.low, scale.high) == (-3.0, 3.0)
    assert scale.color(0.0) == QColor(theme.current().surface)
    assert len({scale.color(value).name() for value in (-3.0, -1.0, 0.0, 1.0, 3.0)}) == 5
    assert Scale.around(np.zeros(3), "").high == 1.0, "a map of zeros has a scale too"


def test_keys_and_pointer_read_cells_and_choose_them(view: MapOrTable, qtbot: QtBot) -> None:
    map, chosen = view.map, []
    map.chosen.connect(lambda *place: chosen.append(place))
    for key in (Qt.Key.Key_Up, Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Return):
        qtbot.keyClick(map, key)
    assert map.pointer == (0, 2) and map.readout() == "0 and 2" == map.accessibleDescription()
    qtbot.mouseMove(map, map._cell(1, 0).center().toPoint())
    qtbot.waitUntil(lambda: map.pointer == (1, 0))
    qtbot.mouseClick(map, Qt.MouseButton.LeftButton, pos=map._cell(1, 0).center().toPoint())
    assert chosen == [(0, 2), (1, 0)]


def test_the_table_and_the_clipboard_say_what_the_map_shows(view: MapOrTable, qtbot: QtBot) -> None:
    view.show_table(True)
    model = view.table.model()
    for row, column in np.ndindex(VALUES.shape):
        value = float(model.index(row, column).data())
        assert value == pytest.approx(VALUES[row, column], nan_ok=True)
    assert [model.headerData(n, Qt.Orientation.Horizontal) for n in range(3)] == ["x", "␣y", "z"]
    view.show_table(False)
    qtbot.keyClick(view.map, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text().split("\n")[1] == "a\t0\t0.5\t1"


def test_a_smaller_map_forgets_the_cross_hair_and_an_empty_one_is_drawn(view: MapOrTable, qtbot: QtBot) -> None:
    qtbot.keyClick(view.map, Qt.Key.Key_Down)
    view.set_map(VALUES[:1, :1], ["a"], ["x"], Scale("Share"), lambda r, c: "", -1)
    assert view.map.pointer is None and view.map.readout() == ""
    view.set_map(np.empty((0, 0), np.float32), [], [], Scale("Share"), lambda r, c: "", -1)
    qtbot.keyClick(view.map, Qt.Key.Key_Down)
    assert not view.grab().isNull()


def test_a_legend_says_its_range(themed: QApplication, qtbot: QtBot) -> None:
    legend = ScaleLegend()
    qtbot.addWidget(legend)
    legend.set_scale(Scale("Entropy in nats", 0.0, 2.5))
    assert legend.accessibleName() == "Colours: Entropy in nats, from 0 to 2.5"
    assert not legend.grab().isNull()
