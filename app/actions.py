"""What can be done from the keyboard and the menus, as one table: menus, shortcuts and their sheet derive from it.

A row names what is done; the window says who does it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFrame,
    QGridLayout,
    QLabel,
    QMenuBar,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from app.widgets.named import named

Slot = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Row:
    """One action: its name, menu, words and keys (portable text, empty for none)."""

    name: str
    menu: str
    words: str
    keys: str = ""
    checkable: bool = False
    line_before: bool = False


TABLE = (
    Row("new_chat", "Chat", "New chat", "Ctrl+N"),
    Row("search", "Chat", "Search chats", "Ctrl+K"),
    Row("rename", "Chat", "Rename chat", "Ctrl+Shift+R"),
    Row("delete_chat", "Chat", "Delete chat", "Ctrl+Shift+Backspace"),
    Row("mode", "Chat", "Switch between Chat and Complete", "Ctrl+Shift+M", line_before=True),
    Row("open_model", "Chat", "Open a model folder", "Ctrl+O"),
    Row("quit", "Chat", "Quit", "Ctrl+Q", line_before=True),
    Row("stop", "Answer", "Stop", "Esc"),
    Row("retry", "Answer", "Retry", "Ctrl+R"),
    Row("several", "Answer", "Answer several times", "Alt+R"),
    Row("continue", "Answer", "Continue", "Alt+Return"),
    Row("tokens", "Answer", "Show tokens", "Ctrl+T"),
    Row("copy_answer", "Answer", "Copy last answer", "Ctrl+Shift+C", line_before=True),
    Row("copy_code", "Answer", "Copy last code", "Ctrl+Shift+;"),
    Row("focus_composer", "View", "Go to the composer", "Shift+Esc"),
    Row("sidebar", "View", "Chats", "Ctrl+B", checkable=True, line_before=True),
    Row("larger", "View", "Larger text", "Ctrl++", line_before=True),
    Row("smaller", "View", "Smaller text", "Ctrl+-"),
    Row("usual_size", "View", "Usual text size", "Ctrl+0"),
    Row("theme_system", "View", "Theme of the system", checkable=True, line_before=True),
    Row("theme_light", "View", "Light theme", checkable=True),
    Row("theme_dark", "View", "Dark theme", checkable=True),
    Row("reset_layout", "View", "Reset layout", line_before=True),
    Row("shortcuts", "Help", "Keyboard shortcuts", "Ctrl+/"),
)

ELSEWHERE = (  # keys that belong to one widget, or to several
    ("View", "A pane: go there, or from there close it", "Ctrl+1 / … / Ctrl+8"),
    ("Composer", "Send", "Return"),
    ("Composer", "Send, and have it answered several times", "Ctrl+Shift+Return"),
    ("Composer", "New line", "Shift+Return"),
    ("Composer", "Message sent last, when empty", "Up"),
    ("Composer", "Other version of the answer, when empty", "Left / Right"),
    ("Text of Complete", "Continue at its end", "Ctrl+Return"),
    ("Text of Complete", "Continue several times", "Ctrl+Shift+Return"),
    ("Tokens", "Token before, token after", "Left / Right"),
    ("Tokens", "Copy the values", "Ctrl+C"),
    ("Chats", "Rename", "F2"),
    ("Chats", "Delete", "Delete"),
)


def build(parent: QWidget, slots: Mapping[str, Slot]) -> dict[str, QAction]:
    """A QAction for every row, done by the slot of its name."""
    made = {}
    for row in TABLE:
        action = QAction(row.words, parent, checkable=row.checkable)
        action.setObjectName(row.name)
        if row.keys:
            action.setShortcut(QKeySequence.fromString(row.keys))
        action.triggered.connect(lambda _=False, slot=slots[row.name]: slot())
        parent.addAction(action)
        made[row.name] = action
    return made


def fill_menus(bar: QMenuBar, actions: Mapping[str, QAction]) -> None:
    """The menus, in the table's order."""
    menus = {}
    for row in TABLE:
        if row.menu not in menus:
            menus[row.menu] = bar.addMenu(row.menu)
            menus[row.menu].setObjectName(f"menu{row.menu}")
        if row.line_before:
            menus[row.menu].addSeparator()
        menus[row.menu].addAction(actions[row.name])


class ShortcutSheet(QDialog):
    """All keys on one sheet."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keyboard shortcuts")
        self.resize(560, 560)
        sheet = named(QWidget(), "page")
        grid = QGridLayout(sheet)
        grid.setContentsMargins(16, 8, 16, 16)
        grid.setHorizontalSpacing(24)
        grid.setVerticalSpacing(6)
        grid.setColumnStretch(0, 1)
        rows = [(row.menu, row.words, row.keys) for row in TABLE if row.keys] + list(ELSEWHERE)
        groups = list(dict.fromkeys(group for group, *_ in rows))
        rows.sort(key=lambda row: groups.index(row[0]))
        heading = ""
        for group, words, keys in rows:
            if group != heading:
                heading = group
                head = named(QLabel(group), "heading")
                grid.addWidget(head, grid.rowCount(), 0, 1, 2)
            line = grid.rowCount()
            text = keys if "/" in keys and " " in keys else QKeySequence(keys).toString(_NATIVE)
            grid.addWidget(QLabel(words), line, 0)
            grid.addWidget(named(QLabel(text), "keys"), line, 1, Qt.AlignmentFlag.AlignRight)
        grid.setRowStretch(grid.rowCount(), 1)
        scroll = QScrollArea(widgetResizable=True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setAccessibleName("Keyboard shortcuts")
        scroll.setAccessibleDescription("A list of actions and their keys")
        scroll.setWidget(sheet)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 12)
        column.addWidget(scroll, 1)
        column.addWidget(buttons)
        buttons.setContentsMargins(0, 0, 12, 0)
        buttons.button(QDialogButtonBox.StandardButton.Close).setAccessibleName("Close")


_NATIVE = QKeySequence.SequenceFormat.NativeText
