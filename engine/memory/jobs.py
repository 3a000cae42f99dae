"""The store's commands as jobs for a lane: protocol in, protocol out.

It knows the messages and a Store, not SQL. Damage that shows while the store is in use is mended here by opening again,
which sets the damaged file aside and goes back to a backup; whoever asked is told in a Progress before the answer.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from engine.errors import EngineError
from engine.lanes import Job
from engine.memory.database import damaged, spoken
from engine.memory.store import Store
from engine.messages import (
    ChatOpened,
    Chats,
    Command,
    DeleteChat,
    DeleteMessages,
    Event,
    ListChats,
    OpenChat,
    OpenRecords,
    Progress,
    Records,
    Run,
    SaveChat,
    SaveMessage,
)


class StoreJobs:
    """Answers every StoreCommand. Opens at the first one, and tries again at the next where that failed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._store: Store | None = None

    def start(self, command: Command, run: Run) -> Job:
        # All work is in the first step, so commands act in the order in which they were given.
        with spoken(self._path):
            try:
                events = self._do(command, run.id)
            except sqlite3.DatabaseError as error:
                if not damaged(error):
                    raise
                self.close()
                events = self._do_again(command, run.id)
        yield from events
        return None

    def alone(self, command: Command) -> bool:
        return False

    def at_once(self, command: Command) -> bool:
        return False

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _do_again(self, command: Command, run: int) -> list[Event]:
        try:
            return self._do(command, run)
        except sqlite3.DatabaseError as error:
            if not damaged(error):
                raise
            raise EngineError(
                f"{self._path} is damaged: {error}.", "Close Vitrine and put the newest of its backups in its place."
            ) from error

    def _do(self, command: Command, run: int) -> list[Event]:
        if self._store is None:
            self._store = Store(self._path)
        store = self._store
        events: list[Event] = []
        match command:
            case ListChats(query):
                events.append(Chats(run, store.chats(query)))
            case OpenChat(key):
                events.append(ChatOpened(run, *store.chat(key)))
            case SaveChat(chat):
                store.save_chat(chat)
            case DeleteChat(key, undo):
                store.delete_chat(key, undo)
            case SaveMessage(message, records, drawings):
                store.save_message(message, records, drawings)
            case DeleteMessages(keys, undo):
                store.delete_messages(keys, undo)
            case OpenRecords(key):
                events.append(Records(run, key, store.records(key), store.drawings(key)))
        if store.notice:
            events.insert(0, Progress(run, store.notice, 0, 0))
            store.notice = ""
        return events
