"""Stand-ins for tests of the app: an engine that plays a script, and values to script it with.

The fake answers store commands from memory, scans with `cards` and searches for adapters with `adapters`; what a model
would say, a test plays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from engine import (
    STEPS,
    AdapterCard,
    Adapters,
    Cards,
    Chat,
    ChatOpened,
    Chats,
    Command,
    DeleteChat,
    DeleteMessages,
    Done,
    Event,
    Failed,
    FindAdapters,
    Inspect,
    ListChats,
    ModelCard,
    ModelInfo,
    OpenChat,
    OpenRecords,
    Progress,
    Records,
    Run,
    SamplingParams,
    SaveChat,
    SaveMessage,
    Scan,
    StoreCommand,
    StoredMessage,
    TokenRecord,
)

C = TypeVar("C", bound=Command)


class FakeEngine:
    """Records commands; says what it is told to. Made by `Bridge(FakeEngine)`, found as `bridge.engine`."""

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self.wake = wake
        self.commands: list[Command] = []
        self.runs: dict[int, tuple[Run, Command]] = {}
        self.started = self.stopped = False
        self.cards: tuple[ModelCard, ...] = ()
        self.adapters: dict[str, tuple[AdapterCard, ...]] = {}  # by the model that is to take them
        self.chats: dict[str, Chat] = {}
        self.messages: dict[str, StoredMessage] = {}
        self.records: dict[str, tuple[TokenRecord, ...]] = {}
        self.deleted: set[str] = set()
        self.mended = ""  # what the store says once, before its next answer
        self.broken: Failed | None = None  # what store commands answer while the disk is full
        self._events: list[Event] = []

    def start(self) -> None:
        self.started = True

    def submit(self, command: Command) -> Run:
        run = Run()
        self.commands.append(command)
        self.runs[run.id] = (run, command)
        if isinstance(command, StoreCommand) and self.broken is not None:
            self.play(run.id, [self.broken])
        elif isinstance(command, StoreCommand | Scan | Inspect | FindAdapters):
            mended, self.mended = self.mended, ""
            said = [Progress(run.id, mended, 0, 0)] if mended else []
            self.play(run.id, [*said, *self._answer(command), Done(run.id)])
        return run

    def drain(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def stop(self, timeout: float = 10.0) -> bool:
        self.stopped = True
        return True

    def play(self, run: int, events: Iterable[Event]) -> None:
        """Say these events as that run's, whatever run they were made with."""
        self._events.extend(dataclasses.replace(event, run=run) for event in events)
        self.wake()

    def given(self, kind: type[C]) -> list[C]:
        """The commands of a kind, in the order given."""
        return [command for command in self.commands if isinstance(command, kind)]

    def last(self, kind: type[C]) -> tuple[Run, C]:
        """The latest command of a kind with its run."""
        for run, command in reversed(self.runs.values()):
            if isinstance(command, kind):
                return run, command
        raise AssertionError(f"no {kind.__name__} was submitted")

    def _answer(self, command: Command) -> list[Event]:
        match command:
            case Scan() | Inspect():
                return [Cards(0, self.cards)]
            case FindAdapters(folders, model):
                cards = self.adapters.get(model, ())
                return [Adapters(0, tuple(card for card in cards if card.path.startswith(folders)))]
            case ListChats(query):
                chats = [c for c in self.chats.values() if c.id not in self.deleted]
                found = [c for c in chats if query.casefold() in c.title.casefold()]
                return [Chats(0, tuple(sorted(found, key=lambda c: -c.updated)))]
            case OpenChat(chat):
                messages = [m for m in self.messages.values() if m.chat == chat and m.id not in self.deleted]
                return [ChatOpened(0, self.chats[chat], tuple(messages))]
            case SaveChat(chat):
                self.chats[chat.id] = chat
            case SaveMessage(message, records):
                self.messages[message.id] = message
                self.records[message.id] = self.records.get(message.id, ()) + records
            case OpenRecords(message):
                return [Records(0, message, self.records.get(message, ()))]
            case DeleteChat(chat, undo):
                (self.deleted.discard if undo else self.deleted.add)(chat)
            case DeleteMessages(messages, undo):
                self.deleted = self.deleted - set(messages) if undo else self.deleted | set(messages)
        return []


def a_model(**changes: Any) -> ModelInfo:
    """A small chat model, as Loaded would bring it."""
    info = ModelInfo(
        path="models/companion", name="Companion 7M", family="llama", kind="decoder", parameters=7_300_000,
        bytes_in_memory=14_600_000, layers=2, heads=4, kv_heads=2, width=256, vocabulary=4096, context=1024,
        device="CPU", precision="bf16", threads=2, chat_template=True, defaults=SamplingParams(),
    )  # fmt: skip
    return dataclasses.replace(info, **changes)


def a_record(
    position: int, text: str, probability: float = 0.5, others: tuple[str, ...] = (" lake", " sea")
) -> TokenRecord:
    """A token drawn with this probability among a few candidates, the last of them cut by top-p."""
    share = (1.0 - probability) / max(1, len(others))
    logits = np.log(np.array([probability, *[share] * len(others)], dtype=np.float32))
    after = np.array([probability, *[share] * len(others)], dtype=np.float32)
    cut = np.full(len(after), -1, dtype=np.int8)
    if others:
        cut[-1] = STEPS.index("top_p")
        after[-1] = 0.0
    return TokenRecord(
        position=position, id=100 + position, text=text, logprob=float(np.log(probability)), rank=0, entropy=1.0,
        lse=0.0, std=1.0, candidate_ids=np.array([100 + position, *range(7, 7 + len(others))], dtype=np.int32),
        logits=logits, pieces=(text, *others), after=after / after.sum(), cut=cut, steps=STEPS,
    )  # fmt: skip
