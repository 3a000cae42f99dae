"""The list of chats: new, search, rename, delete with undo. A view of `state.library`."""

from __future__ import annotations

import datetime as dt

from PySide6.QtCore import QPoint, QSize, Qt, QTimer
from PySide6.QtGui import QAction, QKeyEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.state import State
from app.widgets.named import named

NAME = "chats"
TITLE = "Chats"
ICON = "panel-left"
KEY = Qt.ItemDataRole.UserRole
UNTITLED = "New chat"


class Pane(QWidget):
    def __init__(self, state: State) -> None:
        super().__init__()
        self.setObjectName("chatsPane")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._state = state
        self._filling = False
        self._new = named(QPushButton("New chat"), "newChat")
        self._new.setIconSize(QSize(16, 16))
        self._new.setAccessibleName("New chat")
        self._new.setToolTip("New chat (Ctrl+N)")
        self._new.clicked.connect(state.conversation.new_chat)
        self.search = QLineEdit(placeholderText="Search titles", clearButtonEnabled=True)
        self.search.setFixedHeight(32)
        self.search.setAccessibleName("Search chats by title")
        self._lens = self.search.addAction(theme.icon("search"), QLineEdit.ActionPosition.LeadingPosition)
        self._pause = QTimer(self, singleShot=True, interval=150)
        self._pause.timeout.connect(lambda: state.library.search(self.search.text()))
        self.search.textChanged.connect(lambda: self._pause.start())
        self.list = _List(self)
        self.list.setAccessibleName("Chats")
        self.list.currentItemChanged.connect(self._on_current)
        self.list.itemChanged.connect(self._on_renamed)
        self.list.customContextMenuRequested.connect(self._show_menu)
        self._empty = named(QLabel("Chats appear here as soon as you write.", wordWrap=True), "caption")
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 12, 12, 12)
        column.setSpacing(8)
        column.addWidget(self._new)
        column.addWidget(self.search)
        column.addWidget(self._empty)
        column.addWidget(self.list, 1)
        state.library.chats_changed.connect(self._fill)
        state.conversation.chat_changed.connect(self._mark)
        theme.theme_changed.connect(self._show_icons)
        self._show_icons()
        self._fill()

    def rename(self) -> None:
        """Edit the title of the current chat in place."""
        item = self.list.currentItem()
        if item is not None:
            self.list.editItem(item)

    def delete(self) -> None:
        item = self.list.currentItem()
        if item is not None and item.data(KEY):
            self._state.library.delete(item.data(KEY))

    def _fill(self) -> None:
        """The list anew, under the headings of their days."""
        chats = self._state.library.chats
        if self.list.state() == QAbstractItemView.State.EditingState:
            return  # a title is being typed; the next change brings the rest
        self._filling = True
        self.list.clear()
        heading = ""
        for chat in chats:
            day = day_of(chat.updated)
            if day != heading:
                heading = day
                head = QListWidgetItem(day)
                head.setFlags(Qt.ItemFlag.NoItemFlags)
                head.setSizeHint(QSize(0, 28))
                font = self.list.font()
                font.setPixelSize(12)
                head.setFont(font)
                self.list.addItem(head)
            item = QListWidgetItem(chat.title or UNTITLED)
            item.setData(KEY, chat.id)
            item.setToolTip(chat.title)
            item.setSizeHint(QSize(0, 32))
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
            self.list.addItem(item)
        self._filling = False
        searching = bool(self._state.library.query)
        self._empty.setText("No title holds this." if searching else "Chats appear here as soon as you write.")
        self._empty.setVisible(not chats)
        self._mark()

    def _mark(self, *_: object) -> None:
        """The chat shown is the one selected."""
        self._filling = True
        current = self._state.conversation.chat.id
        rows = [row for row in range(self.list.count()) if self.list.item(row).data(KEY) == current]
        if rows:
            self.list.setCurrentRow(rows[0])
        else:
            self.list.setCurrentRow(-1)
        self._filling = False

    def _on_current(self, item: QListWidgetItem | None, _: QListWidgetItem | None) -> None:
        if not self._filling and item is not None and item.data(KEY):
            self._state.conversation.open(item.data(KEY))

    def _on_renamed(self, item: QListWidgetItem) -> None:
        if self._filling:
            return
        self._state.library.rename(item.data(KEY), item.text())
        QTimer.singleShot(0, self, self._fill)  # an empty title shows the old one again

    def _show_menu(self, place: QPoint) -> None:
        item = self.list.itemAt(place)
        if item is None or not item.data(KEY):
            return
        menu = QMenu(self)
        rename = QAction(theme.icon("pencil"), "Rename", menu)
        rename.triggered.connect(lambda: self.list.editItem(item))
        delete = QAction(theme.icon("trash-2"), "Delete", menu)
        delete.triggered.connect(lambda: self._state.library.delete(item.data(KEY)))
        menu.addActions([rename, delete])
        menu.exec(self.list.viewport().mapToGlobal(place))
        menu.deleteLater()

    def _show_icons(self, *_: object) -> None:
        self._new.setIcon(theme.icon("plus"))
        self._lens.setIcon(theme.icon("search", 16, "muted"))


class _List(QListWidget):
    """F2 renames, Delete deletes."""

    def __init__(self, pane: Pane) -> None:
        super().__init__()
        self._pane = pane
        self.setObjectName("chatList")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed | QAbstractItemView.EditTrigger.DoubleClicked)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Delete:
            self._pane.delete()
        else:
            super().keyPressEvent(event)


def day_of(moment: float, today: dt.date | None = None) -> str:
    """The heading a chat stands under."""
    date = dt.datetime.fromtimestamp(moment).date()
    days = ((today or dt.date.today()) - date).days
    if days <= 0:
        return "Today"
    if days == 1:
        return "Yesterday"
    if days < 7:
        return "This week"
    return f"{date:%B %Y}"
