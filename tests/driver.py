"""Drives an engine from a test: submit, collect, look for the one event that matters."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from engine import Command, Done, Engine, Event, Failed, Load, LoadParams, Run, Tokens

E = TypeVar("E", bound=Event)
LIMIT = 120.0


class Driver:
    """An engine whose events are kept in order, with waits that end."""

    def __init__(self, home: Path | None = None) -> None:
        self._ready = threading.Event()
        self.engine = Engine(self._ready.set, home)
        self.log: list[Event] = []

    def submit(self, command: Command) -> Run:
        return self.engine.submit(command)

    def wait(self, until: Callable[[list[Event]], bool]) -> None:
        """Collect events until the log satisfies `until`."""
        end = time.monotonic() + LIMIT
        while not until(self.log):
            assert self._ready.wait(max(0.0, end - time.monotonic())), "no event came in time"
            self._ready.clear()
            self.log += self.engine.drain()

    def finish(self, run: Run) -> list[Event]:
        """The run's events to its end."""
        self.wait(lambda log: any(e.run == run.id and isinstance(e, Done | Failed) for e in log))
        return [e for e in self.log if e.run == run.id]

    def run(self, command: Command) -> list[Event]:
        return self.finish(self.submit(command))

    def load(self, path: Path, precision: str = "fp32") -> None:
        events = self.run(Load(str(path), LoadParams(precision=precision, threads=1)))
        assert isinstance(events[-1], Done), events[-1]


def one(events: list[Event], kind: type[E]) -> E:
    """The single event of a kind."""
    (found,) = [e for e in events if isinstance(e, kind)]
    return found


def all_of(events: list[Event], kind: type[E]) -> list[E]:
    return [e for e in events if isinstance(e, kind)]


def text_of(events: list[Event]) -> str:
    return "".join(e.text for e in all_of(events, Tokens))
