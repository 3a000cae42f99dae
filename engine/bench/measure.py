"""One model's figures, taken through the very loop that writes a person's answers.

A time is the median of what was taken; whoever compares two programs alternates their rounds.
"""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from dataclasses import replace
from pathlib import Path

import torch

from engine.bench.models import Subject
from engine.decoding.contexts import Context
from engine.decoding.loop import Settings, checker, generate, read
from engine.errors import Cancelled
from engine.messages import Tokens
from engine.params import CaptureParams, SamplingParams
from engine.quantize.kernels.pages import pages

CLOSED = CaptureParams(candidates=0)
"""No pane in view."""

LIVE = CaptureParams(attention="layer")
"""Probabilities, and the attention of one layer."""

SAMPLING = SamplingParams(seed=1, speculation="off")


class Ours:
    """Vitrine on one model. What is read stays the context of what is decoded next."""

    name = "vitrine"

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._draws = torch.Generator().manual_seed(1)
        self._ids: list[int] = []
        self._context = Context.fresh(subject.model, CLOSED)

    @property
    def context(self) -> int:
        """How many tokens the model can hold."""
        return self._subject.model.config.context

    def read(self, tokens: int) -> float:
        """Seconds to read a prompt of so many random tokens, which is then the context."""
        self._ids = self._random(tokens)
        self._context = Context.fresh(self._subject.model, CLOSED)
        begun = time.perf_counter()
        for _ in read(0, self._context, self._ids, lambda: None):
            pass
        return time.perf_counter() - begun

    def decode(self, tokens: int, capture: CaptureParams = CLOSED) -> float:
        """Seconds a token, the median of so many written after the context, which is then as before."""
        times = self._times(self._ids, tokens + 1, capture)
        return statistics.median(after - before for before, after in itertools.pairwise(times))

    def first_token(self, tokens: int) -> float:
        """Seconds from a prompt of so many tokens to the first token of its answer."""
        self._context = Context.fresh(self._subject.model, CLOSED)
        self._ids = self._random(tokens)
        begun = time.perf_counter()
        return self._times(self._ids, 1, CLOSED)[0] - begun

    def stop(self, tokens: int, after: float) -> float:
        """Seconds from Stop, pressed so many seconds into the reading of so many tokens, until the engine is free.

        0 where they were read before.
        """
        pressed: list[float] = []
        timer = threading.Timer(after, lambda: pressed.append(time.perf_counter()))
        context, ids = Context.fresh(self._subject.model, CLOSED), self._random(tokens)
        timer.start()
        try:
            for _ in read(0, context, ids, checker(lambda: bool(pressed))):
                pass
        except Cancelled:
            return time.perf_counter() - pressed[0]
        finally:
            timer.cancel()
        return 0.0

    def _times(self, ids: list[int], tokens: int, capture: CaptureParams) -> list[float]:
        """When each token of an answer came."""
        sampling = replace(SAMPLING, max_new_tokens=tokens)
        events = generate(
            0, self._context, self._subject.tokenizer, ids, (), "", frozenset(), Settings(sampling, capture), _never
        )
        self._context.tap.params = capture
        return [time.perf_counter() for event in events if isinstance(event, Tokens)][:tokens]

    def _random(self, tokens: int) -> list[int]:
        ids: list[int] = torch.randint(
            0, self._subject.model.config.vocabulary, (tokens,), generator=self._draws
        ).tolist()
        return ids


def _never() -> None:
    """Nobody stops it."""


def resident() -> tuple[int, int]:
    """Bytes of memory this process holds and has held at most, 0 where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0, 0
    found = {line.split(":")[0]: line for line in lines}
    now, most = (int(found[key].split()[1]) * 1024 if key in found else 0 for key in ("VmRSS", "VmHWM"))
    return now, most


def bandwidth(megabytes: int = 128) -> float:
    """Bytes a second that one pass over memory reads, with the threads torch has now: the limit of decoding."""
    words = pages.moved(torch.ones(megabytes * 2**20 // 4))
    return max(_rate(words) for _ in range(5))


def _rate(words: torch.Tensor) -> float:
    begun = time.perf_counter()
    words.sum()
    return words.nbytes / (time.perf_counter() - begun)
