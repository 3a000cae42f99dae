"""Candidates of a token: which are shown, what is said of them, and what is copied."""

from __future__ import annotations

import csv
import dataclasses
import io

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.widgets.pieces import percent, piece_of, visible
from app.widgets.token_bars import HEAD, TokenBars, as_text, cut_words, rows, shown_candidates, summary
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
    assert [float(line[2]) for line in table[1:]] == pytest.approx(record.before, abs=1e-6)
    assert [float(line[3]) for line in table[1:]] == pytest.approx(record.after, abs=1e-6)
    assert len(rows(record, 2)) == 2


def test_the_summary_says_before_after_rank_entropy_and_surprise() -> None:
    values = {name: value for name, value, _ in summary(a_record(3, " river", 0.25))}
    assert values["Before"] == "25.00 %" and values["Rank"] == "1"
    assert values["Entropy"] == "1.00 nats" and values["Surprise"] == "2.00 bits"


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
    assert bars.accessibleDescription() == "␣river: before 50.00 %, after 66.67 %, chosen"
    for _ in range(5):
        qtbot.keyClick(bars, Qt.Key.Key_Down)
    assert bars.accessibleDescription() == "␣sea: before 25.00 %, cut by top-p"
    qtbot.keyClick(bars, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text().startswith("\t".join(HEAD))
    assert not bars.grab().isNull()
