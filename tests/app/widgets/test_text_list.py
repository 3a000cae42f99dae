"""Lists of texts: what is typed, drawn, added and removed, with keys and with the mouse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QSignalSpy
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.widgets.text_list import MOST, TextList
from app.widgets.text_row import drawn, meant, typed


@pytest.fixture
def row(themed: QApplication, qtbot: QtBot) -> TextList:
    row = TextList("banned_words", "banned word", "A word")
    qtbot.addWidget(row)
    row.resize(300, 300)
    row.show()
    qtbot.waitExposed(row)
    return row


def shown(row: TextList) -> list[str]:
    return [row.list.item(index).text() for index in range(row.list.count())]


@given(st.text())
def test_every_text_can_be_typed(text: str) -> None:
    assert meant(typed(text)) == text


def test_a_backslash_before_another_letter_is_a_backslash() -> None:
    assert meant("C:\\dir\\new\\\\n") == "C:\\dir\new\\n"


def test_blanks_and_line_ends_are_drawn() -> None:
    assert drawn(" a\n\tb") == "␣a↵⇥b"


def test_return_adds_each_text_once_and_pasted_lines_one_by_one(row: TextList, qtbot: QtBot) -> None:
    spy = QSignalSpy(row.changed)
    for given_text in ("very", "very", "", "\\n"):
        row.entry.setText(given_text)
        qtbot.keyClick(row.entry, Qt.Key.Key_Return)
        assert row.entry.text() == ""
    assert row.value == ("very", "\n") and spy.count() == 2
    QGuiApplication.clipboard().setText("one\ntwo\n")
    row.entry.paste()
    qtbot.keyClick(row.entry, Qt.Key.Key_Return)
    assert row.value == ("very", "\n", "one", "two")
    assert shown(row) == ["very", "↵", "one", "two"]


def test_a_click_on_the_cross_removes_and_one_on_the_text_does_not(row: TextList, qtbot: QtBot) -> None:
    row.set_value(("a", "b", "c"))
    cross = row.list.cross(1)
    left = Qt.MouseButton.LeftButton
    qtbot.mouseClick(row.list.viewport(), left, pos=QPoint(12, cross.center().y()))
    assert row.value == ("a", "b", "c")
    qtbot.mouseClick(row.list.viewport(), left, pos=cross.center())
    assert row.value == ("a", "c") == tuple(shown(row))


def test_delete_removes_what_is_selected_and_the_keyboard_stays(row: TextList, qtbot: QtBot) -> None:
    row.set_value(("a", "b", "c", "d"))
    row.list.setFocus()
    qtbot.keyClick(row.list, Qt.Key.Key_Down)
    qtbot.keyClick(row.list, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClick(row.list, Qt.Key.Key_Delete)
    assert row.value == ("a", "d") and row.list.hasFocus() and row.list.currentRow() == 1
    qtbot.keyClick(row.list, Qt.Key.Key_Backspace)
    qtbot.keyClick(row.list, Qt.Key.Key_Backspace)
    assert row.value == () and row.list.isHidden() and row.entry.hasFocus()


def test_what_is_copied_can_be_pasted_again(row: TextList, qtbot: QtBot) -> None:
    texts = ("as an\nAI", " \\n", "end")
    row.set_value(texts)
    row.list.selectAll()
    qtbot.keyClick(row.list, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    row.set_value(())
    row.entry.paste()
    qtbot.keyClick(row.entry, Qt.Key.Key_Return)
    assert row.value == texts


def test_a_long_text_is_whole_on_more_lines_and_many_texts_scroll(row: TextList) -> None:
    row.set_value(("word " * 60,))
    one = row.list.height()
    assert one > 100 and row.list.visualItemRect(row.list.item(0)).height() == one
    row.set_value(tuple(str(number) for number in range(100)))
    assert row.list.height() == MOST * row.list.visualItemRect(row.list.item(0)).height()


def test_it_counts_as_on_where_it_is_not_as_by_default(row: TextList, themed: QApplication, qtbot: QtBot) -> None:
    assert not row.on
    row.set_value(("a",))
    assert row.on
    row.set_resting("Something else is used, so this rests.")
    assert not row.on
    breakers = TextList("dry_breakers", "DRY breaker", "A text")
    qtbot.addWidget(breakers)
    assert breakers.value and not breakers.on
    breakers.set_value(())
    assert breakers.on


def test_a_screen_reader_reads_the_texts_as_they_are_typed(row: TextList) -> None:
    row.set_value(("a b\n",))
    assert row.list.item(0).data(Qt.ItemDataRole.AccessibleTextRole) == "a b\\n"
    assert row.list.accessibleName() == "Banned words" and row.entry.accessibleName() == "Add a banned word"
