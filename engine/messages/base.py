"""What every command and event has: the handle of a run, the two bases, and how a run goes on and ends."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Run:
    """The handle of one command. Its cancel mark belongs to it alone and is never reset."""

    id: int = field(default_factory=lambda: next(_numbers))
    _cancelled: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    def cancel(self) -> None:
        """Ask the run to end; it answers with Done("cancelled") and keeps what it had. Safe from any thread."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()


@dataclass(frozen=True, slots=True)
class Command:
    """Base of all commands."""


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events; run is the id of the run it belongs to."""

    run: int


@dataclass(frozen=True, slots=True)
class Done(Event):
    """The run is over. reason: done, eos, length, stop, grammar (nothing fits the form any more) or cancelled."""

    reason: str = "done"


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """The run is over and this is why. details: a traceback for the fold, empty for a plain mistake."""

    message: str
    hint: str = ""
    details: str = ""


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """Latest wins. phase: what is being done, in words; total 0 where it cannot be counted."""

    phase: str
    done: int
    total: int
