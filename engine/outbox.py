"""The way out of the engine: typed events, merged while nobody looks, never blocking the thread that writes.

Neighbouring tokens of a run join; progress, statistics and thumbnails are latest-wins; attention rows are bounded by
bytes. So a window that stalls for a minute finds a short list, not a minute's backlog.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from engine.messages import AttentionRows, AttentionThumbnails, Beams, Event, Progress, Stats, TokenRecord, Tokens

LATEST_WINS = (Progress, Stats, AttentionThumbnails, Beams)
ROWS_BUDGET = 64 * 2**20


class _Joining:
    """Tokens of one run that are still growing; joined once, at drain, so that a long stall costs linear time."""

    __slots__ = ("records", "run", "texts")

    def __init__(self, first: Tokens) -> None:
        self.run = first.run
        self.texts = [first.text]
        self.records: list[TokenRecord] = list(first.records)

    def add(self, more: Tokens) -> None:
        self.texts.append(more.text)
        self.records.extend(more.records)

    def joined(self) -> Tokens:
        return Tokens(self.run, "".join(self.texts), tuple(self.records))


class Outbox:
    """A thread-safe, merging queue of events. wake is called, from the writing thread, when it stops being empty."""

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._events: dict[int, Event | _Joining] = {}
        self._serial = 0
        self._latest: dict[tuple[type[Event], int, tuple[str, ...]], int] = {}
        self._joining: dict[int, int] = {}
        self._rows: deque[int] = deque()
        self._rows_bytes = 0

    def put(self, event: Event) -> None:
        with self._lock:
            was_empty = not self._events
            self._merge(event)
        if was_empty:
            self._wake()

    def drain(self) -> list[Event]:
        """Everything so far, in order; the outbox is empty afterwards."""
        with self._lock:
            events = list(self._events.values())
            self._events = {}
            self._latest.clear()
            self._joining.clear()
            self._rows.clear()
            self._rows_bytes = 0
        return [event.joined() if isinstance(event, _Joining) else event for event in events]

    def _merge(self, event: Event) -> None:
        self._serial += 1
        if isinstance(event, Tokens):
            growing = self._events.get(self._joining.get(event.run, -1))
            if isinstance(growing, _Joining):
                growing.add(event)
                return
            self._joining[event.run] = self._serial
            self._events[self._serial] = _Joining(event)
            return
        if isinstance(event, LATEST_WINS):
            part = event.layers if isinstance(event, AttentionThumbnails) else ()
            key = (type(event), event.run, part)
            self._events.pop(self._latest.get(key, -1), None)
            self._latest[key] = self._serial
        elif isinstance(event, AttentionRows):
            self._make_room(event.weights.nbytes)
            self._rows.append(self._serial)
        else:
            # Anything else may refer to the text so far: tokens after it start afresh, so that order holds.
            self._joining.pop(event.run, None)
        self._events[self._serial] = event

    def _make_room(self, size: int) -> None:
        self._rows_bytes += size
        while self._rows and self._rows_bytes > ROWS_BUDGET:
            oldest = self._events.pop(self._rows.popleft())
            assert isinstance(oldest, AttentionRows)
            self._rows_bytes -= oldest.weights.nbytes
