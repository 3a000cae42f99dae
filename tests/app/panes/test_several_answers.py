"""Several answers in the chat pane: asked for by menu, key and action, told while written, shown with their scores."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QToolButton
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.panes.chat import Pane
from app.state import State
from app.widgets.answer_score import score_words
from engine import Answered, BestOf, Done, Event, Generate, Generated, Progress, Started, Stats, Tokens
from fakes import FakeEngine, a_model, a_record

KEYS = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def pane(state: State, fake: FakeEngine, qtbot: QtBot) -> Pane:
    state.workspace._show_model(a_model())
    pane = Pane(state)
    qtbot.addWidget(pane)
    pane.resize(800, 700)
    pane.show()
    return pane


def play(fake: FakeEngine, bridge: Bridge, *answers: tuple[str, float]) -> None:
    """Give these answers and their scores, and end."""
    run, command = fake.last(BestOf)
    for index, (text, score) in enumerate(answers):
        started = Started(0, (1, 2), "", 7 + index, 0)
        generated = Generated(0, (1, 2), (102,), text, "eos", 0.1, 0.1, 10.0)
        records = (a_record(2, text),)
        fake.play(run.id, [Progress(0, "Writing answers", index, command.count), started, Tokens(0, text, records)])
        fake.play(run.id, [Answered(0, index, started, generated, records, score)])
    fake.play(run.id, [Done(0)])
    bridge.deliver()


def test_the_menu_beside_send_asks_so_often_as_it_says_and_remembers_how_often(
    pane: Pane, state: State, fake: FakeEngine
) -> None:
    menu = pane.composer.answers.menu_now()
    act, often = menu.actions()[0], menu.actions()[2].menu()
    assert act.text() == "Answer 3 times and keep all" and not act.isEnabled()
    assert [choice.text() for choice in often.actions() if choice.isChecked()] == ["3 times"]
    assert [choice.text() for choice in often.actions()][::6] == ["2 times", "8 times"]
    next(choice for choice in often.actions() if choice.text() == "5 times").trigger()
    assert state.settings.value("answers") == 5
    pane.composer.editor.setPlainText("Hi")
    act = pane.composer.answers.menu_now().actions()[0]
    assert act.text() == "Answer 5 times and keep all" and act.isEnabled()
    act.trigger()
    assert fake.last(BestOf)[1].count == 5 and pane.composer.text == ""
    assert not pane.composer.answers.menu_now().actions()[0].isEnabled(), "one request at a time"


def test_the_menu_opens_above_its_button_and_does_what_is_chosen(pane: Pane, fake: FakeEngine, qtbot: QtBot) -> None:
    pane.composer.set_text("Hi")
    qtbot.mouseClick(pane.composer.answers, Qt.MouseButton.LeftButton)
    menu = QApplication.activePopupWidget()
    assert menu is not None
    bottom = menu.geometry().bottom()
    assert bottom < pane.composer.answers.mapToGlobal(pane.composer.answers.rect().topLeft()).y()
    qtbot.keyClick(menu, Qt.Key.Key_Down)
    qtbot.keyClick(menu, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: bool(fake.given(BestOf)))


def test_the_keyboard_asks_too_and_the_line_says_which_is_being_written(
    pane: Pane, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    qtbot.keyClicks(pane.composer.editor, "Hi")
    qtbot.keyClick(pane.composer.editor, Qt.Key.Key_Return, KEYS)
    run, _ = fake.last(BestOf)
    assert pane.composer.button.text().strip() == "Stop"
    fake.play(run.id, [Progress(0, "Writing answers", 1, 3)])
    bridge.deliver()
    assert pane._reading._words.text() == "Answer 2 of 3"
    qtbot.mouseClick(pane.composer.button, Qt.MouseButton.LeftButton)
    assert run.cancelled


def test_the_likeliest_is_shown_with_its_score_and_the_arrows_lead_to_the_others(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    state.conversation.send("Hi", answers=3)
    play(fake, bridge, ("one", -1.5), ("two", -0.5), ("three", -0.75))
    view = pane.transcript.view(pane.last())
    assert view is not None and view.text.toPlainText() == "two"
    assert view._score.text() == "Likeliest of 3, score −0.50"
    qtbot.waitUntil(view._score.isVisible)
    assert "a probability of 61 %" in view._score.toolTip()
    assert view.text.accessibleDescription() == view._score.text()
    pane.ask("next", pane.last())
    other = pane.transcript.view(pane.last())
    assert other is not None and other.text.toPlainText() == "three"
    assert other._score.text() == "2nd likeliest of 3, score −0.75"


def test_the_one_under_way_is_seen_growing_and_those_before_it_can_be_gone_back_to(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge
) -> None:
    state.conversation.send("Hi", answers=3)
    run, _ = fake.last(BestOf)

    def tell(*events: Event) -> None:
        fake.play(run.id, events)
        bridge.deliver()

    def begin(index: int, text: str) -> tuple[Event, ...]:
        tokens = Tokens(0, text, (a_record(2, text),))
        return (Progress(0, "Writing answers", index, 3), Started(0, (1, 2), "", 7, 0), tokens)

    tell(*begin(0, "one"), Stats(0, 3, 64, 1, 9.0))
    view = pane.transcript.view(pane.last())
    assert view is not None and view.text.toPlainText() == "one" and view._score.text() == "Score −0.69"
    whole = Generated(0, (1, 2), (102,), "one", "eos", 0.1, 0.1, 10.0)
    tell(Answered(0, 0, Started(0, (1, 2), "", 7, 0), whole, (), -1.5), *begin(1, "tw"))
    view = pane.transcript.view(pane.last())
    assert view is not None and view.text.toPlainText() == "tw" and pane._reading._words.text() == "Answer 2 of 3"
    assert view._switch is not None and view._switch.isEnabled()
    pane.ask("tokens", pane.last())
    tell(Tokens(0, "o", (a_record(3, "o"),)))
    assert view.strip is not None and view.strip.count == 2
    view._switch.step.emit(-1)
    view = pane.transcript.view(pane.last())
    assert view is not None and view.text.toPlainText() == "one" and view._score.text() == "Score −1.50"
    tell(Tokens(0, "!", (a_record(4, "!"),)))
    assert view.text.toPlainText() == "one", "nothing moves under the reader"


def test_a_text_continued_several_times_grows_and_its_versions_can_be_gone_back_to(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge
) -> None:
    state.conversation.set_mode("complete")
    state.conversation.send("Once", answers=2)
    run, _ = fake.last(BestOf)
    started = Started(0, (1, 2), "", 7, 0)
    whole = Generated(0, (1, 2), (102,), " more", "eos", 0.1, 0.1, 10.0)
    fake.play(run.id, [started, Tokens(0, " more", (a_record(2, " more"),)), Answered(0, 0, started, whole, (), -1.5)])
    fake.play(run.id, [started, Tokens(0, " upon", (a_record(2, " upon"),)), Stats(0, 3, 64, 1, 9.0)])
    bridge.deliver()
    assert pane.text.text == "Once upon" and pane.text._score.text() == "Score −0.69"
    pane.text._buttons["previous"].click()
    assert pane.text.text == "Once more" and pane.text.editor.isReadOnly()
    fake.play(run.id, [Tokens(0, " a", (a_record(3, " a"),))])
    bridge.deliver()
    assert pane.text.text == "Once more"
    pane.text._buttons["next"].click()
    assert pane.text.text == "Once upon a"


def test_an_action_of_a_message_writes_more_of_them(pane: Pane, state: State, fake: FakeEngine, bridge: Bridge) -> None:
    state.settings.set("answers", 2)
    pane.composer.answers.set_count(2)
    state.conversation.send("Hi", answers=2)
    play(fake, bridge, ("one", -1.5), ("two", -0.5))
    view = pane.transcript.view(pane.last())
    assert view is not None
    actions = view._build_actions()
    actions.findChild(QToolButton, "action-several").click()
    assert len(fake.given(BestOf)) == 2 and fake.last(BestOf)[1].count == 2


def test_the_tokens_of_each_version_can_be_looked_at(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge
) -> None:
    state.conversation.send("Hi", answers=2)
    play(fake, bridge, ("one", -1.5), ("two", -0.5))
    for step, text in ((0, "two"), (-1, "one")):
        state.conversation.show_version(pane.last(), step)
        pane.ask("tokens", pane.last())
        view = pane.transcript.view(pane.last())
        assert view is not None and view.strip is not None and view.strip.count == 1
        assert [record.text for record in state.captures.records(pane.last())] == [text]


def test_in_a_narrow_chat_the_score_gives_way_to_the_actions(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    state.conversation.send("Hi", answers=2)
    play(fake, bridge, ("one", -1.5), ("two", -0.5))
    view = pane.transcript.view(pane.last())
    assert view is not None
    pane.activateWindow()
    view.text.setFocus()
    qtbot.waitUntil(lambda: view._actions is not None and view._actions.isVisible())
    assert view._score.isVisible()
    pane.resize(400, 600)
    qtbot.waitUntil(lambda: not view._score.isVisible())
    pane.composer.editor.setFocus()
    qtbot.waitUntil(view._score.isVisible)


def test_a_text_is_continued_several_times_and_shows_the_score_beside_its_versions(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    state.conversation.set_mode("complete")
    assert pane.composer.answers.menu_now().actions()[0].text() == "Continue 3 times and keep all"
    pane.text.editor.setPlainText("Once")
    qtbot.keyClick(pane.text.editor, Qt.Key.Key_Return, KEYS)
    assert fake.last(BestOf)[1].prompt.text == "Once"
    assert pane.text.text == "Once" and pane.text.editor.isReadOnly()
    play(fake, bridge, (" more", -1.5), (" upon", -0.5))
    assert pane.text.text == "Once upon" and not pane.text.editor.isReadOnly()
    assert pane.text._score.text() == "Likeliest of 2, score −0.50"
    pane.text._buttons["previous"].click()
    assert pane.text.text == "Once more" and pane.text._score.text() == "2nd likeliest of 2, score −1.50"
    pane.text._buttons["several"].click()
    assert fake.last(BestOf)[1].prompt.text == "Once"


def test_an_ordinary_answer_has_no_score(pane: Pane, state: State, fake: FakeEngine, bridge: Bridge) -> None:
    state.conversation.send("Hi")
    fake.play(fake.last(Generate)[0].id, [Started(0, (1, 2), "", 1, 0), Done(0, "eos")])
    bridge.deliver()
    view = pane.transcript.view(pane.last())
    assert view is not None and not view._score.isVisible()


@pytest.mark.parametrize(
    ("stats", "line"),
    [
        ({}, ""),
        ({"score": -0.5}, "Score −0.50"),
        ({"score": -0.5, "rank": 3, "ranked": 4}, "3rd likeliest of 4, score −0.50"),
        ({"score": -12.0, "rank": 8, "ranked": 8}, "8th likeliest of 8, score −12.00"),
    ],
)
def test_a_score_in_words(stats: dict[str, float], line: str) -> None:
    assert score_words(stats)[0] == line
