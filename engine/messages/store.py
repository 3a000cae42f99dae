"""Chats on the disk. The store has a thread of its own; Done means that what was saved is on the disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine.messages.base import Command, Event
from engine.messages.generating import Drawing, TokenRecord


@dataclass(frozen=True, slots=True)
class Chat:
    """One conversation. mode: chat or complete. leaf: the message shown last. settings: plain JSON values."""

    id: str
    title: str
    mode: str = "chat"
    created: float = 0.0
    updated: float = 0.0
    model: str = ""
    system: str = ""
    draft: str = ""
    leaf: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One node of a chat's tree. status: writing, done, length, stopped, interrupted or failed.

    settings: the sampling used, seed resolved. stats: counts and times. parent: "" for a first message.
    """

    id: str
    chat: str
    parent: str
    role: str
    text: str
    status: str = "done"
    created: float = 0.0
    model: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    stats: dict[str, Any] = field(default_factory=dict)


# --- commands -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoreCommand(Command):
    """Base of the commands that the store answers. Done means: it is on the disk."""


@dataclass(frozen=True, slots=True)
class ListChats(StoreCommand):
    """Newest first; query matches titles, case folded. -> Chats."""

    query: str = ""


@dataclass(frozen=True, slots=True)
class OpenChat(StoreCommand):
    """-> ChatOpened."""

    chat: str


@dataclass(frozen=True, slots=True)
class SaveChat(StoreCommand):
    """Insert or replace a chat's own row."""

    chat: Chat


@dataclass(frozen=True, slots=True)
class SaveMessage(StoreCommand):
    """Insert or replace one message; records and drawings, if any, are added to those already stored for it."""

    message: StoredMessage
    records: tuple[TokenRecord, ...] = ()
    drawings: tuple[Drawing, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenRecords(StoreCommand):
    """-> Records: the token records stored with a message, and what they were drawn with."""

    message: str


@dataclass(frozen=True, slots=True)
class DeleteChat(StoreCommand):
    """Out of sight at once, kept for undo (undo=True brings it back)."""

    chat: str
    undo: bool = False


@dataclass(frozen=True, slots=True)
class DeleteMessages(StoreCommand):
    """The same for messages of a chat."""

    messages: tuple[str, ...]
    undo: bool = False


# --- events -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chats(Event):
    chats: tuple[Chat, ...]


@dataclass(frozen=True, slots=True)
class ChatOpened(Event):
    """All messages of the tree, oldest first, without their records."""

    chat: Chat
    messages: tuple[StoredMessage, ...]


@dataclass(frozen=True, slots=True)
class Records(Event):
    """drawings: one for each run that wrote into the message, in the order of their runs."""

    message: str
    records: tuple[TokenRecord, ...]
    drawings: tuple[Drawing, ...] = ()
