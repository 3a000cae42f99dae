"""Messages that come while others are still being built: each gets its turn, and none loses a word."""

from __future__ import annotations

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.widgets.ink import current_ink
from app.widgets.transcript import Transcript
from engine import StoredMessage


def message(key: str, text: str, role: str = "assistant") -> StoredMessage:
    return StoredMessage(key, "chat", "", role, text)


def only(key: str) -> tuple[int, int]:
    return (1, 1)


@pytest.fixture
def transcript(qtbot: QtBot, themed: QApplication) -> Transcript:
    transcript = Transcript(current_ink(15))
    qtbot.addWidget(transcript)
    transcript.resize(500, 400)
    transcript.show()
    transcript.show_messages([message("a", "Hello", "user")], only, fresh=True)
    qtbot.waitUntil(lambda: transcript.built == 1)
    return transcript


def test_an_answer_is_built_in_a_turn_of_its_own_and_keeps_what_was_written_before(
    transcript: Transcript, qtbot: QtBot
) -> None:
    old = message("a", "Hello", "user")
    transcript.show_messages([old, message("b", "Again", "user"), message("c", "")], only)
    assert transcript.view("b") is not None and transcript.view("c") is None
    transcript.append("c", "One ")
    transcript.append("c", "two")
    qtbot.waitUntil(lambda: transcript.view("c") is not None)
    transcript.append("c", " three")
    view = transcript.view("c")
    assert view is not None and view.text.toPlainText() == "One two three"


def test_words_that_the_message_itself_brings_are_not_added_twice(transcript: Transcript, qtbot: QtBot) -> None:
    chat = [message("a", "Hello", "user"), message("b", "Again", "user")]
    transcript.show_messages([*chat, message("c", "")], only)
    transcript.append("c", "One")
    transcript.show_messages([*chat, message("c", "One")], only)
    qtbot.waitUntil(lambda: transcript.view("c") is not None)
    view = transcript.view("c")
    assert view is not None and view.text.toPlainText() == "One"
