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
from engine.sampling.noise import ROUGHLY, gumbel, roughly, uniform
from engine.sampling.repetition import repeats_along

Reals = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

NOTHING = np.float32(-np.inf)

KEPT = 8
"""Answers that are kept, of about a megabyte for a thousand tokens."""


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
        self._found: dict[tuple[object, ...], Any] = {}

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
        """Hear the tail's luck: the most noise that any id has which is not stored. 150,000 ids take 0.6 ms a token, so
        whoever is in a hurry leaves it, and has more tokens marked uncertain."""
        everyone = np.arange(self.vocabulary)
        for row in range(len(self.ids)) if rows is None else rows:
            if not self.unseen[row]:
                self.tail_noise[row] = -np.inf
                continue
            luck = roughly(self.seed, self.positions[row], everyone)
            luck[self.ids[row][self.ids[row] >= 0]] = -1
            best = np.flatnonzero(luck >= luck.max() - ROUGHLY)
            self.tail_noise[row] = gumbel(self.seed, self.positions[row], best).max()

    def counts(self, window: int, first: int) -> Singles:
        """How often each candidate [T, N] stands among the last `window` ids before its token, from id `first` on.

        first -1: how often it stands in the prompt.
        """
        key = ("counts", window, first)
        if key not in self._found:
            found = np.zeros(self.ids.shape, np.float32)
            seen = self._table()
            left = right = max(first, 0)
            if first < 0:
                np.add.at(seen, self.history[: self.prompt], 1)
            for row, position in enumerate(self.positions):
                if first >= 0:
                    for id in self.history[right:position].tolist():
                        seen[id] += 1
                    right = max(right, position)
                    for id in self.history[left : max(left, position - window)].tolist():
                        seen[id] -= 1
                    left = max(left, position - window)
                seen.take(self.ids[row], mode="wrap", out=found[row])
            self._keep(key, found)
        counts: Singles = self._found[key]
        return counts

    def matches(self, window: int, longest: int) -> tuple[Singles, Ids]:
        """How long a repetition each candidate [T, N] would carry on, 0 where none; and how many ids that are no
        candidates would carry on one [T]."""
        key = ("dry", window, longest)
        if key not in self._found:
            found, strangers = np.zeros(self.ids.shape, np.float32), np.zeros(len(self.ids), np.int64)
            table = self._table()
            along = repeats_along(self.history.tolist(), self.positions, window, self.breakers, longest)
            for row, lengths in enumerate(along):
                if lengths:
                    table[list(lengths)] = list(lengths.values())
                    table.take(self.ids[row], mode="wrap", out=found[row])
                    table[list(lengths)] = 0
                    strangers[row] = len(lengths) - np.count_nonzero(found[row])
            self._keep(key, (found, strangers))
        return self._found[key]

    def _keep(self, key: tuple[object, ...], found: Any) -> None:
        """A slider that is moved asks for something else at every step, so no more than the last few are kept."""
        while len(self._found) >= KEPT:
            del self._found[next(iter(self._found))]
        self._found[key] = found

    def _table(self) -> Singles:
        """A number for every id that is there, 0 at first, and another at the end for the id -1 of no candidate."""
        return np.zeros(max(int(self.history.max(initial=0)), int(self.ids.max(initial=0))) + 2, np.float32)

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
            self._keep(key, found)
        return self._found[key]


def lse(logits: Singles) -> Reals:
    """Log-sum-exp of each row; -inf where a row holds nothing."""
    best = logits.max(1, initial=-np.inf)
    safe = np.where(best > -np.inf, best, np.float32(0))
    with np.errstate(divide="ignore"):
        result: Reals = safe + np.log(np.exp(logits - safe[:, None]).sum(1, dtype=np.float64))
    return result
