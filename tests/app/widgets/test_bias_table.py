"""The table of logit biases: texts, numbers, and what is said of their tokens."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QSignalSpy
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.widgets.bias_table import BiasTable, pieces_words


@pytest.fixture
def table(themed: QApplication, qtbot: QtBot) -> BiasTable:
    table = BiasTable()
    qtbot.addWidget(table)
    table.resize(300, 300)
    table.show()
    qtbot.waitExposed(table)
    return table


def add(table: BiasTable, qtbot: QtBot, text: str, number: str) -> None:
    table.number.setFocus()
    table.number.selectAll()
    qtbot.keyClicks(table.number, number)
    table.entry.setFocus()
    table.entry.setText(text)
    qtbot.keyClick(table.entry, Qt.Key.Key_Return)


def test_a_text_and_a_number_become_a_line(table: BiasTable, qtbot: QtBot) -> None:
    add(table, qtbot, " dog\\n", "12.5")
    add(table, qtbot, "#7", "-1000")
    assert table.value == ((" dog\n", 12.5), ("#7", -100.0))
    assert [line.edit.text() for line in table.lines] == ["12.5", "-100.0"]
    add(table, qtbot, "#7", "3")
    assert table.value == ((" dog\n", 12.5), ("#7", 3.0)), "a text has one number"


def test_return_in_the_number_adds_too(table: BiasTable, qtbot: QtBot) -> None:
    table.entry.setText("cat")
    table.number.setFocus()
    qtbot.keyClicks(table.number, "4")
    qtbot.keyClick(table.number, Qt.Key.Key_Return)
    assert table.value == (("cat", 4.0),)


def test_a_number_is_changed_in_its_line_which_keeps_the_keyboard(table: BiasTable, qtbot: QtBot) -> None:
    table.set_value((("a", 1.0), ("b", 2.0)))
    spy = QSignalSpy(table.changed)
    edit = table.lines[1].edit
    edit.setFocus()
    for _ in range(3):
        qtbot.keyClick(edit, Qt.Key.Key_Up)
    assert table.value == (("a", 1.0), ("b", 3.5)) and spy.count() == 3
    assert table.lines[1].edit is edit and edit.hasFocus()


def test_a_line_is_removed_and_the_keyboard_goes_to_the_next(table: BiasTable, qtbot: QtBot) -> None:
    table.set_value((("a", 1.0), ("b", 2.0)))
    table.lines[0].remove.setFocus()
    qtbot.keyClick(table.lines[0].remove, Qt.Key.Key_Space)
    assert table.value == (("b", 2.0),) and table.lines[0].remove.hasFocus()
    table.lines[0].remove.click()
    assert table.value == () and table.lines == [] and table.entry.hasFocus()


def test_the_tokens_stand_beneath_the_text(table: BiasTable) -> None:
    table.set_value(((" dog", 1.0), ("#9", 2.0)))
    table.show_pieces({}, 0)
    assert table.lines[0].told == "Load a model to see its tokens."
    table.show_pieces({" dog": ((5, " dog"),), "#9": ((9, "<id 9>"),)}, 8)
    assert [line.told for line in table.lines] == [
        "One token: ␣dog #5", "The model has no token for it, so nothing is biased.",
    ]  # fmt: skip
    assert table.lines[0].edit.accessibleDescription() == table.lines[0].told


def test_of_several_tokens_it_is_said_that_each_is_biased_once() -> None:
    assert pieces_words(((1, " li"), (2, "gh"), (1, " li")), 10) == (
        "2 tokens: ␣li #1, gh #2. Each is biased by itself, wherever it may come."
    )
    many = pieces_words(tuple((id, str(id)) for id in range(20)), 100)
    assert many.startswith("20 tokens: 0 #0, 1 #1") and " and 8 more. " in many
