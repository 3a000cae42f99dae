"""Where heads, the large map and its notes stand, by the room that they have together."""

from __future__ import annotations

import pytest
from PySide6.QtWidgets import QApplication, QSizePolicy, QWidget
from pytestqt.qtbot import QtBot

from app.widgets.head_grid import HeadGrid
from app.widgets.heads_and_map import HeadsAndMap
from app.widgets.map_notes import MapNotes


class Parts:
    """Of a model of 8 layers and 4 heads."""

    def __init__(self) -> None:
        self.grid, self.large, self.notes = HeadGrid(), QWidget(), MapNotes()
        self.grid.set_shape(8, 4)
        self.large.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.whole = HeadsAndMap(self.grid, self.large, self.notes)

    def arrange(self, width: int, height: int) -> None:
        self.whole.resize(width, height)
        self.whole.arrange(is_map=True)
        self.whole.layout().activate()


@pytest.fixture
def parts(themed: QApplication, qtbot: QtBot) -> Parts:
    parts = Parts()
    qtbot.addWidget(parts.whole)
    parts.whole.show()
    return parts


def test_where_it_is_wide_and_low_the_notes_stand_beside_the_map_which_has_the_whole_height(parts: Parts) -> None:
    parts.arrange(590, 210)
    assert not parts.whole.below
    assert parts.notes.x() > parts.large.geometry().right() > parts.grid.geometry().right()
    assert parts.large.height() == parts.whole.height() == parts.whole.notes_height
    assert parts.large.width() > 250


def test_the_notes_take_the_whole_width_again_below_the_map_where_there_is_room(parts: Parts) -> None:
    parts.arrange(590, 210)
    parts.arrange(360, 230)
    assert parts.whole.below and parts.notes.y() > parts.large.geometry().bottom()
    assert parts.notes.width() == parts.whole.width()
