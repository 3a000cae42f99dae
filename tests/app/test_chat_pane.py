"""The chat pane: what is typed reaches the conversation, what the conversation says is shown."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from app import frame_style
from app.panes.chat import Pane
from app.state import State
from app.widgets.notice import Notice
from engine import Chat, Done, Failed, Generate, Loaded, Started, StoredMessage, Tokens
from fakes import FakeEngine, a_model, a_record


@pytest.fixture
def pane(state: State, fake: FakeEngine, qtbot: QtBot) -> Pane:
    pane = Pane(state)
    qtbot.addWidget(pane)
    pane.resize(800, 700)
    pane.show()
    run = state.workspace.load("x")
    fake.play(run.id, [Loaded(0, a_model()), Done(0)])
    qtbot.waitUntil(lambda: state.workspace.info is not None)
    return pane


def play(fake: FakeEngine, *words: str, end: bool = True) -> None:
    run, _ = fake.last(Generate)
    tokens = [Tokens(0, word, (a_record(3 + i, word, 0.9),)) for i, word in enumerate(words)]
    fake.play(run.id, [Started(0, (1, 2), "", 1, 0), *tokens, *([Done(0, "eos")] if end else [])])


def ask(pane: Pane, fake: FakeEngine, qtbot: QtBot, question: str, *words: str) -> str:
    qtbot.keyClicks(pane.composer.editor, question)
    qtbot.keyClick(pane.composer.editor, Qt.Key.Key_Return)
    key = pane._talk.writing
    play(fake, *words)
    qtbot.waitUntil(lambda: pane._talk.answering is None)
    return key


def test_enter_sends_and_the_answer_streams_into_the_transcript(pane: Pane, fake: FakeEngine, qtbot: QtBot) -> None:
    qtbot.keyClicks(pane.composer.editor, "Hi")
    assert pane._talk.draft == "Hi"
    qtbot.keyClick(pane.composer.editor, Qt.Key.Key_Return)
    assert pane.composer.text == ""
    assert pane.composer.button.text().strip() == "Stop"
    key = pane._talk.writing
    play(fake, "Hello **you**", end=False)
    view = pane.transcript.view(key)
    assert view is not None
    qtbot.waitUntil(lambda: view.text.toPlainText() == "Hello you")
    run, _ = fake.last(Generate)
    fake.play(run.id, [Done(0, "eos")])
    qtbot.waitUntil(lambda: pane.composer.button.text().strip() == "Send")


def test_shift_enter_breaks_the_line_and_the_composer_grows_to_eight(pane: Pane, qtbot: QtBot) -> None:
    low = pane.composer.height()
    for _ in range(4):
        qtbot.keyClick(pane.composer.editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    qtbot.waitUntil(lambda: pane.composer.height() > low + 40)
    for _ in range(20):
        qtbot.keyClick(pane.composer.editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    spacing = pane.composer.editor.fontMetrics().lineSpacing()
    assert pane.composer.editor.height() <= 8 * spacing + 8


@pytest.mark.parametrize("size", [12, 15, 20, 24])
def test_no_line_of_the_composer_is_cut(pane: Pane, qtbot: QtBot, size: int) -> None:
    pane.setStyleSheet(frame_style.sheet())  # as in the window
    pane._state.settings.set("text_size", size)
    editor = pane.composer.editor
    for text in ("gjpqy Åg", "gjpqy\nÅg\ngj\ngj\ngj\ngj\ngj\ngj"):
        pane.composer.set_text(text)
        lines = text.count("\n") + 1
        line = editor.document().documentLayout().blockBoundingRect(editor.document().firstBlock()).height()
        qtbot.waitUntil(lambda high=line * lines: editor.viewport().height() >= high)
        assert editor.verticalScrollBar().value() == 0


def test_one_can_type_while_the_model_writes_and_enter_does_not_send(
    pane: Pane, fake: FakeEngine, qtbot: QtBot
) -> None:
    qtbot.keyClicks(pane.composer.editor, "Hi")
    qtbot.keyClick(pane.composer.editor, Qt.Key.Key_Return)
    qtbot.keyClicks(pane.composer.editor, "next")
    qtbot.keyClick(pane.composer.editor, Qt.Key.Key_Return)
    assert pane.composer.text == "next"
    assert len(fake.given(Generate)) == 1


def test_stop_is_said_at_once_and_cancels_the_run(pane: Pane, fake: FakeEngine, qtbot: QtBot) -> None:
    qtbot.keyClicks(pane.composer.editor, "Hi")
    qtbot.keyClick(pane.composer.editor, Qt.Key.Key_Return)
    qtbot.mouseClick(pane.composer.button, Qt.MouseButton.LeftButton)
    assert pane.composer.button.text().strip() == "Stopping"
    assert fake.last(Generate)[0].cancelled


def test_a_refused_message_stands_in_the_composer_again_with_the_reason(
    pane: Pane, fake: FakeEngine, qtbot: QtBot
) -> None:
    qtbot.keyClicks(pane.composer.editor, "Too long")
    qtbot.keyClick(pane.composer.editor, Qt.Key.Key_Return)
    run, _ = fake.last(Generate)
    fake.play(run.id, [Failed(0, "The prompt does not fit.", "Shorten it.")])
    qtbot.waitUntil(lambda: pane.notice.isVisible())
    assert pane.notice.text == "The prompt does not fit. Shorten it."
    assert pane.composer.text == "Too long"


def test_tokens_of_an_answer_are_shown_and_one_chosen_there_is_in_focus_everywhere(
    pane: Pane, fake: FakeEngine, qtbot: QtBot
) -> None:
    key = ask(pane, fake, qtbot, "Hi", "Hel", "lo", " you")
    pane.ask("tokens", key)
    view = pane.transcript.view(key)
    assert view is not None and view.strip is not None
    assert view.strip.text.toPlainText() == "Hello you"
    qtbot.keyClick(view.strip.text, Qt.Key.Key_Home)
    qtbot.keyClick(view.strip.text, Qt.Key.Key_Right)
    assert pane._state.captures.focused == (key, 1)
    pane._state.captures.focus(key, 2)
    selected = view.strip.text.extraSelections()
    assert [selection.cursor.selectedText() for selection in selected] == [" you"]
    pane.ask("tokens", key)
    assert view.strip is None and view.text.isVisible()


def test_delete_says_how_many_go_and_undo_brings_them_back(pane: Pane, fake: FakeEngine, qtbot: QtBot) -> None:
    ask(pane, fake, qtbot, "Hi", "Hello")
    pane.ask("delete", pane._talk.path[0].id)
    assert pane.notice.text == "2 messages deleted."
    assert pane.transcript.built == 0
    pane.notice._action.click()
    assert pane.transcript.built == 2


def test_an_edit_that_is_cancelled_changes_nothing(pane: Pane, fake: FakeEngine, qtbot: QtBot) -> None:
    ask(pane, fake, qtbot, "Hi", "Hello")
    view = pane.transcript.view(pane._talk.path[0].id)
    assert view is not None
    view.start_edit()
    view._end_edit("", False)
    assert [message.text for message in pane._talk.path] == ["Hi", "Hello"]
    assert view.text.isVisible()


def test_copy_gives_the_markdown_and_the_last_code(pane: Pane, fake: FakeEngine, qtbot: QtBot) -> None:
    key = ask(pane, fake, qtbot, "Hi", "See **this**:\n\n```python\nx = 1\n```\n")
    pane.ask("copy", key)
    assert QGuiApplication.clipboard().text().startswith("See **this**")
    pane.copy_last_code()
    assert QGuiApplication.clipboard().text() == "x = 1"


def test_an_answer_is_shown_as_written_and_copied_with_and_without_its_marks(
    pane: Pane, fake: FakeEngine, qtbot: QtBot
) -> None:
    key = ask(pane, fake, qtbot, "Hi", "See **this**:\n\n- one\n- `two`\n")
    view = pane.transcript.view(key)
    assert view is not None
    choices = {action.text(): action for action in view.more_menu().actions()}
    choices["Copy as plain text"].trigger()
    assert QGuiApplication.clipboard().text() == "See this:\n\n- one\n- two"
    choices["Copy as Markdown"].trigger()
    assert QGuiApplication.clipboard().text() == "See **this**:\n\n- one\n- `two`\n"
    assert "**" not in view.text.toPlainText()
    choices["Show as Markdown"].trigger()
    assert view.text.toPlainText() == "See **this**:\n\n- one\n- `two`\n"
    pane._talk.go_on(key)
    play(fake, "**More**")
    qtbot.waitUntil(lambda: view.text.toPlainText().endswith("\n**More**"))
    next(action for action in view.more_menu().actions() if action.isChecked()).trigger()
    assert "**" not in view.text.toPlainText() and "More" in view.text.toPlainText()


def test_complete_mode_shows_one_text_that_the_model_continues(pane: Pane, fake: FakeEngine, qtbot: QtBot) -> None:
    pane.header.complete_button.click()
    assert pane._pages.currentWidget() is pane.text
    qtbot.keyClicks(pane.text.editor, "Once upon")
    qtbot.keyClick(pane.text.editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert fake.last(Generate)[1].prompt.text == "Once upon"
    assert pane.text.editor.isReadOnly()
    play(fake, " a", " time")
    qtbot.waitUntil(lambda: pane.text.text == "Once upon a time" and not pane.text.editor.isReadOnly())
    assert pane.composer.button.text().strip() == "Continue"
    pane.ask("tokens", pane.last())
    strip = pane.text.strip
    assert strip is not None and strip.count == 2
    assert strip.text.toPlainText() == "Once upon a time"
    qtbot.keyClick(strip.text, Qt.Key.Key_Home)
    assert [s.cursor.selectedText() for s in strip.text.extraSelections()] == [" a"]
    pane.ask("retry", pane.last())
    play(fake, " the", " old", " town")
    qtbot.waitUntil(lambda: strip.text.toPlainText() == "Once upon the old town")
    pane.ask("previous", pane.last())
    assert strip.text.toPlainText() == "Once upon a time"
    pane.header.chat_button.click()
    assert pane._talk.chat.mode == "chat"
    assert pane.composer.button.text().strip() == "Send"


def test_a_base_model_says_why_it_does_not_take_turns(pane: Pane, fake: FakeEngine, qtbot: QtBot) -> None:
    run = pane._state.workspace.load("base")
    fake.play(run.id, [Loaded(0, a_model(name="Base", chat_template=False)), Done(0)])
    qtbot.waitUntil(lambda: pane.header._why.isVisible())
    assert pane.header._why.text().startswith("Base has no chat template")
    assert not pane.header.chat_button.isEnabled()


def test_the_page_follows_only_while_it_stands_at_the_bottom(pane: Pane, fake: FakeEngine, qtbot: QtBot) -> None:
    for number in range(6):
        ask(pane, fake, qtbot, f"Question {number}", "A long answer. " * 60)
    bar = pane.transcript.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.maximum() > 400 and bar.value() == bar.maximum())
    pane._talk.send("More")
    bar.setValue(bar.maximum() // 2)
    held = pane.transcript._held  # the message at the top of the page, and how far it reaches above
    assert held is not None
    play(fake, "Words. " * 300, end=False)
    high = bar.maximum()
    qtbot.waitUntil(lambda: bar.maximum() > high)
    assert pane.transcript._held == held
    assert bar.value() < bar.maximum() - 100
    assert pane.transcript._pill.isVisible()
    pane.transcript._pill.click()
    qtbot.waitUntil(lambda: bar.value() == bar.maximum())


def test_what_the_store_mended_is_said_once_and_stays_when_the_last_chat_opens(
    pane: Pane, state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    said: list[str] = []
    state.workspace.mended.connect(said.append)
    fake.chats["c"] = Chat("c", "Rivers")
    fake.mended = "The file of chats was damaged; a backup of yesterday stands in its place."
    state.library.refresh()
    qtbot.waitUntil(pane.notice.isVisible)
    assert pane.notice.text == said[0]
    assert not pane.notice.property("error")
    state.conversation.open("c")
    qtbot.waitUntil(lambda: state.conversation.chat.id == "c")
    state.library.refresh()
    qtbot.waitUntil(lambda: len(state.library.chats) == 1)
    assert pane.notice.isVisible() and len(said) == 1


def test_a_notice_about_a_message_goes_with_its_chat(pane: Pane, fake: FakeEngine, qtbot: QtBot) -> None:
    ask(pane, fake, qtbot, "Hi", "Hello")
    pane.ask("delete", pane._talk.path[0].id)
    assert pane.notice.isVisible()
    pane._talk.new_chat()
    assert not pane.notice.isVisible()


def a_long_chat(fake: FakeEngine, key: str, count: int) -> None:
    fake.chats[key] = Chat(key, key)
    parent = ""
    for number in range(count):
        role, text = ("assistant", "An answer of some length. " * 30) if number % 2 else ("user", f"Question {number}")
        message = StoredMessage(f"{key}{number}", key, parent, role, text, created=float(number))
        fake.messages[message.id] = message
        parent = message.id


def show(pane: Pane, qtbot: QtBot, key: str) -> None:
    pane._talk.open(key)
    qtbot.waitUntil(lambda: pane._talk.chat.id == key and pane.transcript.built > 0)


def test_a_chat_of_thousands_of_messages_builds_only_those_near_its_end(
    pane: Pane, fake: FakeEngine, qtbot: QtBot
) -> None:
    a_long_chat(fake, "long", 2000)
    built: list[int] = []
    pane._talk.draft_changed.connect(lambda _: built.append(pane.transcript.built))
    show(pane, qtbot, "long")
    assert built == [3]  # all that is built before the window answers again
    bar = pane.transcript.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.value() == bar.maximum() > 400)
    assert pane.transcript.view("long1999") is not None
    assert pane.transcript.built < 20
    bar.setValue(0)
    built = pane.transcript.built
    qtbot.waitUntil(lambda: pane.transcript.built > built)


def test_the_place_in_each_chat_is_kept(pane: Pane, fake: FakeEngine, qtbot: QtBot) -> None:
    a_long_chat(fake, "one", 60)
    a_long_chat(fake, "two", 60)
    show(pane, qtbot, "one")
    bar = pane.transcript.verticalScrollBar()
    for _ in range(6):
        qtbot.waitUntil(lambda: bar.maximum() > 0)
        bar.setValue(0)
        qtbot.wait(5)
    bar.setValue(bar.value() // 2 + 37)
    place = pane.transcript.place
    assert place is not None and place[0] != "one59"
    show(pane, qtbot, "two")
    assert pane.transcript.place is None
    show(pane, qtbot, "one")
    qtbot.waitUntil(lambda: pane.transcript.place == place)
    assert pane.transcript.view("one59") is None and pane.transcript.view(place[0]) is not None
    for _ in range(40):  # what follows is built on the way down
        bar.setValue(bar.maximum())
        qtbot.wait(1)
    qtbot.waitUntil(lambda: pane.transcript.view("one59") is not None)
    show(pane, qtbot, "two")
    show(pane, qtbot, "one")
    qtbot.waitUntil(lambda: bar.value() == bar.maximum() > 400)


def test_a_message_sent_from_far_up_a_long_chat_is_shown(pane: Pane, fake: FakeEngine, qtbot: QtBot) -> None:
    a_long_chat(fake, "one", 60)
    show(pane, qtbot, "one")
    pane.transcript.show_messages(pane._talk.path, pane._talk.versions, True, ("one20", 0))
    qtbot.waitUntil(lambda: pane.transcript.place == ("one20", 0))
    pane.composer.set_text("And then?")
    pane.send()
    assert pane.transcript.view(pane._talk.writing) is not None
    bar = pane.transcript.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.value() == bar.maximum() > 400)


def test_details_of_an_error_fold_open_and_can_be_copied(qtbot: QtBot, themed: object) -> None:
    notice = Notice()
    qtbot.addWidget(notice)
    notice.fail("It broke.", "Mend it.", "line 1")
    assert notice._details.isHidden()
    notice._fold.click()
    assert not notice._details.isHidden()
    notice._copy.click()
    assert QGuiApplication.clipboard().text() == "It broke. Mend it.\n\nline 1"
