"""The stored candidates of one answer as arrays, with what the steps ask about them, found once and kept.

numpy only: it is built and read in a pane's process, without torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.messages import TokenRecord
from engine.params import FIRST, SamplingParams
from engine.sampling.noise import gumbel, uniform
from engine.sampling.repetition import repeats

Reals = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

NOTHING = np.float32(-np.inf)


class Stored:
    """T tokens with N candidates each, best raw logit first; shorter rows end in id -1.

    history: the ids before the answer's first record and its own, so that penalties see what they saw. seed: the
    answer's. vocabulary: how many ids the model has. prompt: how many of history's first ids are the prompt's.
    breakers: the ids that DRY does not look across. written_with: the settings that wrote it, where they are known.
    """

    def __init__(
        self,
        records: Sequence[TokenRecord],
        history: Sequence[int],
        seed: int,
        vocabulary: int,
        prompt: int,
        breakers: frozenset[int] = frozenset(),
        written_with: SamplingParams | None = None,
    ) -> None:
        widest = max((len(r.candidate_ids) for r in records), default=0)
        rows = len(records)
        self.ids = np.full((rows, widest), -1, np.int64)
        self.written_with = written_with
        self.ran = [frozenset(record.steps) for record in records]
        self.removed = np.full((rows, widest), -1, np.int8)  # which of FIRST removed it when it was written
        self.raw = np.full((rows, widest), NOTHING)
        for row, record in enumerate(records):
            n = len(record.candidate_ids)
            self.ids[row, :n], self.raw[row, :n] = record.candidate_ids, record.logits
            codes = [FIRST.index(step) if step in FIRST else -1 for step in record.steps]
            self.removed[row, :n] = np.array([*codes, -1], np.int8)[record.cut[:n]]
        self.written = np.array([r.id for r in records], np.int64)
        self.positions = [r.position for r in records]
        self.seed, self.vocabulary, self.prompt = seed, vocabulary, prompt
        self.history = np.asarray(history, np.int64)
        self.breakers = breakers
        self.kinds = len(np.unique(self.history))
        self.std = np.array([r.std for r in records])
        self.noise = np.zeros(self.raw.shape)
        self.tail_noise = np.full(rows, np.inf)
        for row, position in enumerate(self.positions):
            self.noise[row] = gumbel(seed, position, self.ids[row])
        self.luck = np.array([uniform(seed, position) for position in self.positions])
        self._bound_tails(np.array([r.lse for r in records]))
        self._found: dict[tuple[object, ...], npt.NDArray[Any]] = {}

    def _bound_tails(self, total: Reals) -> None:
        """How many ids are not stored, how high they can be, and the least and most mass they have."""
        stored = self.raw > NOTHING
        self.unseen = np.maximum(self.vocabulary - stored.sum(1), 0).astype(float)
        self.top = np.where(stored, self.raw, np.inf).min(1, initial=np.inf)
        with np.errstate(divide="ignore"):
            rest = -np.expm1(np.minimum(lse(self.raw) - total, 0))
            mass = total + np.log(np.maximum(rest, 0))
            most = np.minimum(np.maximum(mass, total + math.log(1e-7)), np.log(self.unseen) + self.top)
        # A rest below single precision's reach may as well be nothing as that much.
        self.high = np.where(self.unseen > 0, most, -np.inf)
        self.low = np.where((self.unseen > 0) & (rest > 1e-5), np.minimum(mass, most), -np.inf)

    def listen(self, rows: Sequence[int] | None = None) -> None:
        """Hear the tail's luck: the most noise that any id has which is not stored. 150,000 ids take 3 ms a token, so
        whoever is in a hurry leaves it, and has more tokens marked uncertain."""
        everyone = np.arange(self.vocabulary)
        for row in range(len(self.ids)) if rows is None else rows:
            noise = gumbel(self.seed, self.positions[row], everyone)
            noise[self.ids[row][self.ids[row] >= 0]] = -np.inf
            self.tail_noise[row] = noise.max() if len(noise) else -np.inf

    def counts(self, window: int, first: int) -> npt.NDArray[np.int64]:
        """How often each candidate [T, N] stands among the last `window` ids before its token, from id `first` on.

        first -1: how often it stands in the prompt.
        """
        key = ("counts", window, first)
        if key not in self._found:
            found = np.zeros(self.ids.shape, np.int64)
            highest = max(int(self.history.max(initial=0)), int(self.ids.max(initial=0)))
            seen = np.zeros(highest + 1, np.int64)
            left = right = max(first, 0)
            if first < 0:
                np.add.at(seen, self.history[: self.prompt], 1)
            for row, position in enumerate(self.positions):
                if first >= 0:
                    np.add.at(seen, self.history[right:position], 1)
                    right = max(right, position)
                    np.add.at(seen, self.history[left : max(left, position - window)], -1)
                    left = max(left, position - window)
                found[row] = np.where(self.ids[row] >= 0, seen[self.ids[row]], 0)
            self._found[key] = found
        return self._found[key]

    def matches(self, window: int, longest: int) -> npt.NDArray[np.int64]:
        """How long a repetition each candidate [T, N] would carry on; 0 where none."""
        key = ("dry", window, longest)
        if key not in self._found:
            found, strangers = np.zeros(self.ids.shape, np.int64), np.zeros(len(self.ids), np.int64)
            for row, position in enumerate(self.positions):
                lengths = repeats(self.history[max(0, position - window) : position], self.breakers, longest)
                for id, length in lengths.items():
                    here = self.ids[row] == id
                    found[row][here] = length
                    strangers[row] += not here.any()
            self._found[key], self._found["strangers", window, longest] = found, strangers
        return self._found[key]

    def strangers(self, window: int, longest: int) -> npt.NDArray[np.int64]:
        """How many ids that are no candidates would carry on a repetition [T]."""
        self.matches(window, longest)
        return self._found["strangers", window, longest]

    def completing(self, n: int) -> Mask:
        """Whether a candidate [T, N] would complete a run of n ids already there."""
        key = ("runs", n)
        if key not in self._found:
            found = np.zeros(self.ids.shape, bool)
            after: dict[tuple[int, ...], list[int]] = {}
            history, done = self.history.tolist(), n - 1
            for row, position in enumerate(self.positions):
                for end in range(done, position):
                    after.setdefault(tuple(history[end - n + 1 : end]), []).append(history[end])
                done = max(done, position)
                banned = after.get(tuple(history[position - n + 1 : position]), []) if position >= n else []
                if banned:
                    found[row] = np.isin(self.ids[row], banned)
            self._found[key] = found
        return self._found[key]


def lse(logits: Singles) -> Reals:
    """Log-sum-exp of each row; -inf where a row holds nothing."""
    best = logits.max(1, initial=-np.inf)
    safe = np.where(best > -np.inf, best, np.float32(0))
    with np.errstate(divide="ignore"):
        result: Reals = safe + np.log(np.exp(logits - safe[:, None]).sum(1, dtype=np.float64))
    return result
