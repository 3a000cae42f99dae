"""The editor of an answer's form: one of three at most, taken when it has settled, and its tester."""

from __future__ import annotations

import json
import re

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QSignalSpy
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.widgets.structure_editor import DATE, EXAMPLES, IN_FORCE, PERSON, StructureEditor
from app.widgets.structure_tester import verdict_words
from engine import SamplingParams


@pytest.fixture
def editor(themed: QApplication, qtbot: QtBot) -> StructureEditor:
    editor = StructureEditor()
    qtbot.addWidget(editor)
    editor.resize(320, 500)
    editor.show()
    qtbot.waitExposed(editor)
    return editor


def choose(editor: StructureEditor, label: str) -> None:
    editor.chooser.setCurrentText(label)
    editor.chooser.activated.emit(editor.chooser.currentIndex())


def test_without_a_form_nothing_but_the_choice_and_the_examples_is_shown(editor: StructureEditor) -> None:
    assert [editor.chooser.itemText(i) for i in range(4)] == [
        "Anything",
        "JSON schema",
        "Regular expression",
        "Grammar",
    ]
    assert not editor.editor.isVisible() and not editor.tester.isVisible() and not editor.open.isVisible()
    assert editor.examples.isVisible() and not editor.on
    choose(editor, "Grammar")
    assert editor.editor.isVisible() and editor.tester.isVisible() and editor.open.isVisible()
    assert editor.value == ("", "") and not editor.on, "an empty form asks for nothing"


def test_what_is_typed_is_taken_after_a_pause_and_when_the_keyboard_leaves(
    editor: StructureEditor, qtbot: QtBot
) -> None:
    choose(editor, "Regular expression")
    spy = QSignalSpy(editor.changed)
    with qtbot.waitSignal(editor.changed):
        qtbot.keyClicks(editor.editor, "[ab]+")
    assert editor.value == ("regex", "[ab]+") and spy.count() == 1 and editor.on
    editor.editor.setFocus()
    qtbot.keyClicks(editor.editor, "c")
    editor.tester.field.setFocus()
    assert editor.value == ("regex", "[ab]+c") and spy.count() == 2


def test_only_the_form_that_is_shown_is_in_force_and_the_others_are_kept(editor: StructureEditor) -> None:
    choose(editor, "Regular expression")
    editor.start("regex", "a+")
    choose(editor, "Grammar")
    assert editor.value == ("", "") and editor.editor.toPlainText() == ""
    editor.start("grammar", 'start: "x"')
    assert editor.fields(editor.value) == {"schema": "", "regex": "", "grammar": 'start: "x"'}
    choose(editor, "Anything")
    assert editor.value == ("", "")
    choose(editor, "Regular expression")
    assert editor.value == ("regex", "a+")


def test_a_value_from_elsewhere_is_shown_without_a_word(editor: StructureEditor) -> None:
    spy = QSignalSpy(editor.changed)
    editor.set_value(editor.read(SamplingParams(schema=PERSON)))
    assert editor.chooser.currentText() == "JSON schema" and editor.editor.toPlainText() == PERSON
    editor.set_value(("", ""))
    assert editor.chooser.currentText() == "Anything" and not editor.editor.isVisible() and spy.count() == 0


def test_an_example_takes_the_place_of_what_was_written_and_undo_brings_it_back(editor: StructureEditor) -> None:
    editor.start("regex", "mine")
    actions = editor.examples.menu().actions()
    assert [action.text() for action in actions] == [
        "A name and a number · JSON schema", "A list of texts · JSON schema", "A date · Regular expression",
        "Yes or no · Regular expression", "A greeting · Grammar", "A sum · Grammar",
    ]  # fmt: skip
    actions[2].trigger()
    assert editor.value == ("regex", DATE)
    editor.editor.undo()
    assert editor.editor.toPlainText() == "mine"
    actions[0].trigger()
    assert editor.value == ("schema", PERSON)


def test_examples_say_what_their_names_promise() -> None:
    by_name = {name: source for name, _, source in EXAMPLES}
    assert json.loads(by_name["A name and a number"])["required"] == ["name", "age"]
    date = re.compile(by_name["A date"])
    assert date.fullmatch("2026-02-28") and not date.fullmatch("2026-13-01")


def test_form_and_text_are_given_out_to_be_judged(editor: StructureEditor, qtbot: QtBot) -> None:
    spy = QSignalSpy(editor.asked)
    editor.start("regex", "ab+")
    assert spy.at(spy.count() - 1) == ["regex", "ab+", ""]
    with qtbot.waitSignal(editor.asked):
        qtbot.keyClicks(editor.tester.field, "abx")
    assert spy.at(spy.count() - 1) == ["regex", "ab+", "abx"]


def test_what_is_found_is_said_and_marked(editor: StructureEditor) -> None:
    editor.start("regex", "😀b+")
    editor.tester.field.setPlainText("😀bx")
    editor.tell(("regex", "😀b+"), "😀bx", "", 2, False)
    assert editor.tester.told == "The first 2 of 3 characters fit; “x” cannot follow."
    assert editor.tester.field.accessibleDescription() == editor.tester.told
    (mark,) = editor.tester.field.extraSelections()
    assert mark.cursor.selectedText() == "x"
    editor.tester.field.setPlainText("😀b")
    assert editor.tester.told == "" and editor.tester.field.extraSelections() == []
    editor.tell(("regex", "😀b+"), "😀bx", "", 2, False)
    assert editor.tester.told == "", "what was found of another text is not said of this one"
    editor.tell(("regex", "😀b+"), "😀b", "", 2, True)
    assert editor.tester.told == "It fits, and is complete."


def test_a_form_that_cannot_be_used_says_why_until_it_can(editor: StructureEditor) -> None:
    editor.start("regex", "(")
    editor.tell(("regex", "("), "", "It has no end. Correct it.", 0, False)
    assert editor.problem == f"It has no end. Correct it. {IN_FORCE}" == editor.editor.accessibleDescription()
    editor.start("regex", "()")
    editor.tell(("regex", "()"), "", "", 0, True)
    assert editor.problem == ""


@pytest.mark.parametrize(
    ("text", "fits", "complete", "words"),
    [
        ("2024", 4, False, "It fits so far, and has to go on."),
        ("2024", 0, False, "It cannot begin with “2”."),
        ("a b", 1, False, "The first 1 of 3 characters fit; “␣” cannot follow."),
        ("", 0, True, "It fits, and is complete."),
    ],
)
def test_verdicts_are_sentences(text: str, fits: int, complete: bool, words: str) -> None:
    assert verdict_words(text, fits, complete) == words


def test_tab_leaves_the_editor_and_a_long_form_makes_it_higher(editor: StructureEditor, qtbot: QtBot) -> None:
    editor.start("schema", PERSON)
    qtbot.waitUntil(lambda: editor.editor.verticalScrollBar().maximum() == 0)
    high = editor.editor.height()
    qtbot.keyClick(editor.editor, Qt.Key.Key_Tab)
    assert editor.tester.field.hasFocus() and editor.editor.toPlainText() == PERSON
    editor.start("schema", "{}")
    assert editor.editor.height() < high
