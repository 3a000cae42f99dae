"""The Side by side pane: columns that stream, marks and their table, and the way into the chat."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from app.panes.compare import ALIKE, MARKED, Pane
from app.state import State
from engine import Done, Failed, Generate, Loaded, Retune, Started, Tokens
from fakes import FakeEngine, a_model, a_record


@pytest.fixture
def pane(state: State, fake: FakeEngine, qtbot: QtBot) -> Pane:
    pane = Pane(state)
    qtbot.addWidget(pane)
    pane.resize(900, 700)
    pane.show()
    run = state.workspace.load("x")
    fake.play(run.id, [Loaded(0, a_model()), Done(0)])
    qtbot.waitUntil(lambda: state.workspace.info is not None)
    return pane


def ask(pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot, *texts: str) -> None:
    pane.field.setPlainText("Hi")
    pane.page.button.click()
    for side, text in zip(state.comparison.sides, texts):
        assert side.run is not None
        records = (a_record(3, text),)
        fake.play(side.run.id, [Started(0, (1,), "", 5, 0), Tokens(0, text, records), Done(0, "eos")])
    qtbot.waitUntil(lambda: not state.comparison.running)


def test_answers_appear_in_their_columns_while_they_are_written(
    pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    pane.field.setPlainText("Hi")
    pane.page.button.click()
    first, second = (side.run for side in state.comparison.sides)
    assert first is not None and second is not None and pane.page.button.text() == "Stop"
    fake.play(second.id, [Tokens(0, "You", ())])
    fake.play(first.id, [Tokens(0, "I", ())])
    qtbot.waitUntil(lambda: [column.text.toPlainText() for column in pane.columns] == ["I", "You"])
    assert not pane.legend.isVisible() and not pane.columns[0].keep.isEnabled()
    pane.page.button.click()
    assert first.cancelled and second.cancelled


def test_differences_are_marked_and_said_in_a_table(pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    ask(pane, state, fake, qtbot, "a red 🐕 ran home", "a red 🐕 sat at home")
    assert pane.legend.text() == MARKED and pane.table.isVisible()
    assert pane.table.as_text().splitlines() == ["side\tword\ta has\tit has", "B\t4\t␣ran\t␣sat␣at"]
    (mark,) = pane.columns[1].text.extraSelections()
    assert mark.cursor.selectedText() == " sat at" and mark.format.fontUnderline()
    assert pane.columns[0].text.extraSelections() == []
    qtbot.keyClick(pane.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == pane.table.as_text()


def test_answers_that_are_alike_are_said_to_be(pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    ask(pane, state, fake, qtbot, "Hello", "Hello")
    assert pane.legend.text() == ALIKE and pane.legend.isVisible() and not pane.table.isVisible()


def test_keep_takes_an_answer_into_the_chat_with_one_click(
    pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    ask(pane, state, fake, qtbot, "Hello", "Good day")
    pane.columns[1].keep.click()
    assert [message.text for message in state.conversation.path] == ["Hi", "Good day"]
    assert pane.columns[1].keep.text() == "Kept" and not pane.columns[1].keep.isEnabled()
    assert pane.columns[0].keep.isEnabled()


def test_settings_of_one_side_are_its_own(pane: Pane, state: State, fake: FakeEngine) -> None:
    column = pane.columns[1]
    column.how.click()
    assert column.form is not None and column.form.isVisible()
    column.form.rows["temperature"].changed.emit(0.25)
    assert "temperature 0.25" in column.summary.text()
    pane.field.setPlainText("Hi")
    pane.page.button.click()
    first, second = fake.given(Generate)
    assert second.sampling.temperature == 0.25 != first.sampling.temperature
    assert fake.given(Retune) == []


def test_columns_stand_beside_each_other_where_there_is_room(pane: Pane, qtbot: QtBot) -> None:
    pane.add.click()
    pane.add.click()
    assert len(pane.columns) == 4 and not pane.add.isEnabled()
    for width, across in ((1200, 4), (700, 2), (320, 1)):
        pane.resize(width, 700)
        qtbot.waitUntil(lambda across=across: len({column.y() for column in pane.columns}) == 4 // across)
        assert len({column.x() for column in pane.columns}) == across


def test_tokens_take_the_place_of_the_text_and_one_in_focus_is_looked_at(
    pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    ask(pane, state, fake, qtbot, "Hello", "Good")
    pane.tokens.click()
    strip = pane.columns[1].strip
    assert strip.isVisible() and not pane.columns[1].text.isVisible() and strip.count == 1
    strip.focused.emit(0)
    assert state.captures.focused == (state.comparison.sides[1].key, 0)
    assert state.captures.record is not None and state.captures.record.text == "Good"


def test_a_column_that_is_pointed_at_or_tabbed_into_is_the_one_the_other_panes_show(
    pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    def looked() -> list[bool]:
        return [column.badge.isChecked() and bool(column.property("current")) for column in pane.columns]

    assert looked() == [True, False]
    qtbot.mouseClick(pane.columns[1].badge, Qt.MouseButton.LeftButton)
    assert looked() == [False, True]
    qtbot.mouseClick(pane.columns[1].badge, Qt.MouseButton.LeftButton)
    assert looked() == [False, True], "to look away is to look at another"
    ask(pane, state, fake, qtbot, "Hello", "Good day")
    assert state.captures.focused == (state.comparison.sides[1].key, 0)
    pane.columns[0].text.setFocus()
    assert looked() == [True, False] and state.captures.focused == (state.comparison.sides[0].key, 0)
    qtbot.mousePress(pane.columns[1], Qt.MouseButton.LeftButton)
    assert looked() == [False, True]
    state.conversation.new_chat()
    assert looked() == [False, False]


def test_a_failure_is_said_in_its_column(pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    pane.field.setPlainText("Hi")
    pane.page.button.click()
    first, second = (side.run for side in state.comparison.sides)
    assert first is not None and second is not None
    fake.play(first.id, [Failed(0, "The prompt is too long.", "Shorten it.")])
    fake.play(second.id, [Done(0, "eos")])
    qtbot.waitUntil(lambda: not state.comparison.running)
    assert pane.columns[0].status.text() == "The prompt is too long. Shorten it."
