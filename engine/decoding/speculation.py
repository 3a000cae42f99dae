"""Speculation: several tokens a pass of the model, and none of them another than without.

What may follow is drafted, read in one pass, and then every position is drawn as ever, in order; a draft that turns out
to be what was drawn has saved a pass, the first that does not is forgotten with all behind it. Samplers, their memory,
records and seeds see no difference: all that can differ is the rounding of the logits. How much is drafted follows from
how often such drafts were right before and from what a pass over several rows costs on this machine, which is measured
once; nothing else looks at a clock, so that the same text is drafted the same way each time.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.decoding.contexts import Context
from engine.models.base import Decoder
from engine.params import CaptureParams
from engine.quantize import nbytes

LONGEST = 15
"""Tokens drafted at most: with the one that was drawn they are 16 rows."""

CHUNK = 512
"""Rows that a draft model reads of a prompt in one pass."""

SHORTEST_MATCH, LONGEST_MATCH = 3, 16
"""How many of the last tokens must have stood together before, and how many are compared."""

WORTH = 1.05
"""The gain that is expected of a draft before it is made."""

MEASURED_ROWS = (1, 2, 4, 8, 16)

Check = Callable[[], None]
Choose = Callable[[Tensor, Sequence[int]], int]
"""Takes logits [V] and the tokens drafted before, gives the token that the model itself would draw from them."""


class Drafter(Protocol):
    """Who guesses what follows. step: what one drafted token costs, in passes of the model over one row."""

    step: float

    def look(self, ids: Sequence[int]) -> int:
        """How well founded a guess would be: 0 where there is none, else a grade whose record is kept apart."""
        ...

    def draft(self, ids: Sequence[int], count: int, choose: Choose, check: Check) -> list[int]:
        """Up to count tokens that may follow ids; called only after look."""
        ...


class Lookup:
    """Guesses that what followed the last tokens before will follow them again. One for each answer.

    Source: prompt lookup decoding (Saxena 2023); the longest match counts, of several the latest.
    """

    step = 0.0

    def __init__(self) -> None:
        self._text: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._count = 0
        self._found = 0

    def look(self, ids: Sequence[int]) -> int:
        self._take(ids)
        text = self._text[: self._count]
        ends = np.flatnonzero(text[:-1] == text[-1])
        length = 1
        while ends.size and length < LONGEST_MATCH:
            ends_here = ends[ends >= length]
            ends_here = ends_here[text[ends_here - length] == text[-1 - length]]
            if not ends_here.size:
                break
            ends, length = ends_here, length + 1
        if length < SHORTEST_MATCH or not ends.size:
            return 0
        self._found = int(ends[-1]) + 1
        return length.bit_length()

    def draft(self, ids: Sequence[int], count: int, choose: Choose, check: Check) -> list[int]:
        followed = self._text[self._found : self._count]
        guess: list[int] = np.resize(followed, count).tolist()  # beyond the end, a repetition goes on as one
        return guess

    def _take(self, ids: Sequence[int]) -> None:
        if len(ids) > len(self._text):
            larger = np.empty(2 * len(ids), np.int64)
            larger[: self._count] = self._text[: self._count]
            self._text = larger
        self._text[self._count : len(ids)] = ids[self._count :]
        self._count = len(ids)


class DraftModel:
    """Guesses what a smaller model of the same tokenizer would draw with the same noise.

    step: what a pass of it costs, in passes of the model that it drafts for.
    """

    def __init__(self, model: Decoder, vocabulary: int) -> None:
        self.step = 1.0
        self._vocabulary = vocabulary
        self._context = Context.fresh(model, CaptureParams(candidates=0))

    @property
    def context(self) -> Context:
        return self._context

    def look(self, ids: Sequence[int]) -> int:
        model = self._context.model
        ahead = len(ids) + LONGEST
        return 1 if ahead <= model.config.context and model.is_far(ahead) == model.is_far(len(ids)) else 0

    def draft(self, ids: Sequence[int], count: int, choose: Choose, check: Check) -> list[int]:
        context, drafted = self._context, list[int]()
        rest = list(ids[context.keep(ids) :])
        if max(rest) >= context.model.config.vocabulary:
            return []
        while len(drafted) < count:
            for start in range(0, len(rest), CHUNK):
                logits = context.feed(rest[start : start + CHUNK], check)
            rest = [choose(self._fitted(logits), drafted)]
            drafted += rest
        return drafted

    def _fitted(self, logits: Tensor) -> Tensor:
        """The same tokenizer may be filled up to another size: as many columns as the model has, of no weight."""
        if len(logits) >= self._vocabulary:
            return logits[: self._vocabulary]
        return torch.nn.functional.pad(logits, (0, self._vocabulary - len(logits)), value=-torch.inf)


USUAL = {1: 0.7, 2: 0.3, 3: 0.5, 4: 0.75, 5: 0.9}
"""How often a drafted token is right, by grade: a draft model's, then matches of 3, 4, 8 and 16 tokens and more."""

FADING, RESTING = 0.8, 0.98
"""What is left of a grade's record after a draft, and after a draft that was not made."""


class Odds:
    """How often a drafted token was the one drawn, by grade: counts that fade towards what is usual."""

    def __init__(self) -> None:
        self._counts: dict[int, tuple[float, float]] = {}

    def of(self, grade: int) -> float:
        hits, tried = self._counts.get(grade, (0.0, 0.0))
        return (hits + USUAL[grade]) / (tried + 1.0)

    def record(self, grade: int, hits: int, tried: int) -> None:
        before = self._counts.get(grade, (0.0, 0.0))
        self._counts[grade] = before[0] * FADING + hits, before[1] * FADING + tried

    def rest(self, grade: int) -> None:
        """Nothing was drafted; after some such times it is tried again."""
        hits, tried = self._counts.get(grade, (0.0, 0.0))
        self._counts[grade] = hits * RESTING, tried * RESTING


class Speculation:
    """What drafts for one loaded model, and what its passes cost. A draft model is there once it is given."""

    def __init__(self, model: Decoder) -> None:
        self.draft_model: DraftModel | None = None
        self._model = model
        self._prices: list[float] = []

    def use(self, draft: Decoder | None) -> None:
        """Let a draft model of the same tokenizer guess, or None."""
        self.draft_model = DraftModel(draft, self._model.config.vocabulary) if draft is not None else None
        self._prices = []

    @property
    def nbytes(self) -> int:
        """Bytes of the draft model, and of what it keeps of a text."""
        if self.draft_model is None:
            return 0
        context = self.draft_model.context
        return nbytes(context.model) + context.cache.nbytes

    def drafter(self, wanted: str, lookup: Lookup) -> Drafter | None:
        """Who drafts where `wanted` is what SamplingParams.speculation says."""
        if wanted == "off" or (wanted == "draft model" and self.draft_model is None):
            return None
        return lookup if wanted == "prompt lookup" or self.draft_model is None else self.draft_model

    def prices(self, context: Context, check: Check) -> list[float]:
        """What a pass over 0, 1, 2, ... rows costs, in passes over one; measured behind what context holds."""
        if not self._prices:
            seconds = [pass_seconds(context, rows, check) for rows in MEASURED_ROWS]
            # Rounded, so that on a quiet machine they are the same each time and with them the drafts.
            known = [round(8 * each / seconds[0]) / 8 for each in seconds]
            self._prices = np.interp(range(LONGEST + 2), MEASURED_ROWS, known).tolist()
            if self.draft_model is not None:
                own = pass_seconds(self.draft_model.context, 1, check)
                self.draft_model.step = round(32 * own / seconds[0]) / 32
        return self._prices


class Ahead:
    """Reads ahead in one context for one answer: hands out the logits after each token that was drawn.

    passes: of the model, since the answer began; accepted: tokens that needed none; guessed: those drafted.
    """

    def __init__(self, context: Context, speculation: Speculation | None) -> None:
        self.passes = 0
        self.accepted = 0
        self.guessed = 0
        self._context = context
        self._speculation = speculation
        self._lookup = Lookup()
        self._odds = Odds()
        self._rows: deque[Tensor] = deque()
        self._drafted: deque[int] = deque()
        self._grade = 0
        self._hits = 0

    @property
    def tokens_per_pass(self) -> float:
        return 1.0 + self.accepted / self.passes if self.passes else 1.0

    @property
    def counts(self) -> tuple[float, int, int]:
        """What Stats tells of drafts."""
        return self.tokens_per_pass, self.guessed, self.accepted

    def after(self, ids: Sequence[int], wanted: str, most: int, choose: Choose, check: Check) -> Tensor:
        """The logits, float32 [V], of what follows ids, whose last was drawn just now and all others were read.

        wanted: SamplingParams.speculation; most: how many tokens more could be of use. Attention that is looked at is
        captured pass by pass, so while it is, nothing is drafted.
        """
        looked_at = self._context.tap.wanted
        if self._drafted and self._drafted[0] == ids[-1] and not looked_at:
            self._drafted.popleft()
            self._hits += 1
            self.accepted += 1
            if not self._drafted:
                self._judge(missed=False)
            return self._rows.popleft()
        if self._drafted:
            self._judge(missed=not looked_at)
        self.settle(len(ids) - 1)
        draft = [] if looked_at else self._draft(ids, wanted, most, choose, check)
        rows = self._context.feed([ids[-1], *draft], check, last=not draft)
        self.passes += 1
        if not draft:
            return rows
        self.guessed += len(draft)
        self._drafted.extend(draft)
        self._rows.extend(rows[1:])
        return rows[0]

    def settle(self, count: int) -> None:
        """Drop drafts that were not drawn, where there are any: the context is left with the first count ids."""
        if self._drafted:
            self._rows.clear()
            self._drafted.clear()
            self._context.truncate(min(count, len(self._context.ids)))

    def _judge(self, missed: bool) -> None:
        self._odds.record(self._grade, self._hits, self._hits + missed)

    def _draft(self, ids: Sequence[int], wanted: str, most: int, choose: Choose, check: Check) -> list[int]:
        speculation, model = self._speculation, self._context.model
        drafter = speculation.drafter(wanted, self._lookup) if speculation is not None else None
        most = min(most, LONGEST)
        if speculation is None or drafter is None or most < 1:
            return []
        ahead = len(ids) + LONGEST  # as far as prices are measured, too
        if ahead > model.config.context or model.is_far(ahead) != model.is_far(len(ids)):
            return []
        grade = drafter.look(ids)
        if not grade:
            return []
        prices = speculation.prices(self._context, check)
        count = best_count(self._odds.of(grade), prices, drafter.step, most)
        if not count:
            self._odds.rest(grade)
            return []
        self._grade, self._hits = grade, 0
        return drafter.draft(ids, count, choose, check)


def best_count(odds: float, prices: Sequence[float], step: float, most: int) -> int:
    """How many tokens to draft for the most tokens at the price; 0 where that is hardly more than without.

    odds: of each token, once those before it were right. prices: of a pass by its rows; step: of a drafted token.
    """
    best, count, expected, all_right = WORTH, 0, 1.0, 1.0
    for drafted in range(1, most + 1):
        all_right *= odds
        expected += all_right
        rate = expected / (prices[drafted + 1] / prices[1] + drafted * step)
        if rate > best:
            best, count = rate, drafted
    return count


def pass_seconds(context: Context, rows: int, check: Check) -> float:
    """Seconds that a pass over so many rows takes now, the better of two; the context stays as it is."""
    length, best = len(context.ids), float("inf")
    for _ in range(2):
        begun = time.perf_counter()
        context.feed([0] * rows, check, last=False)
        if context.cache.device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begun)
        context.truncate(length)
    return best
