"""The Playground pane over its state: pages by kind, both directions of every binding."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from app import theme
from app.panes.playground import Pane
from app.state import State
from app.state.playground import TASKS
from engine import (
    Beam,
    Beams,
    Classified,
    Classify,
    Done,
    Embed,
    Embedded,
    Failed,
    Fill,
    Filled,
    Filler,
    Generate,
    Loaded,
    Nearest,
    NearestWords,
    Progress,
    SamplingParams,
    Tokens,
)
from fakes import FakeEngine, a_model, a_record


@pytest.fixture
def pane(state: State, qtbot: QtBot) -> Pane:
    pane = Pane(state)
    qtbot.addWidget(pane)
    pane.resize(380, 640)
    pane.show()
    return pane


def load(state: State, fake: FakeEngine, qtbot: QtBot, kind: str, family: str = "bert", use: str = "fill") -> None:
    run = state.workspace.load("x")
    use = use if kind == "encoder" else ""
    fake.play(run.id, [Loaded(0, a_model(family=family, kind=kind, use=use, chat_template=False)), Done(0)])
    qtbot.waitUntil(lambda: state.workspace.info is not None and state.workspace.info.kind == kind)


def test_which_pages_show_follows_the_kind_of_the_model(
    pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    assert pane.empty.isVisible() and "appears here" in pane.empty.text()
    load(state, fake, qtbot, "encoder")
    assert pane.tabs.isVisible() and not pane.writer.isVisible()
    load(state, fake, qtbot, "encoder-decoder")
    assert pane.writer.isVisible() and not pane.tabs.isVisible()
    load(state, fake, qtbot, "decoder")
    assert pane.empty.isVisible() and "Companion 7M continues text" in pane.empty.text()


def test_a_source_is_written_with_its_task_and_the_target_streams(
    pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    load(state, fake, qtbot, "encoder-decoder", "t5")
    assert [pane.writer.tasks.itemText(i) for i in range(pane.writer.tasks.count())] == list(TASKS)
    assert not pane.writer.button.isEnabled()
    pane.writer.tasks.setCurrentText("Summarize")
    pane.writer.field.setPlainText("A long text.")
    qtbot.mouseClick(pane.writer.button, Qt.MouseButton.LeftButton)
    run, command = fake.last(Generate)
    assert command.prompt.source == "summarize: A long text."
    assert pane.writer.button.text() == "Stop"
    fake.play(run.id, [Progress(0, "Reading", 1, 4), Tokens(0, "Short", (a_record(1, "Short"),))])
    qtbot.waitUntil(lambda: pane.writer.target.toPlainText() == "Short")
    fake.play(run.id, [Tokens(0, " text", (a_record(2, " text"),)), Done(0, "eos")])
    qtbot.waitUntil(lambda: pane.writer.button.text() == "Write")
    assert pane.writer.target.toPlainText() == "Short text"
    pane.writer.copy.click()
    assert QGuiApplication.clipboard().text() == "Short text"


def test_the_tokens_of_a_target_are_shown_and_chosen(pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    load(state, fake, qtbot, "encoder-decoder", "bart")
    assert not pane.writer.tasks.isVisible() and not pane.writer.as_tokens.isEnabled()
    pane.writer.field.setPlainText("x")
    qtbot.keyClick(pane.writer.field, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    run, _ = fake.last(Generate)
    fake.play(run.id, [Tokens(0, "a b", (a_record(1, "a"), a_record(2, " b"))), Done(0, "eos")])
    qtbot.waitUntil(lambda: pane.writer.as_tokens.isEnabled())
    pane.writer.as_tokens.click()
    assert pane.writer.strip.isVisible() and pane.writer.strip.count == 2
    pane.writer.strip.focused.emit(0)
    assert state.captures.focused == (state.playground.target_key, 0)
    assert "a " in pane.writer.strip._readout.text()
    pane.writer.button.click()
    assert pane.writer.target.toPlainText() == "" and not pane.writer.strip.isVisible()


def test_beams_are_listed_live_with_their_scores_and_can_be_stopped(
    pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    load(state, fake, qtbot, "encoder-decoder", "bart")
    state.presets.set_sampling(SamplingParams(beams=2))
    pane.writer.field.setPlainText("x")
    pane.writer.button.click()
    run, _ = fake.last(Generate)
    assert not pane.writer.beams.isVisible()
    fake.play(run.id, [Beams(0, (Beam((4,), "Ein", -0.5), Beam((5,), "Das", -0.9)))])
    qtbot.waitUntil(pane.writer.beams.isVisible)
    assert pane.writer.beams.as_text() == "score\ttext\n-0.500000\tEin\n-0.900000\tDas"
    pane.writer.button.click()
    assert run.cancelled and not pane.writer.button.isEnabled()
    fake.play(run.id, [Done(0, "cancelled")])
    qtbot.waitUntil(pane.writer.button.isEnabled)
    assert pane.writer.target.toPlainText() == "Ein"


def test_source_and_target_stand_side_by_side_where_there_is_room(
    pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    load(state, fake, qtbot, "encoder-decoder", "bart")
    field, target = pane.writer.field, pane.writer.target
    assert field.mapTo(pane, field.rect().topLeft()).x() == target.mapTo(pane, target.rect().topLeft()).x()
    pane.resize(800, 640)

    def level() -> bool:
        return field.mapTo(pane, field.rect().topLeft()).y() == target.mapTo(pane, target.rect().topLeft()).y()

    qtbot.waitUntil(level)
    assert field.width() < 400 < target.mapTo(pane, target.rect().topLeft()).x() + 10


def test_a_filler_that_is_clicked_is_accepted_and_the_masks_left_are_filled_again(
    pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    load(state, fake, qtbot, "encoder")
    assert not pane.fill.button.isEnabled()
    pane.fill.field.setPlainText("The [MASK] of France is ")
    pane.fill.field.moveCursor(pane.fill.field.textCursor().MoveOperation.End)
    pane.fill.insert.click()
    assert pane.fill.text == "The [MASK] of France is [MASK]"
    pane.fill.button.click()
    run, command = fake.last(Fill)
    assert command.text == pane.fill.text
    masks = ((2, (Filler(5, "capital", 0.7), Filler(6, "king", 0.2))), (6, (Filler(7, "Paris", 0.9),)))
    fake.play(run.id, [Filled(0, (1, 2), ("a", "b"), masks), Done(0)])
    qtbot.waitUntil(lambda: len(pane.fill.tables) == 2)
    assert pane.fill.tables[0].as_text() == "token\tprobability\ncapital\t70.00 %\nking\t20.00 %"
    pane.fill.tables[0].setCurrentCell(0, 0)
    qtbot.keyClick(pane.fill.tables[0], Qt.Key.Key_Return)
    assert pane.fill.text == "The capital of France is [MASK]" and pane.fill.tables == []
    assert fake.last(Fill)[1].text == pane.fill.text


def test_labels_are_shown_best_first_and_go_with_the_text(
    pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    load(state, fake, qtbot, "encoder")
    pane.tabs.setCurrentWidget(pane.labels)
    pane.labels.field.setPlainText("I liked it.")
    pane.labels.button.click()
    run, command = fake.last(Classify)
    assert command.text == "I liked it."
    fake.play(run.id, [Classified(0, (("POSITIVE", 0.75), ("NEGATIVE", 0.25))), Done(0)])
    qtbot.waitUntil(pane.labels.table.isVisible)
    qtbot.keySequence(pane.labels.table, "Ctrl+C")
    assert QGuiApplication.clipboard().text() == "label\tprobability\nPOSITIVE\t75.00 %\nNEGATIVE\t25.00 %"
    pane.labels.field.setPlainText("I did not.")
    assert not pane.labels.table.isVisible()


@pytest.mark.parametrize(
    ("use", "titles"),
    [
        ("fill", ["Fill", "Similarity", "Words"]),
        ("classify", ["Labels", "Similarity", "Words"]),
        ("embed", ["Similarity", "Words"]),
    ],
)
def test_a_page_shows_for_each_thing_that_the_model_was_trained_for_and_fits_a_narrow_pane(
    pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot, use: str, titles: list[str]
) -> None:
    pane.resize(320, 640)
    load(state, fake, qtbot, "encoder", use=use)
    tabs, bar = pane.tabs, pane.tabs.tabBar()
    shown = [index for index in range(tabs.count()) if tabs.isTabVisible(index)]
    assert [tabs.tabText(index) for index in shown] == titles
    assert tabs.currentIndex() in shown
    assert sum(bar.tabSizeHint(index).width() for index in shown) <= 320
    assert bar.tabRect(shown[-1]).right() < tabs.width() and pane.width() == 320


def test_cosines_below_zero_have_a_hue_of_their_own_and_a_legend(
    pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    load(state, fake, qtbot, "encoder", use="embed")
    page = pane.similarity
    for field, text in zip(page.fields, ("hot", "cold")):
        field.setText(text)
    page.ask()
    cosines = np.array([[1.0, -0.5], [-0.5, 0.0]], np.float32)
    fake.play(fake.last(Embed)[0].id, [Embedded(0, np.ones((2, 3), np.float32), cosines), Done(0)])
    qtbot.waitUntil(page.legend.isVisible)
    same, apart, none = (page.table.item(*place).background().color() for place in ((0, 0), (0, 1), (1, 1)))
    assert none.name().upper() == theme.current().surface
    assert apart.red() > apart.blue() and same.red() < same.blue(), "amber, teal"
    assert page.table.item(0, 1).text() == "\N{MINUS SIGN}0.500"
    page.fields[0].setText("warm")
    assert not page.legend.isVisible()


def test_two_to_six_sentences_are_compared(pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    load(state, fake, qtbot, "encoder")
    page = pane.similarity
    pane.tabs.setCurrentWidget(page)
    for _ in range(4):
        page.add.click()
    assert len(page.fields) == 6 and not page.add.isEnabled()
    for remove in list(page._removers[2:]):
        remove.click()
    assert len(page.fields) == 2 and not any(remove.isEnabled() for remove in page._removers)
    assert not page.button.isEnabled()
    for field, text in zip(page.fields, ("A cat sits.", "A dog runs.")):
        field.setText(text)
    page.button.click()
    run, command = fake.last(Embed)
    assert command.texts == ("A cat sits.", "A dog runs.")
    cosines = np.array([[1.0, 0.25], [0.25, 1.0]], np.float32)
    fake.play(run.id, [Embedded(0, np.ones((2, 3), np.float32), cosines), Done(0)])
    qtbot.waitUntil(page.table.isVisible)
    assert page.table.as_text().splitlines()[1] == "A cat sits.\t1.000000\t0.250000"
    alike, apart = page.table.item(0, 0), page.table.item(0, 1)
    assert alike is not None and apart is not None and alike.background() != apart.background()
    page.fields[0].setText("Another")
    assert not page.table.isVisible()


def test_word_arithmetic_is_asked_and_its_words_are_shown(
    pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    load(state, fake, qtbot, "encoder")
    pane.tabs.setCurrentWidget(pane.words)
    pane.words.field.setText("king - man + woman")
    qtbot.keyClick(pane.words.field, Qt.Key.Key_Return)
    run, command = fake.last(NearestWords)
    assert (command.plus, command.minus) == (("king", "woman"), ("man",))
    fake.play(run.id, [Nearest(0, (("queen", 0.7),)), Done(0)])
    qtbot.waitUntil(pane.words.table.isVisible)
    assert pane.words.table.as_text() == "word\tcosine\nqueen\t0.700"
    run = state.workspace.load("y")
    fake.play(run.id, [Loaded(0, a_model(kind="encoder")), Done(0)])
    qtbot.waitUntil(lambda: not pane.words.table.isVisible())  # another model's words are not these


def test_an_error_is_a_line_in_the_pane_and_goes_with_the_next_question(
    pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    load(state, fake, qtbot, "encoder")
    pane.fill.field.setPlainText("a [MASK]")
    pane.fill.button.click()
    run, _ = fake.last(Fill)
    fake.play(run.id, [Failed(0, "It has no head.", "Choose another.")])
    qtbot.waitUntil(pane.notice.isVisible)
    assert pane.notice.text == "It has no head. Choose another."
    pane.fill.button.click()
    assert not pane.notice.isVisible()
