"""The real window over the real engine and a real model, used as a person would; nothing here is a fake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.session import Session
from app.settings import Settings
from app.state import State, make_state
from app.state.attention import DECODER
from app.widgets.slider import HANDLE
from app.window import Window
from engine import Engine, SamplingParams

LOADING = 60_000
ANSWER = 30_000


@contextmanager
def opened(home: Path, model: Path, qtbot: QtBot) -> Iterator[tuple[Window, State]]:
    """A start of the program up to the loaded model, and its end, in the order of app.__main__."""
    settings = Settings(home)
    bridge = Bridge(Engine)
    state = make_state(bridge, settings)
    window = Window(state)
    session = Session(bridge, state, str(model))
    window.painted.connect(session.start)
    window.show()
    qtbot.waitUntil(lambda: state.workspace.info is not None, timeout=LOADING)
    try:
        yield window, state
    finally:
        window.close()
        session.end()
        window.deleteLater()
        qtbot.waitUntil(lambda: QApplication.instance() is not None)


def drag(qtbot: QtBot, window: Window, knob: str, share: float) -> None:
    """Press a knob's slider at its handle and let go at a share of its width."""
    slider = window.docks["sampling"].build().form.rows[knob].slider
    middle = slider.height() // 2
    start = QPoint(round(slider._x(slider.value())), middle)
    end = QPoint(round(HANDLE / 2 + share * (slider.width() - HANDLE)), middle)
    qtbot.mousePress(slider, Qt.MouseButton.LeftButton, pos=start)
    qtbot.mouseMove(slider, end)
    qtbot.mouseRelease(slider, Qt.MouseButton.LeftButton, pos=end)


def test_a_person_writes_steers_stops_retries_and_looks_inside_and_finds_it_all_again(
    themed: QApplication, home: Path, assets: Path, qtbot: QtBot
) -> None:
    model = assets / "models" / "babyllama-361"
    with opened(home, model, qtbot) as (window, state):
        talk, captures = state.conversation, state.captures
        assert talk.chat.mode == "complete", "a base model continues a text"
        state.presets.set_sampling(SamplingParams(temperature=1.5, top_k=0, top_p=1.0, min_p=0.0, seed=4))
        window.docks["sampling"].raise_()
        window.docks["attention"].raise_()
        editor = window.chat.text.editor

        # Type, and send with the keyboard; the slider is dragged to the left as soon as the first words stand there.
        qtbot.waitUntil(lambda: editor.toPlainText() == "Once upon a time", timeout=ANSWER)  # the offered beginning
        editor.selectAll()
        qtbot.keyClicks(editor, "Once upon a time")
        dragged: list[bool] = []

        def on_first_words(*_: object) -> None:
            if not dragged:
                dragged.append(True)
                drag(qtbot, window, "temperature", 0.0)

        talk.text_added.connect(on_first_words)
        qtbot.keyClick(editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
        qtbot.waitUntil(lambda: talk.answering is not None, timeout=ANSWER)
        qtbot.waitUntil(lambda: talk.answering is None, timeout=ANSWER)
        talk.text_added.disconnect(on_first_words)
        first = talk.path[-1]
        assert first.text.startswith("Once upon a time") and len(first.text) > 60
        assert editor.toPlainText() == first.text
        assert state.presets.sampling.temperature == 0.0
        records = captures.records(first.id)
        assert "".join(record.text for record in records) == first.text[len("Once upon a time") :]
        survivors = [int((record.after > 0).sum()) for record in records]
        assert max(survivors) > 1, "before the drag several tokens could be drawn"
        assert survivors[-30:] == [1] * 30, "after it only the best one"

        # Retry, and stop it in the middle: both versions are there, the text so far is kept.
        stopped: list[int] = []
        talk.text_added.connect(lambda *_: stopped.append(1) or qtbot.keyClick(window, Qt.Key.Key_Escape))
        window.chat.text._buttons["retry"].click()
        qtbot.waitUntil(lambda: bool(stopped), timeout=ANSWER)
        qtbot.waitUntil(lambda: talk.answering is None, timeout=ANSWER)
        second = talk.path[-1]
        assert second.id != first.id and talk.versions(second.id) == (2, 2)
        assert second.status == "stopped"
        assert len("Once upon a time") < len(second.text) < len(first.text)

        # Back to the first version; choose one of its tokens by mouse: the panes show that one.
        window.chat.text._buttons["previous"].click()
        qtbot.waitUntil(lambda: talk.path[-1].id == first.id)
        window.chat.text._buttons["tokens"].click()
        strip = window.chat.text.strip
        assert strip is not None
        qtbot.waitUntil(lambda: strip.count == len(records))
        cursor = strip.text.textCursor()
        cursor.setPosition(strip.text._starts[20])
        where = strip.text.cursorRect(cursor).center() + QPoint(2, 0)
        qtbot.mouseClick(strip.text.viewport(), Qt.MouseButton.LeftButton, pos=where)
        assert captures.focused is not None and captures.focused[0] == first.id
        chosen = captures.focused[1]
        assert abs(chosen - 20) <= 1 and not captures.following

        # Open the attention of a head: the row of the chosen token is there and is a distribution.
        window.docks["attention"].raise_()
        window.docks["attention"].build()
        position = captures.records(first.id)[chosen].position
        captures.reread()
        qtbot.waitUntil(lambda: captures.row(DECODER, 4, 7, position) is not None, timeout=ANSWER)
        row = captures.row(DECODER, 4, 7, position)
        assert row is not None and row.shape == (position + 1,)
        assert abs(float(np.sum(row)) - 1) < 5e-3
        chat = talk.chat.id

    with opened(home, model, qtbot) as (window, state):
        talk = state.conversation
        qtbot.waitUntil(lambda: talk.chat.id == chat and bool(talk.path), timeout=ANSWER)
        assert talk.path[-1].text == first.text
        assert window.chat.text.text == first.text
        texts = {message.text for message in talk.tree.siblings(talk.path[-1].id)}
        assert texts == {first.text, second.text}
        qtbot.waitUntil(lambda: len(state.captures.records(first.id)) == len(records), timeout=ANSWER)
        again = state.captures.records(first.id)
        assert [record.id for record in again] == [record.id for record in records]
        np.testing.assert_array_equal(again[5].after, records[5].after)
        assert state.presets.sampling.temperature == 0.0


def test_the_first_start_loads_the_bundled_model_and_a_prompt_waits_to_be_sent(
    themed: QApplication, home: Path, assets: Path, qtbot: QtBot
) -> None:
    with opened(home, assets / "models" / "companion", qtbot) as (window, state):
        talk = state.conversation
        assert talk.chat.mode == "chat"
        qtbot.waitUntil(lambda: window.chat.composer.text == "Hi, how are you?")
        state.presets.set_sampling(SamplingParams(temperature=0.0))
        qtbot.keyClick(window.chat.composer.editor, Qt.Key.Key_Return)
        qtbot.waitUntil(lambda: len(talk.path) == 2 and talk.answering is None, timeout=ANSWER)
        assert [message.role for message in talk.path] == ["user", "assistant"]
        assert talk.path[-1].text == "I'm doing well, thanks. How about you?"
        assert window.chat.composer.text == ""
        assert state.library.chats[0].title == "Hi, how are you?"


@pytest.mark.parametrize("folder", ["nothing-here", "broken"])
def test_a_bad_model_is_one_sentence_in_the_window_and_the_model_before_stays_usable(
    themed: QApplication, home: Path, assets: Path, tmp_path: Path, qtbot: QtBot, folder: str
) -> None:
    bad = tmp_path / folder
    bad.mkdir()
    if folder == "broken":
        (bad / "config.json").write_text("{")
        (bad / "tokenizer.json").write_text((assets / "models/stories260K/tokenizer.json").read_text())
    with opened(home, assets / "models" / "stories260K", qtbot) as (window, state):
        with qtbot.waitSignal(state.workspace.load_failed, timeout=ANSWER) as failed:
            state.workspace.load(str(bad))
        message, hint, details = failed.args
        assert message and hint and not details
        assert state.workspace.info is not None and state.workspace.info.name
        qtbot.waitUntil(lambda: bool(window.chat.text.text), timeout=ANSWER)
        window.chat.text.editor.selectAll()
        qtbot.keyClicks(window.chat.text.editor, "One day")
        qtbot.keyClick(window.chat.text.editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
        qtbot.waitUntil(lambda: bool(state.conversation.path), timeout=ANSWER)
        qtbot.waitUntil(lambda: state.conversation.answering is None, timeout=ANSWER)
        assert len(state.conversation.path[-1].text) > len("One day")


def test_a_start_on_a_model_that_is_broken_says_so_and_loads_the_bundled_one(
    themed: QApplication, home: Path, tmp_path: Path, qtbot: QtBot
) -> None:
    said: list[str] = []
    bad = tmp_path / "broken"
    bad.mkdir()
    with opened(home, bad, qtbot) as (window, state):
        said.append(window.chat.notice.text)
        assert state.workspace.info is not None and state.workspace.info.name == "companion"
        assert "broken" in said[0]
