"""Going on from a token in the Playground: by the tokens view, by the Probabilities pane, and back between versions."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtWidgets import QApplication, QLabel, QToolButton, QWidget
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.panes import probabilities
from app.panes.playground import Pane
from app.state import State
from app.window import Window
from engine import Done, Event, Generate, Prompt, Started, Tokens
from fakes import FakeEngine, a_model, a_record


@pytest.fixture
def pane(state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot) -> Pane:
    """A target of three tokens: "a", " b", " c"."""
    state.workspace._show_model(a_model(kind="encoder-decoder", family="bart", chat_template=False))
    state.captures.follow(True)
    pane = Pane(state)
    qtbot.addWidget(pane)
    pane.resize(380, 640)
    pane.show()
    pane.writer.field.setPlainText("A house.")
    pane.writer.button.click()
    tokens = [Tokens(0, text, (a_record(1 + n, text),)) for n, text in enumerate(("a", " b", " c"))]
    say(fake, bridge, Started(0, (2,), "", 7, 0, (5, 6)), *tokens, Done(0, "eos"))
    return pane


def say(fake: FakeEngine, bridge: Bridge, *events: Event) -> None:
    fake.play(fake.last(Generate)[0].id, events)
    bridge.deliver()


def shown(pane: Pane) -> tuple[str, str]:
    """The target and its version as they are on the screen."""
    label = pane.writer.versions.findChild(QLabel)
    return pane.writer.target.toPlainText(), label.text() if pane.writer.versions.isVisible() else ""


def test_another_candidate_in_the_tokens_view_goes_on_from_there_and_both_are_versions(
    pane: Pane, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    assert shown(pane) == ("a b c", "")
    pane.writer.as_tokens.click()
    menu = pane.writer.strip.text.offer(1, pane.mapToGlobal(pane.rect().center()))
    assert menu is not None
    next(action for action in menu.actions() if action.data() == 7).trigger()
    menu.close()
    assert fake.last(Generate)[1].prompt == Prompt(source="A house.", answer_ids=(101,), forced_ids=(7,))
    assert pane.writer.strip.text.offer(0, pane.mapToGlobal(pane.rect().center())) is None, "not while it writes"
    say(fake, bridge, Tokens(0, " lake", (a_record(2, " lake"),)), Tokens(0, " d", (a_record(3, " d"),)), Done(0))
    assert shown(pane) == ("a lake d", "2/2")
    words = pane.writer.strip.text.toPlainText()
    assert "lake" in words and " b" not in words.replace("·", " ")
    back, forth = pane.writer.versions.findChildren(QToolButton)
    back.click()
    assert shown(pane) == ("a b c", "1/2") and "lake" not in pane.writer.strip.text.toPlainText()
    forth.click()
    assert shown(pane) == ("a lake d", "2/2")


def test_a_candidate_or_a_word_of_the_probabilities_pane_goes_on_from_there(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    chances = probabilities.Pane(state)
    qtbot.addWidget(chances)
    chances.resize(380, 600)
    chances.show()
    state.captures.focus(state.playground.target_key, 1)
    chances.refresh()
    assert chances.instead.isVisible() and chances.instead.isEnabled()
    chances.bars.taken.emit(8)
    assert fake.last(Generate)[1].prompt.forced_ids == (8,)
    say(fake, bridge, Tokens(0, " sea", (a_record(2, " sea"),)))
    chances.refresh()
    assert not chances.instead.isEnabled()
    say(fake, bridge, Done(0, "eos"))
    state.captures.focus(state.playground.target_key, 1)
    chances.refresh()
    chances.instead.setText("shore")
    qtbot.keyClick(chances.instead, Qt.Key.Key_Return)
    assert fake.last(Generate)[1].prompt.forced_text == " shore"
    state.workspace._show_model(a_model())
    chances.refresh()
    assert not chances.instead.isVisible()


def test_open_the_playground_leads_to_the_field_where_one_writes(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    window = Window(state)
    qtbot.addWidget(window)
    window.resize(1280, 800)
    window.show()
    for kind, use, name in (("encoder-decoder", "", "source"), ("encoder", "fill", "maskedText")):
        state.workspace._show_model(a_model(kind=kind, use=use, chat_template=False))
        window.docks["playground"].hide()
        window.activateWindow()
        qtbot.waitUntil(window.isActiveWindow)
        window.chat.focus_composer()
        window.chat.playground_wanted.emit()
        qtbot.waitUntil(lambda name=name: (at := QApplication.focusWidget()) is not None and at.objectName() == name)


def test_nothing_of_a_pane_is_a_window_of_its_own_while_it_is_built(
    state: State, themed: QApplication, qtbot: QtBot
) -> None:
    class Windows(QObject):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[QWidget] = []

        def eventFilter(self, watched: QObject, event: QEvent) -> bool:
            if event.type() == QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow():
                self.seen.append(watched)
            return False

    windows = Windows()
    themed.installEventFilter(windows)
    window = Window(state)
    qtbot.addWidget(window)
    for dock in window.docks.values():
        dock.build()
    themed.removeEventFilter(windows)
    assert windows.seen == []
