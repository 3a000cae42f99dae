"""The settings of the Sampling pane that are texts, over its state: both directions of every binding."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QToolButton
from pytestqt.qtbot import QtBot

from app.panes.sampling import Pane
from app.state import State
from app.widgets.structure_editor import IN_FORCE
from engine import CheckStructure, Done, Failed, Loaded, SamplingParams, StructureChecked, Tokenize, Tokenized
from fakes import FakeEngine, a_model

ALL = SamplingParams(
    stop=("END",), dry_breakers=(".",), banned_words=("very",), banned_phrases=("once\nupon",),
    logit_bias=((" dog", 5.0),), negative_prompt="Be dull.", guidance=1.5, grammar='start: "x"',
)  # fmt: skip


@pytest.fixture
def pane(state: State, qtbot: QtBot) -> Pane:
    pane = Pane(state)
    qtbot.addWidget(pane)
    pane.resize(340, 900)
    pane.show()
    for name in ("Words", "Guidance", "Structured answer"):
        heading(pane, name).setChecked(True)
    qtbot.waitExposed(pane)
    return pane


def heading(pane: Pane, name: str) -> QToolButton:
    found = pane.form.sections[name].heading
    assert isinstance(found, QToolButton)
    return found


def form(pane: Pane, label: str) -> None:
    pane.structure.chooser.setCurrentText(label)
    pane.structure.chooser.activated.emit(pane.structure.chooser.currentIndex())


def test_texts_that_change_elsewhere_are_shown(pane: Pane, state: State) -> None:
    state.presets.set_sampling(ALL)
    assert {name: row.value for name, row in pane.lists.items()} == {
        "stop": ("END",), "dry_breakers": (".",), "banned_words": ("very",), "banned_phrases": ("once\nupon",),
    }  # fmt: skip
    assert pane.biases.lines[0].edit.text() == "5.0"
    assert pane.against.field.toPlainText() == "Be dull."
    assert pane.structure.chooser.currentText() == "Grammar"
    assert pane.structure.editor.toPlainText() == 'start: "x"'
    pane.neutral.click()
    assert [row.value for row in (*pane.lists.values(), pane.biases, pane.against)] == [
        ("END",), SamplingParams().dry_breakers, (), (), (), "",
    ]  # fmt: skip
    assert pane.structure.chooser.currentText() == "Anything" and pane.biases.lines == []


def test_words_and_phrases_are_banned_from_the_pane(pane: Pane, state: State, qtbot: QtBot) -> None:
    for name, text in (("banned_words", "very"), ("banned_phrases", "once\\nupon")):
        pane.lists[name].entry.setText(text)
        qtbot.keyClick(pane.lists[name].entry, Qt.Key.Key_Return)
    assert state.presets.sampling.banned_words == ("very",)
    assert state.presets.sampling.banned_phrases == ("once\nupon",)
    assert pane.lists["banned_words"].dot.shown and pane.reset.isEnabled()


def test_a_heading_counts_the_texts_in_its_section_that_are_not_neutral(pane: Pane, state: State) -> None:
    assert heading(pane, "Words").text() == "Words" and heading(pane, "Structured answer").text() == "Structured answer"
    state.presets.set_sampling(ALL)
    texts = [heading(pane, name).text() for name in ("Words", "Guidance", "Structured answer", "Repetition")]
    assert texts == ["Words · 3 on", "Guidance · 2 on", "Structured answer · 1 on", "Repetition · 1 on"]
    pane.neutral.click()
    assert heading(pane, "Words").text() == "Words" and heading(pane, "Guidance").text() == "Guidance"


def test_a_name_that_is_double_clicked_brings_the_presets_texts_back(pane: Pane, state: State, qtbot: QtBot) -> None:
    state.presets.set_sampling(ALL)
    for label in (pane.biases.label, pane.structure.label):
        qtbot.mouseDClick(label, Qt.MouseButton.LeftButton)
    sampling = state.presets.sampling
    assert sampling == ALL.replace(logit_bias=(), grammar="")


def test_the_negative_prompt_rests_while_guidance_is_off(pane: Pane, state: State, qtbot: QtBot) -> None:
    why = "Guidance is off at 1, so the negative prompt rests."
    assert not pane.against.field.isEnabled() and pane.against.accessibleDescription() == why
    assert pane.form.sections["Guidance"]._why.text() == why
    state.presets.set_sampling(SamplingParams(guidance=1.5))
    assert pane.against.field.isEnabled() and pane.form.sections["Guidance"]._why.text() == ""
    with qtbot.waitSignal(state.presets.sampling_changed):
        qtbot.keyClicks(pane.against.field, "Be dull.")
    assert state.presets.sampling.negative_prompt == "Be dull."
    state.presets.set_sampling(state.presets.sampling.replace(beams=2))
    assert not pane.against.field.isEnabled() and "Beam search" in pane.against.accessibleDescription()


def test_what_is_being_typed_survives_a_slider_that_moves(pane: Pane, state: State, qtbot: QtBot) -> None:
    state.presets.set_sampling(SamplingParams(guidance=1.5))
    qtbot.keyClicks(pane.against.field, "Be du")
    state.presets.set_sampling(state.presets.sampling.replace(temperature=1.1))
    qtbot.keyClicks(pane.against.field, "ll.")
    qtbot.waitUntil(lambda: state.presets.sampling.negative_prompt == "Be dull.")
    assert state.presets.sampling.temperature == 1.1


def test_the_tokens_of_a_biased_text_are_asked_of_the_engine(
    pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    pane.biases.entry.setText(" lighthouse")
    qtbot.keyClick(pane.biases.entry, Qt.Key.Key_Return)
    assert state.presets.sampling.logit_bias == ((" lighthouse", 5.0),)
    (line,) = pane.biases.lines
    assert line.told == "Load a model to see its tokens."
    run = state.workspace.load("x")
    fake.play(run.id, [Loaded(0, a_model()), Done(0)])
    qtbot.waitUntil(lambda: bool(fake.given(Tokenize)))
    run, command = fake.last(Tokenize)
    assert command == Tokenize(" lighthouse", setting=True)
    fake.play(run.id, [Tokenized(0, (5, 6), (" light", "house")), Done(0)])
    qtbot.waitUntil(lambda: line.told.startswith("2 tokens: ␣light #5, house #6."))
    qtbot.keyClick(line.edit, Qt.Key.Key_Up)
    assert state.presets.sampling.logit_bias == ((" lighthouse", 5.5),)
    assert len(fake.given(Tokenize)) == 1 and line.told.startswith("2 tokens")


def test_a_form_is_judged_as_it_is_typed_and_tried_out(
    pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    form(pane, "Regular expression")
    qtbot.keyClicks(pane.structure.editor, "[ab+")
    qtbot.waitUntil(lambda: state.presets.sampling.regex == "[ab+")
    run, _ = fake.last(CheckStructure)
    fake.play(run.id, [Failed(0, "The class has no end.", "Correct it.", "")])
    qtbot.waitUntil(lambda: pane.structure.problem == f"The class has no end. Correct it. {IN_FORCE}")
    pane.structure.start("regex", "[ab]+")
    qtbot.keyClicks(pane.structure.tester.field, "abx")
    qtbot.waitUntil(lambda: fake.last(CheckStructure)[1].text == "abx")
    run, command = fake.last(CheckStructure)
    assert command.sampling == SamplingParams(regex="[ab]+")
    fake.play(run.id, [StructureChecked(0, 2, False), Done(0)])
    qtbot.waitUntil(lambda: pane.structure.tester.told.startswith("The first 2 of 3 characters fit"))
    assert pane.structure.problem == ""


def test_two_forms_are_never_in_force(pane: Pane, state: State) -> None:
    seen: list[SamplingParams] = []
    state.presets.sampling_changed.connect(seen.append)
    for action in pane.structure.examples.menu().actions():
        action.trigger()
    for label in ("JSON schema", "Grammar", "Anything", "Regular expression"):
        form(pane, label)
    forms = [[bool(s.schema), bool(s.regex), bool(s.grammar)] for s in seen]
    assert {sum(each) for each in forms} == {0, 1}
    assert {tuple(each) for each in forms if any(each)} == {(1, 0, 0), (0, 1, 0), (0, 0, 1)}


def test_a_form_that_was_saved_is_judged_when_the_pane_opens(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    state.presets.set_sampling(SamplingParams(regex="a+"))
    pane = Pane(state)
    qtbot.addWidget(pane)
    assert pane.structure.value == ("regex", "a+")
    assert fake.last(CheckStructure)[1] == CheckStructure(SamplingParams(regex="a+"), "")


def test_a_form_comes_from_a_file(
    pane: Pane, state: State, qtbot: QtBot, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = f"{tmp_path}/sum.lark"
    with open(file, "w", encoding="utf-8") as out:
        out.write('start: "1"\n')
    monkeypatch.setattr("app.panes.sampling.QFileDialog.getOpenFileName", lambda *_: (file, ""))
    form(pane, "Grammar")
    pane.structure.open.click()
    qtbot.waitUntil(lambda: state.presets.sampling.grammar == 'start: "1"')
    monkeypatch.setattr("app.panes.sampling.QFileDialog.getOpenFileName", lambda *_: (f"{tmp_path}/none", ""))
    pane.structure.open.click()
    qtbot.waitUntil(lambda: pane.structure.problem == "none could not be read: No such file or directory.")
    assert state.presets.sampling.grammar == 'start: "1"'


def test_every_help_is_that_of_the_table(pane: Pane) -> None:
    for words in SamplingParams.texts():
        row = pane.form.rows.get(words.name)
        if row is not None:
            assert (row.label.text(), row.label.toolTip()) == (words.label, words.help)


def test_nothing_of_it_makes_the_pane_wide(pane: Pane, state: State, qtbot: QtBot) -> None:
    long = "reserved_" * 20
    state.presets.set_sampling(
        ALL.replace(banned_phrases=(long,), logit_bias=((long, 1.0),), negative_prompt=long, grammar=f'start: "{long}"')
    )
    pane.resize(280, 900)
    qtbot.waitUntil(lambda: pane.width() == 280)
    assert pane.minimumSizeHint().width() <= 280
    right = pane.body.viewport().width()
    for widget in (pane.lists["banned_phrases"].list, pane.biases.lines[0].remove, pane.structure.chooser):
        assert widget.mapTo(pane, widget.rect().topRight()).x() < right


def test_whatever_takes_the_keyboard_is_named(pane: Pane, state: State) -> None:
    state.presets.set_sampling(ALL)
    controls = [pane.biases.entry, pane.biases.number, pane.against.field, pane.structure.chooser,
        pane.structure.examples, pane.structure.open, pane.structure.editor, pane.structure.tester.field,
        pane.biases.lines[0].edit, pane.biases.lines[0].remove,
        *(part for row in pane.lists.values() for part in (row.entry, row.list))]  # fmt: skip
    names = [each.accessibleName() or each.property("text") for each in controls]
    assert all(names) and len(set(names)) == len(names)
    assert all(each.focusPolicy() & Qt.FocusPolicy.TabFocus for each in controls)
