"""The tokens of an answer as coloured text: what the colours mean, the marks, the tips and the menu."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QTextCharFormat, QTextOption
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app import theme
from app.widgets.ink import current_ink
from app.widgets.token_scales import SCALES, choice
from app.widgets.token_strip import TokenStrip
from app.widgets.token_words import describe, tip
from engine import TokenRecord
from fakes import a_record

RECORDS = [a_record(3, " a", 0.9), a_record(4, "<b>", 0.25), a_record(5, "\n", 0.5), a_record(6, " d", 0.5)]


@pytest.fixture
def strip(themed: QApplication, qtbot: QtBot) -> Iterator[TokenStrip]:
    strip = TokenStrip(current_ink(15))
    qtbot.addWidget(strip)
    strip.set(RECORDS, "Before")
    strip.resize(500, 200)
    strip.show()
    yield strip
    choice.choose("Probability")


def formats(strip: TokenStrip) -> list[QTextCharFormat]:
    """The format of each token's first character."""
    result = []
    for start in strip.text._starts:
        cursor = strip.text.textCursor()
        cursor.setPosition(start + 1)
        result.append(cursor.charFormat())
    return result


def test_a_readout_without_room_ends_in_an_ellipsis_and_is_whole_in_its_tip(strip: TokenStrip, qtbot: QtBot) -> None:
    strip.resize(180, 200)
    strip.show_focus(1)
    qtbot.waitUntil(lambda: strip._readout.width() < 180)
    assert strip._readout.toolTip() == strip._readout.text()
    strip.resize(800, 200)
    qtbot.waitUntil(lambda: strip._readout.toolTip() == "")


def test_the_colours_follow_the_number_chosen_here_or_elsewhere(strip: TokenStrip, qtbot: QtBot) -> None:
    other = TokenStrip(current_ink(15))
    qtbot.addWidget(other)
    for name, scale in SCALES.items():
        other.scales.textActivated.emit(name)
        assert strip.scales.currentText() == name
        grounds = [form.background().color() for form in formats(strip)]
        assert grounds == [scale.color(record) for record in RECORDS]


@pytest.mark.parametrize(
    ("name", "best", "worst"),
    [
        ("Probability", {"logprob": 0.0}, {"logprob": -50.0}),
        ("Surprise", {"logprob": 0.0}, {"logprob": -50.0}),
        ("Entropy", {"entropy": 0.0}, {"entropy": 11.0}),
        ("Rank", {"rank": 0}, {"rank": 50_000}),
    ],
)
def test_every_scale_ends_at_the_ends_of_the_ramp(name: str, best: dict[str, float], worst: dict[str, float]) -> None:
    def color(changes: dict[str, float]) -> object:
        record: TokenRecord = dataclasses.replace(RECORDS[0], **changes)  # type: ignore[arg-type]
        return SCALES[name].color(record)

    assert color(best) == theme.probability_color(1.0)
    assert color(worst) == theme.probability_color(0.0)


def test_blanks_and_line_ends_are_drawn(strip: TokenStrip) -> None:
    flags = strip.text.document().defaultTextOption().flags()
    assert flags & QTextOption.Flag.ShowTabsAndSpaces
    assert strip.text.toPlainText() == "Before a<b>↵\n d"


def test_marks_underline_what_would_differ_and_what_is_uncertain(strip: TokenStrip) -> None:
    strip.show_marks((True, False, True, False), (False, False, True, False), "2 of 4 tokens would differ.")
    styles = [selection.format.underlineStyle() for selection in strip.text.extraSelections()]
    assert styles == [QTextCharFormat.UnderlineStyle.WaveUnderline, QTextCharFormat.UnderlineStyle.DotLine]
    assert strip._keys.isVisible() and strip._keys.text().startswith("2 of 4 tokens would differ. A wave")
    strip.show_focus(1)
    assert len(strip.text.extraSelections()) == 3
    strip.show_marks((), ())
    assert len(strip.text.extraSelections()) == 1 and not strip._keys.isVisible()


def test_the_readout_and_the_tip_say_the_numbers_and_no_token_is_taken_for_markup(strip: TokenStrip) -> None:
    assert describe(RECORDS[1]) == "<b>   25.00 % · rank 1 · surprise 2.00 bits · entropy 1.00 nats"
    assert "&lt;b&gt;" in tip(RECORDS[1]) and "37.50 %" in tip(RECORDS[1]) and "cut" in tip(RECORDS[1])


def test_another_candidate_is_taken_from_the_menu_where_that_is_possible(strip: TokenStrip, qtbot: QtBot) -> None:
    assert strip.text.offer(1, QPoint(10, 10)) is None
    strip.set_branching(True)
    menu = strip.text.offer(1, QPoint(10, 10))
    assert menu is not None
    offered = [action for action in menu.actions() if action.isEnabled() and not action.isSeparator()]
    assert [action.text() for action in offered] == ["␣lake\t37.50 %", "␣sea\t37.50 %"]
    with qtbot.waitSignal(strip.replaced) as taken:
        offered[1].trigger()
    assert taken.args == [1, 8]
    menu.close()


def test_the_arrow_keys_go_from_token_to_token_and_enter_opens_the_menu(strip: TokenStrip, qtbot: QtBot) -> None:
    strip.focused.connect(strip.show_focus)
    strip.set_branching(True)
    seen: list[int] = []
    strip.focused.connect(seen.append)
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Left, Qt.Key.Key_End):
        qtbot.keyClick(strip.text, key)
    assert seen == [0, 1, 0, 3]
    qtbot.keyClick(strip.text, Qt.Key.Key_Return)
    menu = QApplication.activePopupWidget()
    assert menu is not None and menu.parent() is strip.text
    menu.close()


def test_the_tokens_are_a_table_too_which_grows_with_them(strip: TokenStrip, qtbot: QtBot) -> None:
    strip.as_table.click()
    assert strip.table is not None and strip.table.isVisible() and not strip.text.isVisible()
    head, *rows = (line.split("\t") for line in strip.table.as_text().splitlines())
    assert head == ["token", "probability", "rank", "surprise, bits", "entropy, nats", "position", "id"]
    assert rows[1] == ["<b>", "0.250000", "1", "2.00", "1.00", "4", "104"]
    assert [row[0] for row in rows] == ["␣a", "<b>", "↵", "␣d"]
    strip.table.setCurrentIndex(strip.table.model().index(2, 0))
    strip.append([a_record(7, " e", 0.5)])
    assert strip.table.model().rowCount() == 5 and strip.table.currentIndex().row() == 2
    strip.as_table.click()
    assert strip.text.isVisible() and not strip.table.isVisible()
