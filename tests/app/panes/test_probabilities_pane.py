"""The Probabilities pane over its state: what it shows of the token in focus, and how it moves the focus."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.panes.probabilities import Pane
from app.state import State
from app.window import DRAWER
from engine import Done, Drawing, Generate, SamplingParams, Started, Tokens
from fakes import FakeEngine, a_model, a_record

RUN = 900


@pytest.fixture
def pane(state: State, qtbot: QtBot, fake: FakeEngine, bridge: Bridge) -> Pane:
    pane = Pane(state)
    qtbot.addWidget(pane)
    pane.resize(340, 420)
    pane.show()
    state.captures.show(["m"])
    state.captures.begin("m", RUN)
    return pane


def write(fake: FakeEngine, bridge: Bridge, *texts: str, start: int = 3) -> None:
    fake.play(RUN, [Tokens(0, text, (a_record(start + n, text),)) for n, text in enumerate(texts)])
    bridge.deliver()


def test_an_empty_pane_says_what_will_appear(pane: Pane) -> None:
    assert not pane.bars.isVisible()
    assert pane._pages.currentIndex() == 0


def test_it_follows_the_newest_token_while_one_is_written(
    pane: Pane, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    write(fake, bridge, " a", " b")
    qtbot.waitUntil(lambda: pane.token.text() == "␣b")
    assert pane.place.text() == "2 of 2"
    assert [value.text() for _, value in pane.figures][:3] == ["50.00 %", "66.67 %", "1"]
    write(fake, bridge, " c", start=5)
    qtbot.waitUntil(lambda: pane.token.text() == "␣c")


def test_buttons_and_arrow_keys_step_and_following_ends(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    write(fake, bridge, " a", " b", " c")
    qtbot.waitUntil(lambda: pane.previous.isEnabled() and not pane.next.isEnabled())
    pane.previous.click()
    assert state.captures.focused == ("m", 1) and not pane.follow.isChecked()
    qtbot.keyClick(pane.bars, Qt.Key.Key_Left)
    assert state.captures.focused == ("m", 0)
    qtbot.waitUntil(lambda: pane.token.text() == "␣a" and not pane.previous.isEnabled())
    pane.follow.click()
    assert state.captures.focused == ("m", 2) and state.captures.following


def test_the_focus_that_is_chosen_elsewhere_is_shown(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    write(fake, bridge, " a", " b")
    state.captures.focus("m", 0)
    qtbot.waitUntil(lambda: pane.token.text() == "␣a")


def test_the_table_holds_the_same_numbers_and_the_count_is_kept(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    write(fake, bridge, " a")
    qtbot.waitUntil(lambda: pane.token.text() == "␣a")
    pane.as_table.click()
    lines = [line.split("\t") for line in pane.table.as_text().splitlines()[1:]]
    assert lines[0] == ["␣a", "103", "1", "-0.6931", "0.500000", "0.666667", "", "yes"]
    assert lines[2] == ["␣sea", "8", "3", "-1.3863", "0.250000", "0.000000", "top-p", ""]
    pane.counts.setText("10")
    pane.counts.editingFinished.emit()
    assert state.settings.value("candidates_shown") == 10
    pane.copy.click()
    assert QGuiApplication.clipboard().text().splitlines()[1] == '" a",103,1,-0.6931,0.500000,0.666667,,yes'


def test_a_hidden_pane_draws_nothing_and_is_right_when_it_is_seen_again(
    pane: Pane, fake: FakeEngine, bridge: Bridge
) -> None:
    pane.hide()
    write(fake, bridge, " a")
    assert not pane._timer.isActive() and pane.token.text() == ""
    pane.show()
    assert pane.token.text() == "␣a"


def test_no_token_makes_the_pane_wider_than_the_narrow_drawer(
    pane: Pane, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    write(fake, bridge, " internationalization-of-everything")
    qtbot.waitUntil(lambda: "…" in pane.token.text())
    assert pane.token.text().startswith("␣int") and pane.token.text().endswith("ing")
    assert pane.minimumSizeHint().width() <= DRAWER
    pane.resize(640, 420)
    qtbot.waitUntil(lambda: pane.token.text() == "␣internationalization-of-everything")


def test_steps_show_what_each_left_and_now_follows_a_slider(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    drawing = Drawing(3, (1, 2, 3), 3, 200, SamplingParams.neutral(temperature=1.0))
    records = (dataclasses.replace(a_record(3, " a"), steps=(), cut=np.full(3, -1, np.int8)),)
    fake.play(RUN, [Started(0, (1, 2, 3), "", 3, 0, (), drawing), Tokens(0, " a", records), Done(0)])
    bridge.deliver()
    pane.steps.click()
    assert [stage.step for stage in pane.grid._stages] == [""]
    assert pane.written.isChecked()
    state.presets.set_sampling(SamplingParams.neutral(temperature=0.5, top_k=1))
    qtbot.waitUntil(lambda: [stage.step for stage in pane.grid._stages] == ["", "top_k", "temperature"])
    assert pane.now.isChecked()
    qtbot.waitUntil(lambda: "of 1 token would differ" in pane.words.text())
    assert pane.grid.readout(2) == "␣sea: Model 25.00 %, Top-k cut"
    pane.as_table.click()
    head = [pane.table.model().headerData(c, Qt.Orientation.Horizontal) for c in range(6)]
    assert head == ["Token", "Id", "Model", "Top-k", "Temperature", "Chosen"]
    cells = [pane.table.model().index(2, column).data() for column in range(5)]
    assert cells == ["␣sea", "8", "0.250000", "cut", ""]
    pane.copy.click()
    assert QGuiApplication.clipboard().text().splitlines()[3].startswith('" sea",8,0.250000,cut,')
    assert not pane.grid.grab().isNull()


def test_a_candidate_or_a_word_begins_a_branch_of_a_chats_answer(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    state.workspace._show_model(a_model())
    state.conversation.send("Hi")
    run, _ = fake.last(Generate)
    fake.play(run.id, [Tokens(0, text, (a_record(3 + n, text),)) for n, text in enumerate((" a", " b"))])
    fake.play(run.id, [Done(0, "length")])
    bridge.deliver()
    state.captures.focus(state.conversation.path[-1].id, 1)
    pane.refresh()
    assert pane.instead.isEnabled()
    pane.bars.taken.emit(7)
    _, command = fake.last(Generate)
    assert command.prompt.answer_ids == (103,) and command.prompt.forced_ids == (7,)
    fake.play(fake.last(Generate)[0].id, [Done(0, "cancelled")])
    bridge.deliver()
    state.captures.focus(state.conversation.path[-1].id, 1)
    pane.refresh()
    pane.instead.setText("island")
    qtbot.keyClick(pane.instead, Qt.Key.Key_Return)
    _, command = fake.last(Generate)
    assert command.prompt.forced_text == " island"
    pane.refresh()
    assert not pane.instead.isEnabled()  # while it writes
