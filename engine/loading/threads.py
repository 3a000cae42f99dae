"""How many processor threads a model runs best with, found by running it.

Small models lose more at the barriers between threads than they gain, and a window needs a core's worth of air; large
ones are bound by memory, which a few threads saturate. So a few counts are tried on one-token passes, and the smallest
that is nearly as fast as the best, or quick enough for any reader, is taken.
"""

from __future__ import annotations

import array
import os
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from engine.errors import Cancelled
from engine.models.base import Decoder, LanguageModel, Seq2Seq
from engine.quantize.rows import Rows

NEARLY = 1.1
"""How much slower than the best a smaller count may be."""

QUICK = 0.012
"""Seconds of the best pass that needs no more of torch's own threads: what they would save is not seen, and when a core
gets busy later two were measured to take 8 to 20 times as long a token, one 1 to 1.5 times. Native blocks' team
shrinks."""

ROUNDS, BUDGET = 5, 0.1
"""How often each count takes its turn, and seconds for each; large models get one turn at least."""


def usable() -> int:
    """Processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose(model: LanguageModel, cancelled: Callable[[], bool]) -> int:
    """Try 1, 2, 4, ... threads; returns the count to run this model with and leaves torch set to it.

    The counts take turns, so that what else runs on the machine meets them all, and the median counts: a thread that
    has to wait for a busy core makes every pass wait.
    """
    counts = sorted({*(1 << i for i in range(usable().bit_length()) if 1 << i <= usable()), usable()})
    times: dict[int, list[float]] = {count: [] for count in counts}
    end = time.perf_counter() + BUDGET * len(counts)
    for round in range(ROUNDS):
        if round and time.perf_counter() > end:
            break
        for count in counts:
            torch.set_num_threads(count)
            _seconds(model, cancelled)  # wakes the threads up
            times[count].append(_seconds(model, cancelled))
    usual = {count: statistics.median(times[count]) for count in counts}
    best = min(usual.values())
    fused = isinstance(model, Decoder) and model.fused is not None
    enough = 0.0 if fused else QUICK
    chosen = next(count for count in counts if usual[count] <= NEARLY * best or min(times[count]) <= enough)
    torch.set_num_threads(chosen)
    return chosen


@torch.inference_mode()
def _seconds(model: LanguageModel, cancelled: Callable[[], bool]) -> float:
    """How long a pass over one token takes."""
    ids = torch.zeros(1, 1, dtype=torch.long)

    def check() -> None:
        if cancelled():
            raise Cancelled

    begun = time.perf_counter()
    if isinstance(model, Seq2Seq):
        model.decode(ids, model.encode(ids, check=check), check=check)
    elif isinstance(model, Decoder):
        model(ids, OnePosition(model), check=check)
    else:
        model(ids, check=check)
    return time.perf_counter() - begun


class OnePosition:
    """The cache of a text of one token: nothing is before it, and nothing is kept."""

    length = 0

    def __init__(self, model: Decoder) -> None:
        config = model.config
        self._rows = torch.zeros(2, config.kv_heads, config.head_dim, dtype=torch.float16)
        addresses = [*(row.data_ptr() for row in self._rows), 0, 0]
        self._direct = Rows(array.array("q", addresses * config.layers), 1, False)

    def seen(self, layer: int) -> int:
        return 0

    def update(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        return k, v

    def direct(self, count: int) -> Rows | None:
        return self._direct if count == 1 else None

    def advance(self, T: int) -> None:
        """Nothing follows."""
