"""Candidates of a token: which are shown, what is said of them, and what is copied."""

from __future__ import annotations

import csv
import dataclasses
import io

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.widgets.candidate_list import ROW
from app.widgets.pieces import percent, piece_of, visible
from app.widgets.token_bars import HEAD, TokenBars, as_text, cut_words, rank_of, rows, shown_candidates, summary
from fakes import a_record


def test_blanks_are_visible_and_long_pieces_are_cut_in_the_middle() -> None:
    assert visible(" a\n\tb") == "␣a↵⇥b"
    assert visible("") == "◌"
    assert visible("x" * 40, 9) == "xxxx…xxxx"


@pytest.mark.parametrize(
    ("value", "words"), [(0.3456, "34.56 %"), (0.0, "0.00 %"), (0.00001, "<0.01 %"), (1.0, "100 %")]
)
def test_a_tiny_probability_is_not_called_zero(value: float, words: str) -> None:
    assert percent(value) == words


def test_a_token_without_text_is_shown_by_its_name() -> None:
    record = a_record(3, "<|end|>")
    assert piece_of(record) == "<|end|>"


def test_the_drawn_token_is_always_among_those_shown() -> None:
    record = a_record(3, " river", 0.001, tuple(" abcdefgh"))
    order = np.argsort(-record.logits)
    fields = {name: getattr(record, name)[order] for name in ("candidate_ids", "logits", "after", "cut")}
    pieces = tuple(record.pieces[i] for i in order)
    sorted_record = dataclasses.replace(record, pieces=pieces, **fields)
    shown = shown_candidates(sorted_record, 3)
    assert shown[:2] == [0, 1] and shown[2] == sorted_record.chosen == len(pieces) - 1


def test_a_cut_candidate_names_its_step_and_the_others_none() -> None:
    record = a_record(3, " river")
    assert [cut_words(record, i) for i in range(3)] == ["", "", "top-p"]


def test_the_numbers_copied_are_the_records_own() -> None:
    record = a_record(3, ' ri"ver', 0.5)
    table = list(csv.reader(io.StringIO(as_text(record, 20, ","))))
    assert tuple(table[0]) == HEAD
    assert table[1][0] == ' ri"ver' and table[1][-1] == "yes"
    assert [line[2] for line in table[1:]] == ["1", "2", "3"]
    assert [float(line[3]) for line in table[1:]] == pytest.approx(record.logits - record.lse, abs=1e-4)
    assert [float(line[4]) for line in table[1:]] == pytest.approx(record.before, abs=1e-6)
    assert [float(line[5]) for line in table[1:]] == pytest.approx(record.after, abs=1e-6)
    assert len(rows(record, 2)) == 2


def test_the_summary_says_before_after_rank_entropy_and_surprise() -> None:
    values = {name: value for name, value, _ in summary(a_record(3, " river", 0.25))}
    assert values["Before"] == "25.00 %" and values["Rank"] == "1"
    assert values["Entropy"] == "1.00 nats" and values["Surprise"] == "2.00 bits"


def test_the_logarithm_of_a_certain_token_has_no_sign() -> None:
    certain = dataclasses.replace(a_record(3, " river", 0.99), logprob=-0.0004)
    assert dict((name, value) for name, value, _ in summary(certain))["Log-probability"] == "0.00 nats"


def test_keys_read_the_candidates_step_the_tokens_and_copy(qtbot: QtBot, themed: QApplication) -> None:
    bars = TokenBars()
    qtbot.addWidget(bars)
    bars.show_record(a_record(3, " river"), 20)
    bars.show()
    steps: list[int] = []
    bars.stepped.connect(steps.append)
    for key in (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Down):
        qtbot.keyClick(bars, key)
    assert steps == [-1, 1]
    assert (
        bars.accessibleDescription() == "␣river: before 50.00 %, after 66.67 %, rank 1, log-probability -0.69, chosen"
    )
    for _ in range(5):
        qtbot.keyClick(bars, Qt.Key.Key_Down)
    assert bars.accessibleDescription() == "␣sea: before 25.00 %, cut by top-p, rank 3, log-probability -1.39"
    qtbot.keyClick(bars, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text().startswith("\t".join(HEAD))
    assert not bars.grab().isNull()


def test_a_candidate_is_taken_by_click_or_enter_only_where_that_is_possible(qtbot: QtBot, themed: QApplication) -> None:
    bars = TokenBars()
    qtbot.addWidget(bars)
    bars.show_record(a_record(3, " river"), 20)
    bars.resize(bars.sizeHint())
    bars.show()
    taken: list[int] = []
    bars.taken.connect(taken.append)
    second = QPoint(40, bars.top + ROW + 5)
    qtbot.mouseClick(bars, Qt.MouseButton.LeftButton, pos=second)
    assert taken == []
    bars.set_taking(True)
    qtbot.mouseClick(bars, Qt.MouseButton.LeftButton, pos=second)
    qtbot.keyClick(bars, Qt.Key.Key_Down)
    qtbot.keyClick(bars, Qt.Key.Key_Return)
    assert taken == [7, 8]


def test_two_hundred_candidates_are_shown_and_one_of_the_tail_has_its_own_rank() -> None:
    others = tuple(f" {number}" for number in range(199))
    assert len(shown_candidates(a_record(3, " a", 0.5, others), 200)) == 200
    record = dataclasses.replace(a_record(3, " a", 0.5), id=8, rank=700)
    assert [rank_of(record, index) for index in range(3)] == [1, 2, 701]
