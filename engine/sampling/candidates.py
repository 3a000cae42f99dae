"""What the sampling steps leave of stored candidates, with bounds for what is not stored.

It is asked how much there is at least and at most, who is best, how open it all is; and it is told who goes. It knows
no step. numpy only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.params import SamplingParams
from engine.sampling.stored import NOTHING, Ids, Mask, Reals, Singles, Stored, lse

TOLERANCE = 2e-5
"""How near to a border the chain's single precision may fall either way, in nats or as a share."""


class Candidates:
    """Between two steps: candidates [T, N] from the best down, with bounds for what is not known.

    logits: float32, -inf where surely gone. doubt: who is there only maybe, or None where nobody. low, high: logarithms
    of the least and the most mass that the tail has, on the scale of the logits; -inf where none. top: no tail token's
    logit is above it. count: tail tokens. std: the standard deviation of all logits and its slack, while it is known.
    """

    def __init__(self, source: Stored, params: SamplingParams, rows: slice) -> None:
        self.source, self.params, self.rows = source, params, rows
        self.logits = source.raw[rows].copy()
        self.place: Ids | None = None  # which stored candidate each column is; None: as stored
        self.sorted = True
        self.doubt: Mask | None = None
        self.uncertain = np.zeros(len(self.logits), bool)
        self.count = source.unseen[rows]
        self.top, self.low, self.high = source.top[rows], source.low[rows], source.high[rows]
        self.std: Reals | None = source.std[rows] if params.top_n_sigma > 0 else None  # the only one that asks
        self.slack = np.zeros(len(self.logits))
        self._summed: tuple[Singles, Reals] | None = None

    def draw(self) -> tuple[Ids, Mask]:
        """The ids that come out [T], and where that is uncertain."""
        scores = self.logits + self._stored(self.source.noise)
        rivals = np.full(len(scores), -np.inf)
        if self.doubt is not None:
            rivals = np.where(self.doubt, scores, -np.inf).max(1, initial=-np.inf)
            scores = np.where(self.doubt, -np.inf, scores)
        best = scores.argmax(1)
        winner = scores[np.arange(len(scores)), best]
        tail = np.where(self.high > -np.inf, self.top + self.source.tail_noise[self.rows], -np.inf)
        chosen = self._stored(self.source.ids)[np.arange(len(scores)), best]
        return chosen, self.uncertain | (np.maximum(rivals, tail) >= winner - TOLERANCE)

    def probabilities(self) -> Reals:
        """Of the first token's candidates as stored [N], the tail at the middle of its bounds; 0 where cut."""
        low, high = self._bounds()
        here = np.exp(self.logits[0] - (low[0] + high[0]) / 2)
        if self.doubt is not None:
            here = np.where(self.doubt[0], 0, here)
        result = np.zeros(self.source.raw.shape[1])
        result[np.arange(len(here)) if self.place is None else self.place[0]] = here
        return result

    def _stored(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Stored values [T, N] in the order of the columns here."""
        mine = values[self.rows]
        if self.place is None:
            return mine[:, : self.logits.shape[1]]
        return in_order(mine, self.place)

    def _sort(self) -> None:
        """The best first again, once a step may have moved them."""
        if self.sorted:
            return
        order = ranked(0 - self.logits)
        self.logits = in_order(self.logits, order)
        self.place = order if self.place is None else in_order(self.place, order)
        if self.doubt is not None:
            self.doubt = in_order(self.doubt, order)
        self.sorted = True

    def _cut(self, gone: Mask, doubted: Mask | None = None) -> None:
        """Take out who is surely gone, and note who may be. Columns that are empty everywhere are dropped."""
        self.logits = np.where(gone, NOTHING, self.logits)
        if doubted is not None and doubted.any():
            self.doubt = doubted if self.doubt is None else self.doubt | doubted
        self.std = None
        if self.sorted:
            width = int(np.flatnonzero((self.logits > NOTHING).any(0)).max(initial=0)) + 1
            if width < self.logits.shape[1]:
                self.logits = self.logits[:, :width]
                self.place = None if self.place is None else self.place[:, :width]
                self.doubt = None if self.doubt is None else self.doubt[:, :width]
        if self.doubt is not None:
            self.doubt = self.doubt & (self.logits > NOTHING)
            if not self.doubt.any():
                self.doubt = None

    def _sure(self) -> Singles:
        return self.logits if self.doubt is None else np.where(self.doubt, NOTHING, self.logits)

    def _bounds(self) -> tuple[Reals, Reals]:
        """The least and the most that the log-sum-exp of everyone can be [T]."""
        if self._summed is None or self._summed[0] is not self.logits:
            self._summed = self.logits, lse(self.logits)
        all_here = self._summed[1]
        surely = all_here if self.doubt is None else lse(self._sure())
        return np.logaddexp(surely, self.low) - TOLERANCE, np.logaddexp(all_here, self.high) + TOLERANCE

    def _best(self) -> tuple[Reals, Reals]:
        """The least and the most that the largest logit can be [T]."""
        most = self.logits.max(1, initial=-np.inf).astype(float)
        least = most if self.doubt is None else self._sure().max(1, initial=-np.inf).astype(float)
        return least, np.where(self.high > -np.inf, np.maximum(most, self.top), most)

    def _keep_above(self, least: Reals, most: Reals) -> None:
        """Keep what lies above a threshold [T] that lies between two bounds; the best always stays."""
        best = self.logits.max(1, initial=-np.inf)
        self._cut(
            self.logits < column(np.minimum(least, best)),
            self.logits < column(np.minimum(most, best)),
        )
        self.high = np.where(self.top >= least, self.high, -np.inf)
        self.low = np.full_like(self.high, -np.inf)

    def _lose_tail(self) -> None:
        self.high = self.low = np.full_like(self.high, -np.inf)

    def _entropy(self) -> tuple[Reals, Reals]:
        """The least and the most that the entropy can be, in nats [T]."""
        low, high = self._bounds()
        total = (low + high) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            surprise = np.minimum(column(total) - self.logits, np.float32(1000))  # a finite one where p is 0
            p = np.exp(-surprise)
            seen = np.vecdot(p, surprise)
            q = np.exp(np.minimum(self.high - total, 0))
            rarest = np.maximum(total - self.top, 0)  # the least surprise of a tail token
            least = np.exp(self.low - total) * rarest
            most = np.where(q > 0, q * np.maximum(np.log(self.count) - np.log(q), rarest), 0)
        slack = (high - low) * (1 + seen)
        if self.doubt is not None:
            slack = slack + np.where(self.doubt, p * (1 + surprise), np.float32(0)).sum(1)
        return seen + least - slack, seen + most + slack

    def _shift(self, logits: Singles, others: npt.NDArray[np.int64], raised: Reals | None = None) -> None:
        """Take new logits; so many ids of the tail moved too [T]: down, or up to `raised` [T] at most."""
        if self.std is not None:
            with np.errstate(invalid="ignore"):
                moved = np.where(self.logits > NOTHING, logits - self.logits, 0)
            # The standard deviation is a norm: it moves by no more than what moved, as far as that is seen.
            self.slack = self.slack + np.sqrt(np.vecdot(moved, moved) / self.source.vocabulary)
        self.logits, self.sorted = logits, False
        with np.errstate(divide="ignore", invalid="ignore"):
            few = np.log(others)
            gone = np.minimum(np.exp(few + self.top - self.low), 1)
            self.low = np.where(self.low > -np.inf, self.low + np.log1p(-gone), -np.inf)
        if raised is not None:
            tail = self.high > -np.inf
            self.high = np.where(tail, np.logaddexp(self.high, few + raised), -np.inf)
            self.top = np.where(tail, np.maximum(self.top, raised), self.top)


def column(values: Reals) -> Singles:
    """A value for each token [T] to stand beside its candidates: [T, 1]."""
    return values[:, None].astype(np.float32)


def how_many(mask: Mask) -> Ids:
    """Of each row [T, N]; numbers as short as these are added fastest."""
    return mask.sum(1, dtype=np.int16)


def ranked(values: Singles) -> Ids:
    """The order of each row [T, N] from the least up, equal ones as they stand; -0 is not allowed.

    Integers that order as the values do, with the column in their lower half, sort as fast as numpy sorts anything: a
    third to a fifth of what a stable argsort takes where the rows are not in runs.
    """
    bits = values.view(np.int32)
    keys = (bits ^ (bits >> 31 & 0x7FFFFFFF)).astype(np.int64) << 32 | np.arange(values.shape[1])
    keys.sort(axis=1)
    keys &= 0xFFFFFFFF
    return keys


def in_order(values: npt.NDArray[Any], order: Ids) -> npt.NDArray[Any]:
    """Values [T, N] each at its place in an order of them [T, n]; a third of what take_along_axis takes."""
    return values.take(order + np.arange(0, values.size, values.shape[1])[:, None], mode="clip")
