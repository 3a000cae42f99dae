"""What is typed in the Sampling pane shapes the next answer of a real model, through the real engine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.panes.sampling import Pane
from app.state import State
from engine import SamplingParams
from live import LONG, showing

BEGIN = "Once upon a time"


@pytest.fixture
def opened(home: Path, assets: Path, themed: QApplication, qtbot: QtBot) -> Iterator[tuple[Pane, State]]:
    with showing(Pane, home, qtbot, assets / "models" / "stories260K", size=(340, 900)) as (pane, state):
        for name in ("Words", "Structured answer"):
            pane.form.sections[name].heading.click()  # type: ignore[union-attr]
        state.presets.set_sampling(SamplingParams.neutral(temperature=0.0, max_new_tokens=40))
        yield pane, state


def answer(state: State, qtbot: QtBot) -> str:
    """What the model writes after the beginning."""
    state.conversation.new_chat()
    assert state.conversation.chat.mode == "complete"
    assert state.conversation.send(BEGIN)
    qtbot.waitUntil(lambda: state.conversation.answering is None, timeout=LONG)
    assert state.conversation.path[-1].status != "failed"
    return state.conversation.path[-1].text.removeprefix(BEGIN)


def test_a_regular_expression_typed_in_the_pane_shapes_the_next_answer(
    opened: tuple[Pane, State], qtbot: QtBot
) -> None:
    pane, state = opened
    pane.structure.chooser.setCurrentText("Regular expression")
    pane.structure.chooser.activated.emit(pane.structure.chooser.currentIndex())
    qtbot.keyClicks(pane.structure.editor, r"[0-9]{4}-[0-9]{2")
    qtbot.waitUntil(lambda: pane.structure.problem.startswith("The regular expression cannot be used"), timeout=LONG)
    qtbot.keyClicks(pane.structure.editor, "}!")
    qtbot.waitUntil(lambda: pane.structure.problem == "", timeout=LONG)
    for text, told in (
        ("2024", "It fits so far, and has to go on."),
        ("2024-1x", "The first 6 of 7 characters fit; “x” cannot follow."),
        ("2024-10!", "It fits, and is complete."),
    ):
        pane.structure.tester.field.setPlainText(text)
        qtbot.waitUntil(lambda told=told: pane.structure.tester.told == told, timeout=LONG)
    assert re.fullmatch(r"[0-9]{4}-[0-9]{2}!", answer(state, qtbot))
    pane.neutral.click()
    assert not re.fullmatch(r"[0-9]{4}-[0-9]{2}!", answer(state, qtbot))


def test_every_example_is_a_form_that_the_engine_takes(opened: tuple[Pane, State], qtbot: QtBot) -> None:
    pane, _ = opened
    fitting = {
        "A name and a number": '{"name": "Ann", "age": 7}', "A list of texts": '["a", "b"]', "A date": "2026-02-28",
        "Yes or no": "Yes", "A greeting": "Good morning, Ann!", "A sum": "12 + 3 * 4 = 24",
    }  # fmt: skip
    for action in pane.structure.examples.menu().actions():
        action.trigger()
        pane.structure.tester.field.setPlainText(fitting[action.text().split(" · ")[0]])
        qtbot.waitUntil(lambda: pane.structure.tester.told == "It fits, and is complete.", timeout=LONG)
        assert pane.structure.problem == ""


def test_a_banned_word_and_a_banned_phrase_do_not_appear(opened: tuple[Pane, State], qtbot: QtBot) -> None:
    pane, state = opened
    before = answer(state, qtbot)
    words = before.split()
    word = next(word for word in words[3:] if word.isalpha() and len(word) > 3)
    pane.lists["banned_words"].entry.setText(word)
    qtbot.keyClick(pane.lists["banned_words"].entry, Qt.Key.Key_Return)
    after = answer(state, qtbot)
    assert word in before and word not in after.split()
    pane.neutral.click()
    phrase = " ".join(words[2:4])
    pane.lists["banned_phrases"].entry.setText(phrase)
    qtbot.keyClick(pane.lists["banned_phrases"].entry, Qt.Key.Key_Return)
    assert phrase in before and phrase not in answer(state, qtbot)


def test_the_tokens_of_a_biased_text_are_told_and_one_of_them_can_be_named(
    opened: tuple[Pane, State], qtbot: QtBot
) -> None:
    pane, state = opened
    assert "!" not in answer(state, qtbot)[:3]
    pane.biases.entry.setText("!")
    pane.biases.number.setText("100")
    qtbot.keyClick(pane.biases.number, Qt.Key.Key_Return)
    assert state.presets.sampling.logit_bias == (("!", 100.0),)
    qtbot.waitUntil(lambda: pane.biases.lines[0].told.startswith("2 tokens: ␣ #"), timeout=LONG)
    (sign,) = re.findall(r"! (#\d+)", pane.biases.lines[0].told)
    pane.biases.lines[0].remove.click()
    pane.biases.entry.setText(sign)
    qtbot.keyClick(pane.biases.entry, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: pane.biases.lines[0].told == f"One token: ! {sign}", timeout=LONG)
    assert answer(state, qtbot) == "!" * 40
