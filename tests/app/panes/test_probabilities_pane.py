"""The Probabilities pane over its state: what it shows of the token in focus, and how it moves the focus."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.panes.probabilities import Pane
from app.state import State
from app.window import DRAWER
from engine import Tokens
from fakes import FakeEngine, a_record

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
    assert pane.place.text() == "token 2 of 2"
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
    lines = [
        [pane.table.item(r, c).text() for c in range(pane.table.columnCount())] for r in range(pane.table.rowCount())
    ]
    assert lines[0] == ["␣a", "103", "0.500000", "0.666667", "", "yes"]
    assert lines[2] == ["␣sea", "8", "0.250000", "0.000000", "top-p", ""]
    pane.counts.setCurrentText("10")
    pane.counts.activated.emit(0)
    assert state.settings.value("candidates_shown") == 10
    pane.copy.click()
    assert QGuiApplication.clipboard().text().splitlines()[1] == '" a",103,0.500000,0.666667,,yes'


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
