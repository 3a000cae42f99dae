"""Prompting aids: the texts they make, and the card that fills the composer with them."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from app.panes.chat import Pane
from app.state import State
from app.state.prompting import KINDS, prompt
from app.widgets.prompt_aids import PromptAids
from engine import Generate
from fakes import FakeEngine, a_model

TASK = "Give the opposite of the word."


def test_a_task_as_it_stands_step_by_step_and_with_examples() -> None:
    assert prompt("As it stands", f" {TASK} ", "warm") == f"{TASK}\n\nwarm"
    assert prompt("Step by step", TASK, "warm") == f"{TASK}\n\nwarm\n\nLet's think step by step."
    examples = [("big", "small"), (" ", ""), ("old ", "new")]
    shown = "Input: big\nOutput: small\n\nInput: old\nOutput: new\n\nInput: warm\nOutput:"
    assert prompt("With examples", TASK, "warm", examples) == f"{TASK}\n\n{shown}"
    assert prompt("With examples", "", "warm") == "Input: warm\nOutput:"
    assert prompt("As it stands", "", "warm") == "warm"


@pytest.fixture
def pane(state: State, qtbot: QtBot) -> Pane:
    state.workspace._show_model(a_model())
    pane = Pane(state)
    qtbot.addWidget(pane)
    pane.resize(700, 600)
    pane.show()
    return pane


def test_the_card_fills_the_composer_and_sends_nothing(
    pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    qtbot.keyClicks(pane.composer.editor, "warm")
    qtbot.mouseClick(pane.composer.aids, Qt.MouseButton.LeftButton)
    assert pane.aids.isVisible() and pane.aids.question.text() == "warm"
    qtbot.keyClicks(pane.aids.task, TASK)
    pane.aids.table.item(0, 0).setText("big")
    pane.aids.table.item(0, 1).setText("small")
    pane.aids.use.click()
    wanted = f"{TASK}\n\nInput: big\nOutput: small\n\nInput: warm\nOutput:"
    assert pane.composer.text == state.conversation.draft == wanted
    assert pane.aids.isHidden() and fake.given(Generate) == []
    assert state.settings.value("prompt_examples") == [["big", "small"]]
    again = PromptAids(state.settings.value("prompt_task"), state.settings.value("prompt_examples"))
    qtbot.addWidget(again)
    assert (again.task.text(), again.examples) == (TASK, [("big", "small")])


def test_in_complete_mode_it_goes_to_the_end_of_the_text(pane: Pane, state: State) -> None:
    state.conversation.set_mode("complete")
    pane.text.editor.setPlainText("Notes.\n")
    pane.composer.aids.click()
    pane.aids.kind.setCurrentText(KINDS[0])
    assert pane.aids.table.isHidden()
    pane.aids.question.setText("And now")
    pane.aids.fill()
    assert pane.text.text == state.conversation.draft == "Notes.\n\nAnd now"


def test_rows_are_added_and_removed_and_escape_closes_the_card(pane: Pane, qtbot: QtBot) -> None:
    pane.composer.aids.click()
    pane.aids.more.click()
    assert pane.aids.table.rowCount() == 2
    for _ in range(3):
        pane.aids.less.click()
    assert pane.aids.table.rowCount() == 0 and not pane.aids.less.isEnabled()
    qtbot.keyClick(pane.aids.task, Qt.Key.Key_Escape)
    assert pane.aids.isHidden() and not pane.composer.aids.isChecked()
