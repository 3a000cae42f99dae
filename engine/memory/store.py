"""The store: chats as trees of messages, and the token records of each message, in SQLite.

It knows no model and no window. A method that returns has its change on the disk. Nothing that a person deletes goes
at once: rows are marked, kept 30 days for undo, and purged when the store opens.
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from engine.errors import EngineError
from engine.memory.backup import Backups, set_aside
from engine.memory.database import damaged, open_database, spoken, writing
from engine.memory.records import pack, pack_drawing, unpack, unpack_drawing
from engine.memory.salvage import salvage
from engine.memory.schema import CHATS, RECORDS
from engine.messages import Chat, Drawing, StoredMessage, TokenRecord

T = TypeVar("T")

KEEP_DELETED = 30 * 24 * 3600.0  # seconds

_CHAT = ("id", "title", "mode", "created", "updated", "model", "system", "draft", "leaf", "settings")
_MESSAGE = ("id", "chat", "parent", "role", "text", "status", "created", "model", "settings", "stats")


def _upsert(table: str, columns: tuple[str, ...]) -> str:
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns[1:])
    holes = ", ".join("?" * len(columns))
    # Not REPLACE: that would make a new row, forget `deleted`, and cascade to a chat's messages.
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({holes}) ON CONFLICT (id) DO UPDATE SET {changes}"


_SAVE_CHAT = _upsert("chats", (*_CHAT, "folded"))
_SAVE_MESSAGE = _upsert("messages", _MESSAGE)


class Store:
    """The chats in the file at path and their token records beside it. One thread uses it: the one that made it.

    notice: what was damaged and has been mended, in a sentence or two, until someone takes it; usually empty.
    Raises EngineError for what a person can mend; sqlite3.DatabaseError for chats that turn out damaged later on.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._records_path = self._path.with_name(f"{path.stem}-records{path.suffix}")
        self._backups = Backups(self._path)
        self.notice = ""
        self._writing: set[str] = set()  # messages that this process is writing
        self._chats = self._open_chats()
        try:
            self._records = self._open_records()
            self._purge(time.time() - KEEP_DELETED)
        except BaseException:
            self._chats.close()
            raise

    def close(self) -> None:
        self._backups.close()
        self._records.close()
        self._chats.close()

    # --- chats --------------------------------------------------------------------------------------------------------

    def chats(self, query: str = "") -> tuple[Chat, ...]:
        """Newest first; those whose title contains query, whatever its case."""
        rows = self._chats.execute(
            f"SELECT {', '.join(_CHAT)} FROM chats WHERE deleted IS NULL AND instr(folded, ?) ORDER BY updated DESC",
            (_sound(query.casefold()),),
        )
        return tuple(_chat(row) for row in rows)

    def chat(self, key: str) -> tuple[Chat, tuple[StoredMessage, ...]]:
        """A chat with all messages of its tree, parents first.

        A message that was being written when its process ended comes back as "interrupted", with its text.
        """
        found = self._chats.execute(
            f"SELECT {', '.join(_CHAT)} FROM chats WHERE id = ? AND deleted IS NULL", (key,)
        ).fetchone()
        if found is None:
            raise EngineError("This chat is no longer there.", "It may have been deleted in another window.")
        rows = self._chats.execute(
            f"SELECT {', '.join(_MESSAGE)} FROM messages WHERE chat = ? AND deleted IS NULL ORDER BY serial", (key,)
        )
        return _chat(found), tuple(self._message(row) for row in rows)

    def save_chat(self, chat: Chat) -> None:
        with writing(self._chats) as connection:
            values = (getattr(chat, name) for name in _CHAT)
            connection.execute(_SAVE_CHAT, (*map(_stored, values), _sound(chat.title.casefold())))
        self._backups.make_daily()

    def delete_chat(self, key: str, undo: bool = False) -> None:
        self._mark("chats", (key,), undo)

    # --- messages -----------------------------------------------------------------------------------------------------

    def save_message(
        self, message: StoredMessage, records: tuple[TokenRecord, ...] = (), drawings: tuple[Drawing, ...] = ()
    ) -> None:
        """Insert or replace a message; records and drawings are added to those it has."""
        try:
            with writing(self._chats) as connection:
                connection.execute(_SAVE_MESSAGE, tuple(_stored(getattr(message, name)) for name in _MESSAGE))
        except sqlite3.IntegrityError as error:
            raise EngineError(
                "The chat that this message belongs to is not in the store.", "Copy the text and start a new chat."
            ) from error
        if message.status == "writing":
            self._writing.add(message.id)
        # After the message: where the process ends in between, a text without records is whole; the reverse is not.
        if records or drawings:
            rows = [(message.id, records[0].position, pack(records))] if records else []
            drawn = [(message.id, pack_drawing(drawing)) for drawing in drawings]
            self._on_records(lambda connection: _insert_records(connection, rows, drawn))
        self._backups.make_daily()

    def records(self, message: str) -> tuple[TokenRecord, ...]:
        """All records of a message in order of position; of two for one position, the one saved later."""
        query = "SELECT data FROM records WHERE message = ? ORDER BY serial"
        rows = self._on_records(lambda connection: connection.execute(query, (message,)).fetchall())
        by_position = {record.position: record for (blob,) in rows for record in unpack(blob)}
        return tuple(by_position[position] for position in sorted(by_position))

    def drawings(self, message: str) -> tuple[Drawing, ...]:
        """What the runs that wrote into a message drew with, in their order."""
        query = "SELECT data FROM drawings WHERE message = ? ORDER BY serial"
        rows = self._on_records(lambda connection: connection.execute(query, (message,)).fetchall())
        return tuple(unpack_drawing(blob) for (blob,) in rows)

    def delete_messages(self, keys: Iterable[str], undo: bool = False) -> None:
        self._mark("messages", keys, undo)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _open_chats(self) -> sqlite3.Connection:
        try:
            return open_database(self._path, CHATS, checked=True)
        except sqlite3.DatabaseError as error:
            if not damaged(error):
                raise
        with spoken(self._path):
            aside = set_aside(self._path)
            restored = self._backups.restore()
        connection = open_database(self._path, CHATS, checked=True)
        saved = salvage(aside, connection, ("chats", "messages"))
        self.notice = (
            f"The file of chats was damaged; it is kept as {aside.name}. "
            f"{'The latest backup took its place' if restored else 'There was no backup'}"
            f"{f', with {saved:,} rows that could still be read' if saved else ''}."
        )
        return connection

    def _open_records(self) -> sqlite3.Connection:
        try:
            return open_database(self._records_path, RECORDS)
        except sqlite3.DatabaseError as error:
            if not damaged(error):
                raise
            return self._fresh_records()

    def _on_records(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do it; where the records turn out damaged, set them aside and do it on new ones: no chat depends on them."""
        try:
            return work(self._records)
        except sqlite3.DatabaseError as error:
            if not damaged(error):
                raise
            self._records.close()
            self._records = self._fresh_records()
            return work(self._records)

    def _fresh_records(self) -> sqlite3.Connection:
        with spoken(self._records_path):
            aside = set_aside(self._records_path)
            self._records_path.unlink()
        said = f"The probabilities of earlier answers were damaged; the file is kept as {aside.name}."
        self.notice = f"{self.notice} {said}".strip()
        return open_database(self._records_path, RECORDS)

    def _purge(self, before: float) -> None:
        chats = self._chats.execute("SELECT id FROM chats WHERE deleted < ?", (before,)).fetchall()
        messages = self._chats.execute(
            "SELECT id FROM messages WHERE deleted < ?1 OR chat IN (SELECT id FROM chats WHERE deleted < ?1)", (before,)
        ).fetchall()
        if not chats and not messages:
            return
        # The records first: where the process ends in between, the next start finds the rest.
        with spoken(self._records_path), writing(self._records) as connection:
            connection.executemany("DELETE FROM records WHERE message = ?", messages)
            connection.executemany("DELETE FROM drawings WHERE message = ?", messages)
        with spoken(self._path), writing(self._chats) as connection:
            connection.executemany("DELETE FROM messages WHERE id = ?", messages)
            connection.executemany("DELETE FROM chats WHERE id = ?", chats)

    def _mark(self, table: str, keys: Iterable[str], undo: bool) -> None:
        deleted = None if undo else time.time()
        with writing(self._chats) as connection:
            connection.executemany(f"UPDATE {table} SET deleted = ? WHERE id = ?", [(deleted, key) for key in keys])

    def _message(self, row: tuple[Any, ...]) -> StoredMessage:
        message = StoredMessage(*(*row[:-2], *map(json.loads, row[-2:])))
        if message.status == "writing" and message.id not in self._writing:
            return dataclasses.replace(message, status="interrupted")
        return message


def _insert_records(
    connection: sqlite3.Connection, records: list[tuple[str, int, bytes]], drawings: list[tuple[str, bytes]]
) -> None:
    with writing(connection):
        connection.executemany("INSERT INTO records (message, position, data) VALUES (?, ?, ?)", records)
        connection.executemany("INSERT INTO drawings (message, data) VALUES (?, ?)", drawings)


def _chat(row: tuple[Any, ...]) -> Chat:
    return Chat(*(*row[:-1], json.loads(row[-1])))


def _stored(value: Any) -> Any:
    if isinstance(value, dict):
        return json.dumps(value)
    return _sound(value) if isinstance(value, str) else value


def _sound(text: str) -> str:
    """The text with lone halves of UTF-16 pairs, which no file can hold, replaced by the usual mark."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
