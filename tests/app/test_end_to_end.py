"""The real window over the real engine and a real model: written, watched, stopped, closed and opened again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.session import Session
from app.settings import Settings
from app.state import State, make_state
from app.window import Window
from engine import Engine

LONG = 60_000  # milliseconds: torch is imported once, by a busy machine


@contextmanager
def opened(home: Path, model: Path, qtbot: QtBot) -> Iterator[tuple[Window, State]]:
    """Vitrine as `main` puts it together, closed in order."""
    bridge = Bridge(Engine)
    state = make_state(bridge, Settings(home))
    window = Window(state)
    session = Session(bridge, state, str(model))
    window.painted.connect(session.start)
    window.resize(1280, 800)
    window.show()
    try:
        qtbot.waitUntil(lambda: state.workspace.info is not None and state.workspace.loading is None, timeout=LONG)
        yield window, state
    finally:
        window.close()
        session.end()
        window.deleteLater()


@pytest.mark.slow
def test_a_text_is_continued_steered_stopped_inspected_and_found_again(
    home: Path, assets: Path, themed: QApplication, qtbot: QtBot
) -> None:
    model = assets / "models" / "babyllama-361"
    with opened(home, model, qtbot) as (window, state):
        talk, editor = state.conversation, window.chat.text.editor
        assert talk.chat.mode == "complete"
        state.presets.set_sampling(state.presets.sampling.replace(max_new_tokens=200, seed=1, temperature=0.0))
        editor.clear()
        qtbot.keyClicks(editor, "Once upon a time")
        qtbot.keyClick(editor, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
        key = talk.writing
        qtbot.waitUntil(lambda: len(state.captures.records(key)) > 5, timeout=LONG)
        state.presets.set_sampling(state.presets.sampling.replace(temperature=1.2))
        window.actions_by_name["stop"].trigger()
        qtbot.waitUntil(lambda: talk.answering is None, timeout=LONG)
        stopped = talk.message(key)
        assert stopped.status in ("stopped", "length")
        assert stopped.text == "Once upon a time" + "".join(r.text for r in state.captures.records(key))
        assert editor.toPlainText() == stopped.text

        state.presets.set_sampling(state.presets.sampling.replace(max_new_tokens=12, temperature=0.0))
        window.actions_by_name["retry"].trigger()
        qtbot.waitUntil(lambda: talk.answering is None and talk.path[-1].id != key, timeout=LONG)
        again = talk.path[-1]
        assert talk.versions(again.id) == (2, 2)
        assert len(state.captures.records(again.id)) == 12

        window.actions_by_name["tokens"].trigger()
        assert window.chat.text.strip is not None
        window.chat.text.strip.focused.emit(4)
        assert state.captures.focused == (again.id, 4)

        window._show_dock("attention")
        position = state.captures.records(again.id)[4].position
        qtbot.waitUntil(lambda: state.captures.row("layers.0.self", 0, position - 1) is not None, timeout=LONG)
        row = state.captures.row("layers.0.self", 0, position - 1)
        assert row is not None and abs(float(row.sum()) - 1.0) < 1e-2

    with opened(home, model, qtbot) as (window, state):
        qtbot.waitUntil(lambda: bool(state.conversation.path), timeout=LONG)
        assert state.conversation.text == again.text
        assert state.conversation.versions(again.id) == (2, 2)
        assert window.chats.list.currentItem().text() == "Once upon a time"
        qtbot.waitUntil(lambda: len(state.captures.records(again.id)) == 12, timeout=LONG)


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
