"""How many of torch's threads share a short call: fewer while another program holds a core.

Threads that go through a call together wait for the slowest, and one whose core is taken keeps all waiting. Which
count is best is seen from the calls' own times: now and then one more or one fewer is tried, more often when calls have
become slower. The count changes no bit of a result (stretch.py, entry.py), so it may change from token to token.
"""

from __future__ import annotations

import weakref
from collections import deque

import torch

TRIAL = 3
"""Calls in a row that try another count."""

RECENT = 8
"""Calls whose mean is how long calls take now."""

SOONEST, LATEST, LATEST_BELOW = 16, 256, 64
"""Calls from one trial to the next: each that fails doubles them; where fewer than all take part they stay fewer."""

SLOWER, FASTER = 1.25, 0.95
"""From which share of what they took before calls are slower, and up to which another count is better."""


class Team:
    """The threads of one caller's calls at a time: whoever else calls begins anew."""

    def __init__(self) -> None:
        self._who: weakref.ref[object] | None = None  # a model that is unloaded gives its memory back
        self._given = self._size = self._tried = 0
        self._times: deque[float] = deque(maxlen=RECENT)
        self._times_tried: list[float] = []
        self._usual = float("inf")  # the best that RECENT calls of this size took
        self._trial = self._since = 0
        self._wait = SOONEST
        self._down = True

    @property
    def size(self) -> int:
        """How many threads take part in a short call now."""
        given = torch.get_num_threads()
        return min(self._size, given) if given == self._given else given

    def gather(self, who: object) -> int:
        """How many threads take part in the next call of `who`, which then tells how long it `took`."""
        given = torch.get_num_threads()
        if given != self._given or self._who is None or self._who() is not who:
            self._who = weakref.ref(who)
            self._begin(given)
        if self._given > 1 and not self._trial and self._due():
            self._try()
        return self._tried if self._trial else self._size

    def took(self, seconds: float) -> None:
        """How long the call took that threads were gathered for last."""
        if self._trial:
            self._trial -= 1
            self._times_tried.append(seconds)
            if not self._trial:
                self._judge()
            return
        self._since += 1
        self._times.append(seconds)
        if len(self._times) == RECENT:
            self._usual = min(self._usual, self._now)

    def _begin(self, given: int) -> None:
        self._given = self._size = given
        self._times.clear()
        self._usual, self._trial, self._since, self._wait = float("inf"), 0, 0, SOONEST

    @property
    def _now(self) -> float:
        return sum(self._times) / len(self._times)

    def _due(self) -> bool:
        if len(self._times) < RECENT:
            return False
        latest = LATEST if self._size == self._given else LATEST_BELOW
        return self._since >= min(self._wait, latest) or (self._since >= RECENT and self._now > SLOWER * self._usual)

    def _try(self) -> None:
        """One fewer and one more in turn, as far as there are."""
        down = self._size > 1 and (self._down or self._size == self._given)
        self._down = not self._down
        self._tried = self._size - 1 if down else self._size + 1
        self._trial, self._times_tried = TRIAL, []

    def _judge(self) -> None:
        self._since = 0
        if sum(self._times_tried) / TRIAL < FASTER * self._now:
            self._size, self._wait, self._usual = self._tried, SOONEST, float("inf")
            self._times.clear()
        else:
            self._wait = min(2 * self._wait, LATEST)
            self._usual = self._now  # slower than it was, but no count is better


team = Team()
"""Of this process, whose threads all calls share."""
