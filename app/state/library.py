"""The chats as a list: the one holder of their rows, so that a rename and a new message never overwrite each other.

It knows titles, order and search, not the messages inside. What it changes is shown at once and stored beside.
"""

from __future__ import annotations

import dataclasses
import time
import uuid
from typing import Any

from PySide6.QtCore import QObject, Signal

from app.state.workspace import Workspace
from engine import Chat, Chats, DeleteChat, Event, Failed, ListChats, SaveChat

TITLE_LENGTH = 60


class Library(QObject):
    """chats_changed: the list. chat_changed: one row (Chat). deleted: a Chat that undo_delete() brings back."""

    chats_changed = Signal()
    chat_changed = Signal(object)
    deleted = Signal(object)

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._rows: dict[str, Chat] = {}
        self._shown: list[str] = []
        self._deleted: Chat | None = None
        self.query = ""

    @property
    def chats(self) -> list[Chat]:
        """Those that match the search, newest first."""
        return [self._rows[key] for key in self._shown if key in self._rows]

    def chat(self, key: str) -> Chat | None:
        return self._rows.get(key)

    def refresh(self) -> None:
        self._workspace.submit(ListChats(self.query), self._on_list)

    def search(self, query: str) -> None:
        self.query = query.strip()
        self.refresh()

    def new(self, mode: str = "chat") -> Chat:
        """A chat that is stored as soon as it holds something."""
        now = time.time()
        return Chat(id=uuid.uuid4().hex, title="", mode=mode, created=now, updated=now)

    def save(self, chat: Chat) -> None:
        """Store a row; a new one joins the list."""
        before = self._rows.get(chat.id)
        self._rows[chat.id] = chat
        self._workspace.submit(SaveChat(chat))
        self.chat_changed.emit(chat)
        if before is not None and (before.title, before.updated) == (chat.title, chat.updated):
            return
        if chat.id not in self._shown and self.query.casefold() in chat.title.casefold():
            self._shown.append(chat.id)
        self._shown.sort(key=lambda key: -self._rows[key].updated)
        self.chats_changed.emit()

    def change(self, chat: Chat, **changes: Any) -> Chat:
        """Store a chat with some fields changed; the row held here wins over the one given."""
        changed = dataclasses.replace(self._rows.get(chat.id, chat), **changes)
        self.save(changed)
        return changed

    def rename(self, key: str, title: str) -> None:
        """An empty title leaves the old one."""
        chat, title = self._rows.get(key), " ".join(title.split())
        if chat is not None and title and title != chat.title:
            self.change(chat, title=title)

    def delete(self, key: str) -> None:
        """Out of sight at once; undo_delete() brings the latest back."""
        chat = self._rows.pop(key, None)
        if chat is None:
            return
        self._deleted = chat
        self._shown = [shown for shown in self._shown if shown != key]
        self._workspace.submit(DeleteChat(key))
        self.chats_changed.emit()
        self.deleted.emit(chat)

    def undo_delete(self) -> Chat | None:
        chat, self._deleted = self._deleted, None
        if chat is not None:
            self._workspace.submit(DeleteChat(chat.id, undo=True))
            self._rows[chat.id] = chat
            self.refresh()
        return chat

    def _on_list(self, event: Event) -> None:
        if isinstance(event, Chats):
            for chat in event.chats:
                self._rows.setdefault(chat.id, chat)  # ours is as new or newer
            self._shown = [chat.id for chat in event.chats]
            self.chats_changed.emit()
        elif isinstance(event, Failed):
            self._workspace.failed.emit(event.message, event.hint, event.details)


def title_of(text: str) -> str:
    """The first line that says something, cut at a word."""
    line = next((" ".join(line.split()) for line in text.splitlines() if line.strip()), "")
    if len(line) <= TITLE_LENGTH:
        return line
    return line[:TITLE_LENGTH].rsplit(" ", 1)[0] + "…"
