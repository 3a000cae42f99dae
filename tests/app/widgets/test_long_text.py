"""A long paragraph in several blocks: the same lines, the same text, and every place found again."""

from __future__ import annotations

import random

import pytest
from PySide6.QtGui import QGuiApplication, QTextCursor, QTextDocument
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.widgets.flowing import FlowingText
from app.widgets.ink import current_ink
from app.widgets.long_text import LongText
from app.widgets.token_text import TokenText
from fakes import a_record

LETTERS = random.Random(0)
WORDS = [" " + "".join(LETTERS.choices("abcdefgh", k=LETTERS.randint(1, 9))) for _ in range(1500)]


def lines(document: QTextDocument) -> list[str]:
    """The lines as they are laid out."""
    result, block = [], document.begin()
    while block.isValid():
        layout, text = block.layout(), block.text()
        for number in range(layout.lineCount()):
            line = layout.lineAt(number)
            result.append(text[line.textStart() : line.textStart() + line.textLength()])
        block = block.next()
    return result


def shown(qtbot: QtBot, text: FlowingText, words: list[str]) -> None:
    qtbot.addWidget(text)
    text.resize(420, 300)
    text.show()
    cursor = QTextCursor(text.document())
    for start in range(0, len(words), 100):
        cursor.insertText("".join(words[start : start + 100]))
        if isinstance(text, LongText):
            text.part_later()
        QApplication.processEvents()


@pytest.fixture
def parted(qtbot: QtBot, themed: QApplication) -> LongText:
    text = LongText()
    shown(qtbot, text, WORDS)
    qtbot.waitUntil(lambda: text.document().blockCount() > 3)
    return text


@pytest.fixture
def whole(qtbot: QtBot, themed: QApplication) -> FlowingText:
    text = FlowingText()
    shown(qtbot, text, WORDS)
    return text


def test_the_lines_are_those_of_one_block_and_stay_so_in_another_width(
    parted: LongText, whole: FlowingText, qtbot: QtBot
) -> None:
    assert lines(parted.document()) == lines(whole.document())
    before = len(lines(whole.document()))
    for text in (parted, whole):
        text.resize(250, 300)
    qtbot.waitUntil(lambda: len(lines(whole.document())) > before)
    qtbot.waitUntil(lambda: lines(parted.document()) == lines(whole.document()))
    assert parted.document().blockCount() > 3


def test_the_text_and_what_is_copied_of_it_have_no_seams(parted: LongText) -> None:
    assert parted.plain() == "".join(WORDS)
    parted.selectAll()
    parted.copy()
    assert QGuiApplication.clipboard().text() == "".join(WORDS)
    assert parted.plain(parted.position(1), parted.position(4000)) == "".join(WORDS)[1:4000]


def test_every_place_is_found_again_in_the_document(parted: LongText) -> None:
    text = "".join(WORDS)
    assert all(parted.place(parted.position(place)) == place for place in range(len(text) + 1))
    document = parted.document()
    assert all(document.characterAt(parted.position(place)) == text[place] for place in range(len(text)))


def test_a_line_break_of_the_text_itself_is_kept(qtbot: QtBot, themed: QApplication) -> None:
    words = [*WORDS[:700], "\n", *WORDS[700:]]
    text = LongText()
    shown(qtbot, text, words)
    qtbot.waitUntil(lambda: text.document().blockCount() > 3)
    assert text.plain() == "".join(words)


def test_a_token_is_still_itself_behind_many_others(qtbot: QtBot, themed: QApplication) -> None:
    text = TokenText(current_ink(15))
    qtbot.addWidget(text)
    text.resize(420, 300)
    text.show()
    text.start("Before")
    records = [a_record(place, word) for place, word in enumerate(WORDS, start=1)]
    text.add_tokens(records[:1200])
    qtbot.waitUntil(lambda: text.document().blockCount() > 2)
    text.add_tokens(records[1200:])
    cursor = QTextCursor(text.document())
    for index in range(0, 1500, 7):
        text._select(cursor, index)
        assert cursor.selectedText().replace("\u2029", "") == WORDS[index]
