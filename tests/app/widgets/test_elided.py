"""A line that is cut where there is no room, says the whole in its tooltip, and never widens what it stands in."""

from __future__ import annotations

from PySide6.QtWidgets import QApplication, QHBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from app.widgets.elided import Elided

LONG = "Reached the longest answer, and much more is to be said of it than fits here"


def test_a_long_line_asks_for_little_room_and_tells_the_whole(themed: QApplication, qtbot: QtBot) -> None:
    box, line = QWidget(), Elided(LONG)
    qtbot.addWidget(box)
    layout = QHBoxLayout(box)
    layout.addWidget(line)
    assert box.minimumSizeHint().width() < 100 < line.sizeHint().width()
    box.resize(120, 40)
    box.show()
    qtbot.waitUntil(lambda: line.toolTip() == LONG)
    narrow = box.grab().toImage()
    box.resize(line.sizeHint().width() + 60, 40)
    qtbot.waitUntil(lambda: line.toolTip() == "")
    assert line.text() == LONG and box.grab().toImage().width() > narrow.width()


def test_a_short_line_asks_for_no_more_than_it_needs(themed: QApplication, qtbot: QtBot) -> None:
    line = Elided("Ok")
    qtbot.addWidget(line)
    assert line.minimumSizeHint().width() <= line.sizeHint().width()
