"""The order of the steps: drawn with the mouse to another place."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.widgets.order_list import OrderList
from engine import STEPS


@pytest.fixture
def order_list(themed: QApplication, qtbot: QtBot) -> OrderList:
    widget = OrderList()
    qtbot.addWidget(widget)
    widget.resize(300, widget.sizeHint().height())
    widget.show()
    return widget


def draw(qtbot: QtBot, widget: OrderList, place: int, goal: int) -> None:
    """Press on the step at a place, move to the middle of another and a little beyond, and let go."""
    name = widget.names[place]
    beyond = 4 if goal > place else -4
    there = name.mapFrom(widget, widget.names[goal].geometry().center() + QPoint(0, beyond))
    qtbot.mousePress(name, Qt.MouseButton.LeftButton)
    qtbot.mouseMove(name, there)
    qtbot.mouseRelease(name, Qt.MouseButton.LeftButton, pos=there)


@pytest.mark.parametrize(("place", "goal"), [(0, 4), (4, 0), (2, len(STEPS) - 1), (len(STEPS) - 1, 0), (3, 4)])
def test_a_step_that_is_drawn_takes_the_place_it_is_let_go_at(
    order_list: OrderList, qtbot: QtBot, place: int, goal: int
) -> None:
    with qtbot.waitSignal(order_list.changed) as changed:
        draw(qtbot, order_list, place, goal)
    order = list(STEPS)
    order.insert(goal, order.pop(place))
    assert changed.args == [tuple(order)]
    assert order_list.known.currentText() == "Own order"


def test_a_step_that_is_let_go_where_it_was_changes_nothing(order_list: OrderList, qtbot: QtBot) -> None:
    with qtbot.assertNotEmitted(order_list.changed):
        qtbot.mouseClick(order_list.names[3], Qt.MouseButton.LeftButton)


def test_steps_that_are_abbreviations_stand_in_capitals(order_list: OrderList) -> None:
    words = [name.text() for name in order_list.names]
    assert {"DRY", "XTC", "Top-p", "Penalties"} <= set(words)
