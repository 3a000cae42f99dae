"""Models dropped by mouse anywhere on the real window, over the real engine, as a file manager hands them over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from checkpoints import loaded
from lora import write_adapter
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt
from PySide6.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QPlainTextEdit, QWidget
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.settings import Settings
from app.state import State, make_state
from app.window import Window
from engine import Engine

LONG = 60_000  # milliseconds: torch is imported once, by a busy machine
COPY, LEFT, NONE = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


@pytest.fixture
def opened(themed: QApplication, home: Path, qtbot: QtBot) -> Iterator[tuple[Window, State]]:
    bridge = Bridge(Engine)
    state = make_state(bridge, Settings(home))
    window = Window(state)
    window.resize(1280, 800)
    window.show()
    bridge.start()
    yield window, state
    window.close()
    bridge.stop()
    window.deleteLater()


def uri_list(*paths: Path) -> QMimeData:
    data = QMimeData()
    lines = "\r\n".join(path.resolve().as_uri() for path in paths) + "\r\n"
    data.setData("text/uri-list", lines.encode())
    data.setText(lines)
    return data


def drop(target: QWidget, data: QMimeData) -> bool:
    """Drag over the middle of a widget and let go; whether anything took it."""
    place = target.rect().center()
    enter = QDragEnterEvent(QPoint(place), COPY, data, LEFT, NONE)
    enter.ignore()
    QApplication.sendEvent(target, enter)
    if not enter.isAccepted():
        return False
    QApplication.sendEvent(target, QDragMoveEvent(QPoint(place), COPY, data, LEFT, NONE))
    let_go = QDropEvent(QPointF(place), COPY, data, LEFT, NONE)
    QApplication.sendEvent(target, let_go)
    return let_go.isAccepted()


def test_a_gguf_file_and_a_folder_load_wherever_they_are_dropped(
    opened: tuple[Window, State], references: Path, qtbot: QtBot
) -> None:
    window, state = opened
    stories = references / "models" / "stories260K"
    editor = next(edit for edit in window.chat.findChildren(QPlainTextEdit) if edit.isVisible())
    written = editor.toPlainText()
    loads: list[str] = []
    state.workspace.model_changed.connect(lambda info: loads.append(info.path))
    assert drop(editor.viewport(), uri_list(stories / "gguf" / "stories260K-f16.gguf"))
    qtbot.waitUntil(lambda: len(loads) == 1, timeout=LONG)
    assert loads[0].endswith("stories260K-f16.gguf") and editor.toPlainText() == written
    assert window.docks["models"].isVisible()
    # Several at once: the first is loaded, all are listed; a file of a folder stands for it.
    assert drop(window.chats, uri_list(stories / "hf" / "model.safetensors", stories / "gguf" / "stories260K-f32.gguf"))
    qtbot.waitUntil(lambda: len(loads) == 2, timeout=LONG)
    assert Path(loads[1]).name == "hf"
    assert [Path(folder).name for folder in state.models.folders] == [
        "stories260K-f16.gguf", "hf", "stories260K-f32.gguf",
    ]  # fmt: skip


def test_an_adapters_folder_is_on_where_it_was_dropped_and_its_card_is_shown(
    opened: tuple[Window, State], assets: Path, tmp_path: Path, qtbot: QtBot
) -> None:
    window, state = opened
    companion = assets / "models" / "companion"
    folder = write_adapter(tmp_path / "tall-tales", loaded(companion).model, "q_proj", lora_alpha=1.0)
    state.workspace.load(str(companion))
    qtbot.waitUntil(lambda: state.workspace.info is not None, timeout=LONG)
    assert drop(window.chats, uri_list(folder))
    qtbot.waitUntil(lambda: state.adapters.weight(str(folder)) == 1.0, timeout=LONG)
    assert state.models.folders == [str(folder)]
    pane = window.docks["models"].build()
    qtbot.waitUntil(lambda: bool(pane.list.adapters))
    (card,) = pane.list.adapters
    qtbot.waitUntil(lambda: not card.visibleRegion().isEmpty() and card.button.text() == "Switch off")


def test_a_wrong_file_gives_one_sentence_and_dragged_words_load_nothing(
    opened: tuple[Window, State], tmp_path: Path, qtbot: QtBot
) -> None:
    window, state = opened
    notes = tmp_path / "notes.txt"
    notes.write_text("no model", "utf-8")
    said: list[str] = []
    state.models.failed.connect(lambda message, hint: said.append(message))
    with qtbot.waitSignal(state.models.failed, timeout=LONG):
        assert drop(window.chat, uri_list(notes, tmp_path / "other.txt"))
    assert said == ["notes.txt is a file, not a model folder."]
    pane = window.docks["models"].build()
    qtbot.waitUntil(lambda: pane.notice.isVisible() and "notes.txt is a file" in pane.notice.text)
    assert state.workspace.info is None and state.workspace.loading is None
    words = QMimeData()
    words.setText("a word")
    assert not drop(window.chats, words)
