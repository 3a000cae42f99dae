"""Whatever takes the keyboard has a name, a role and a place in the Tab order: every pane and dialog is walked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import QAbstractScrollArea, QApplication, QWidget
from pytestqt.qtbot import QtBot

from app.actions import ShortcutSheet
from app.state import State
from app.window import DOCKS, Window
from engine import Done, Generate, Loaded, Tokens
from fakes import FakeEngine, a_model, a_record

VAGUE_ROLES = {QAccessible.Role.NoRole, QAccessible.Role.Client}
"""What Qt gives to a widget of one's own: then a description must say what it is and which keys it takes."""


def focusable(root: QWidget) -> Iterator[QWidget]:
    """What Tab can reach under a widget, Qt's own inner parts left out."""
    for widget in [root, *root.findChildren(QWidget)]:
        if not widget.focusPolicy() & Qt.FocusPolicy.TabFocus or widget.objectName().startswith("qt_"):
            continue
        if isinstance(widget.parent(), QAbstractScrollArea) and widget.parent().viewport() is widget:
            continue
        if widget.isVisibleTo(root) and widget.isEnabledTo(root):
            yield widget


def complaints(root: QWidget) -> list[str]:
    found = []
    for widget in focusable(root):
        face = QAccessible.queryAccessibleInterface(widget)
        words = f"{type(widget).__name__} {widget.objectName()}"
        if face is None or not face.text(QAccessible.Text.Name).strip():
            found.append(f"{words} has no name")
        elif face.role() in VAGUE_ROLES and not face.text(QAccessible.Text.Description).strip():
            found.append(f"{words} has neither a role nor a description")
    return found


def tab_order(start: QWidget) -> list[QWidget]:
    order, widget = [start], start.nextInFocusChain()
    while widget is not start and widget is not None:
        order.append(widget)
        widget = widget.nextInFocusChain()
    return order


@pytest.fixture
def window(state: State, fake: FakeEngine, qtbot: QtBot) -> Window:
    """A window with a model, a chat of two messages, and every dock built."""
    window = Window(state)
    qtbot.addWidget(window)
    window.resize(1280, 800)
    with qtbot.waitSignal(window.painted):
        window.show()
    run = state.workspace.load("x")
    fake.play(run.id, [Loaded(0, a_model()), Done(0)])
    qtbot.waitUntil(lambda: state.workspace.info is not None)
    state.conversation.send("Hi")
    run, _ = fake.last(Generate)
    fake.play(run.id, [Tokens(0, "Hello", (a_record(3, "Hello"),)), Done(0, "eos")])
    qtbot.waitUntil(lambda: state.conversation.answering is None)
    return window


@pytest.mark.parametrize("name", [name for name, _, _ in DOCKS])
def test_every_control_of_a_dock_has_a_name_and_a_role(window: Window, name: str) -> None:
    window.docks[name].bring()
    assert complaints(window.docks[name]) == []


def test_every_control_of_the_frame_and_the_chat_has_a_name_and_a_role(window: Window, state: State) -> None:
    for part in (window.chat, window.chats, window._status):
        assert complaints(part) == []
    state.conversation.set_mode("complete")
    assert complaints(window.chat) == []
    state.conversation.set_mode("chat")
    window.chat.header._system_button.setChecked(True)
    window.chat.notice.fail("It broke.", "Mend it.", "details")
    window.chat.notice._fold.click()
    answer = window.chat.transcript.view(state.conversation.path[-1].id)
    question = window.chat.transcript.view(state.conversation.path[0].id)
    assert answer is not None and question is not None
    window.chat.ask("tokens", answer.message.id)
    question.start_edit()
    assert complaints(window.chat) == []


@pytest.mark.parametrize("kind", ["encoder", "encoder-decoder"])
def test_every_control_of_the_playground_has_a_name_and_a_role(
    window: Window, state: State, fake: FakeEngine, qtbot: QtBot, kind: str
) -> None:
    run = state.workspace.load("y")
    fake.play(run.id, [Loaded(0, a_model(kind=kind)), Done(0)])
    qtbot.waitUntil(lambda: state.workspace.info is not None and state.workspace.info.kind == kind)
    window.docks["playground"].bring()
    for page in range(4):
        window.docks["playground"].build().tabs.setCurrentIndex(page)  # type: ignore[attr-defined]
        assert complaints(window.docks["playground"]) == []


def test_the_shortcut_sheet_names_every_key(window: Window, qtbot: QtBot) -> None:
    sheet = ShortcutSheet(window)
    qtbot.addWidget(sheet)
    sheet.show()
    assert complaints(sheet) == []


def test_actions_of_a_message_appear_when_it_has_the_focus_and_come_next_in_tab_order(
    window: Window, state: State, qtbot: QtBot
) -> None:
    view = window.chat.transcript.view(state.conversation.path[-1].id)
    assert view is not None
    window.activateWindow()
    view.text.setFocus()
    qtbot.waitUntil(lambda: view._actions is not None and view._actions.isVisible())
    buttons = [w for w in focusable(view) if w is not view.text]
    assert [b.accessibleName() for b in buttons] == [
        "Copy", "Edit", "Retry", "Answer several times and keep all", "Continue", "Tokens", "Delete", "More",
    ]  # fmt: skip
    order = tab_order(view.text)
    assert [w for w in order if w in buttons] == buttons


def test_tab_reaches_every_control_and_leaves_every_text(window: Window, qtbot: QtBot) -> None:
    window.activateWindow()
    reachable = set(tab_order(window.chat.composer.editor))
    for part in (window.chat, window.chats):
        assert [w.objectName() for w in focusable(part) if w not in reachable] == []
    window.chat.composer.editor.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is window.chat.composer.editor)
    qtbot.keyClick(window.chat.composer.editor, Qt.Key.Key_Tab)
    assert QApplication.focusWidget() is not window.chat.composer.editor
