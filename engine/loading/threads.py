"""How many processor threads a model runs best with, found by running it.

Small models lose more at the barriers between threads than they gain, and a window needs a core's worth of air; large
ones are bound by memory, which a few threads saturate. So a few counts are tried on one-token passes, and the smallest
that is nearly as fast as the best is taken.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import torch

from engine.errors import Cancelled
from engine.models.base import LanguageModel, Seq2Seq

NEARLY = 1.1
"""How much slower than the best a smaller count may be."""

BUDGET = 0.15
"""Seconds for each count tried, one pass at least."""


def usable() -> int:
    """Processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose(model: LanguageModel, cancelled: Callable[[], bool]) -> int:
    """Try 1, 2, 4, ... threads; returns the count to run this model with and leaves torch set to it."""
    counts = sorted({*(1 << i for i in range(usable().bit_length()) if 1 << i <= usable()), usable()})
    times = {}
    for count in counts:
        torch.set_num_threads(count)
        times[count] = _seconds(model, cancelled)
    best = min(times.values())
    chosen = next(count for count in counts if times[count] <= NEARLY * best)
    torch.set_num_threads(chosen)
    return chosen


@torch.inference_mode()
def _seconds(model: LanguageModel, cancelled: Callable[[], bool]) -> float:
    """The shortest one-token pass within the budget; the first warms up where there is time for a second."""
    ids = torch.zeros(1, 1, dtype=torch.long)

    def check() -> None:
        if cancelled():
            raise Cancelled

    best, end = float("inf"), time.perf_counter() + BUDGET
    while best == float("inf") or time.perf_counter() < end:
        begun = time.perf_counter()
        if isinstance(model, Seq2Seq):
            model.decode(ids, model.encode(ids, check=check), check=check)
        else:
            model(ids, check=check)
        best = min(best, time.perf_counter() - begun)
    return best
