"""The sampling steps over stored candidates, with bounds for what is not stored.

Of every token the best candidates are stored with their raw logits, and of the rest of the vocabulary, the tail, its
mass. So each step, defined in engine/sampling for whole distributions, is computed here with bounds: who surely stays,
who may stay, and how much mass the tail has at least and at most. numpy only.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.params import FIRST, SamplingParams
from engine.sampling.plan import KNOBS, LAST
from engine.sampling.repetition import longest_match
from engine.sampling.stored import NOTHING, Ids, Mask, Reals, Singles, Stored, lse

UNIT = 1e-4
"""What epsilon and eta count in, as in engine/sampling/cutoffs.py."""

TOLERANCE = 2e-5
"""How near to a border the chain's single precision may fall either way, in nats or as a share."""


class Bounds:
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
        self.std: Reals | None = source.std[rows]
        self.slack = np.zeros(len(self.logits))

    def run(self, step: str) -> None:
        if step in LAST:  # they follow what was drawn before, which would have been other tokens
            self.uncertain[:] = True
        getattr(self, f"_{step}")()

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

    # --- what the steps share -----------------------------------------------------------------------------------------

    def _stored(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Stored values [T, N] in the order of the columns here."""
        mine = values[self.rows]
        if self.place is None:
            return mine[:, : self.logits.shape[1]]
        return np.take_along_axis(mine, self.place, 1)

    def _sort(self) -> None:
        """The best first again, once a step may have moved them."""
        if self.sorted:
            return
        order = np.argsort(-self.logits, axis=1, kind="stable")
        self.logits = np.take_along_axis(self.logits, order, 1)
        self.place = order if self.place is None else np.take_along_axis(self.place, order, 1)
        if self.doubt is not None:
            self.doubt = np.take_along_axis(self.doubt, order, 1)
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
        all_here = lse(self.logits)
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
            self.logits < np.minimum(least, best)[:, None].astype(np.float32),
            self.logits < np.minimum(most, best)[:, None].astype(np.float32),
        )
        self.high = np.where(self.top >= least, self.high, -np.inf)
        self.low = np.full_like(self.high, -np.inf)

    def _lose_tail(self) -> None:
        self.high = self.low = np.full_like(self.high, -np.inf)

    def _entropy(self) -> tuple[Reals, Reals]:
        """The least and the most that the entropy can be, in nats [T]."""
        low, high = self._bounds()
        total = ((low + high) / 2)[:, None].astype(np.float32)
        here = self.logits > NOTHING
        surprise = np.where(here, total - self.logits, 0)
        p = np.where(here, np.exp(-surprise), 0)
        seen = (p * surprise).sum(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            q = np.exp(np.minimum(self.high - total[:, 0], 0))
            rarest = np.maximum(total[:, 0] - self.top, 0)  # the least surprise of a tail token
            least = np.exp(self.low - total[:, 0]) * rarest
            most = np.where(q > 0, q * np.maximum(np.log(self.count) - np.log(q), rarest), 0)
        slack = (high - low) * (1 + seen)
        if self.doubt is not None:
            slack = slack + np.where(self.doubt, p * (1 + surprise), 0).sum(1)
        return seen + least - slack, seen + most + slack

    def _shift(self, logits: npt.NDArray[Any], others: npt.NDArray[np.int64], raised: Reals | None = None) -> None:
        """Take new logits; so many ids of the tail moved too [T]: down, or up to `raised` [T] at most."""
        if self.std is not None:
            with np.errstate(invalid="ignore"):
                moved = np.where(self.logits > NOTHING, logits - self.logits, 0)
            # The standard deviation is a norm: it moves by no more than what moved, as far as that is seen.
            self.slack = self.slack + np.sqrt((moved.astype(float) ** 2).sum(1) / self.source.vocabulary)
        self.logits, self.sorted = logits.astype(np.float32), False
        with np.errstate(divide="ignore", invalid="ignore"):
            few = np.log(others)
            gone = np.minimum(np.exp(few + self.top - self.low), 1)
            self.low = np.where(self.low > -np.inf, self.low + np.log1p(-gone), -np.inf)
        if raised is not None:
            tail = self.high > -np.inf
            self.high = np.where(tail, np.logaddexp(self.high, few + raised), -np.inf)
            self.top = np.where(tail, np.maximum(self.top, raised), self.top)

    # --- steps that follow from texts and files, which are not here: as they were when it was written --------------

    def _guidance(self) -> None:
        self.uncertain[:] = True

    def _logit_bias(self) -> None:
        self.uncertain[:] = True

    def _grammar(self) -> None:
        self._as_written("grammar")

    def _ends(self) -> None:
        self._as_written("ends")

    def _bans(self) -> None:
        self._as_written("bans")

    def _as_written(self, step: str) -> None:
        before = self.source.written_with
        same = before is not None and all(getattr(before, knob) == getattr(self.params, knob) for knob in KNOBS[step])
        self.uncertain |= np.array([not same or step not in ran for ran in self.source.ran[self.rows]], bool)
        self.low = np.full_like(self.low, -np.inf)
        self._cut(self._stored(self.source.removed) == FIRST.index(step))

    # --- steps that bend ----------------------------------------------------------------------------------------------

    def _temperature(self) -> None:
        T = self.params.temperature
        if T <= 0:
            return self._greedy()
        heat = np.full(len(self.logits), T)
        if self.params.dynamic_range > 0 and "dynamic_range" not in self.params.resting:
            low, high = max(0.0, T - self.params.dynamic_range), T + self.params.dynamic_range
            here = (self.logits > NOTHING).sum(1)
            count = np.where(self.high > -np.inf, here + self.count, here)
            shares = [np.where(count > 1, H / np.log(np.maximum(count, 2)), 1).clip(0, 1) for H in self._entropy()]
            least, most = ((low + (high - low) * share**self.params.dynamic_exponent).clip(1e-3) for share in shares)
            heat = (least + most) / 2
            self.uncertain |= most - least > 2e-3 * heat
        a = 1 / heat
        with np.errstate(invalid="ignore", divide="ignore"):
            # For each token exp(a l) against exp(l): by the highest logit one way, by Jensen's inequality the other.
            pressed, spread = self.top * (a - 1), (1 - a) * np.log(self.count)
            high = np.where(a >= 1, self.high + pressed, spread + a * self.high)
            low = np.where(a >= 1, spread + a * self.low, self.low + pressed)
        self.high = np.where(self.high > -np.inf, high, -np.inf)
        self.low = np.where(self.low > -np.inf, low, -np.inf)
        self.logits = self.logits * a[:, None].astype(np.float32)
        self.top = self.top * a
        if self.std is not None:
            self.std, self.slack = self.std * a, self.slack * a

    def _greedy(self) -> None:
        least, most = self._best()
        self.uncertain |= most > least  # who may be there would win
        ids = self._stored(self.source.ids)
        tied = self._sure() == least[:, None].astype(np.float32)
        first = np.where(tied, ids, np.iinfo(np.int64).max)
        self.doubt = None
        self._cut(first > first.min(1, initial=np.iinfo(np.int64).max)[:, None])
        self._lose_tail()

    def _smoothing(self) -> None:
        s, curve = self.params.smoothing, self.params.smoothing_curve
        k, c = (3 - curve) / 2, (curve - 1) / 2
        best = self._best()[1]

        def bend(logits: npt.NDArray[Any], best: npt.NDArray[Any]) -> npt.NDArray[Any]:
            d = np.maximum(logits - best, -1e6)
            return np.where(logits > -np.inf, best - s * d**2 * (k - c * d), -np.inf)

        reach = [self.top] if k >= 0 else [self.top, np.minimum(self.top, best + 2 * k / (3 * c))]
        self.logits = bend(self.logits, best[:, None].astype(np.float32)).astype(np.float32)
        self.sorted = self.sorted and k >= 0
        self.top = np.maximum.reduce([bend(top, best) for top in reach])
        with np.errstate(divide="ignore"):
            self.high = np.where(self.high > -np.inf, np.log(self.count) + self.top, -np.inf)
        self.low = np.full_like(self.high, -np.inf)
        self.std = None

    def _penalties(self) -> None:
        p = self.params
        first = self.source.prompt if p.penalty_scope == "answer" else 0
        counts = self._stored(self.source.counts(p.penalty_window, first))
        r, f, s = p.repetition_penalty, p.frequency_penalty, p.presence_penalty
        bent = np.where(self.logits > 0, self.logits / np.float32(r), self.logits * np.float32(r))
        bent = bent - counts * np.float32(f) - np.float32(s)
        raised = None
        if r < 1 or f < 0 or s < 0:
            raised = np.maximum(self.top / r, self.top * r) + max(0.0, -f) * p.penalty_window + max(0.0, -s)
        # Of the ids in the window, those that are no candidates.
        others = np.minimum(self.source.kinds, p.penalty_window) - (counts > 0).sum(1)
        self._shift(np.where(counts > 0, bent, self.logits), np.maximum(others, 0), raised)

    def _stay_in_prompt(self) -> None:
        r = self.params.stay_in_prompt
        inside = self._stored(self.source.counts(0, -1)) > 0
        bent = np.where(self.logits > 0, self.logits * np.float32(r), self.logits / np.float32(r))
        raised = np.maximum(self.top * r, self.top / r)
        self._shift(np.where(inside, bent, self.logits), np.full(len(inside), self.source.kinds), raised)

    def _dry(self) -> None:
        p = self.params
        if not p.dry_window:
            return
        length = self._stored(self.source.matches(p.dry_window, longest_match(p)))
        hit = length >= p.dry_allowed_length
        amount = p.dry_multiplier * p.dry_base ** (length[hit] - p.dry_allowed_length).astype(float)
        logits = self.logits.copy()
        logits[hit] -= amount
        others = self.source.strangers(p.dry_window, longest_match(p))[self.rows]
        self._shift(logits, others)

    def _no_repeat_ngram(self) -> None:
        banned = self._stored(self.source.completing(self.params.no_repeat_ngram))
        free = self.logits.max(1, initial=-np.inf)[:, None] == self.logits
        everyone = ~((self.logits > NOTHING) & ~banned).any(1)
        self.uncertain |= everyone & (self.high > -np.inf)
        banned = banned & ~(everyone[:, None] & free)  # the best is kept if all would go
        std = self.std
        if std is not None:  # each of them leaves its place to one fewer, near enough to the mean
            far = np.where(banned & (self.logits > NOTHING), self.logits - self.top[:, None] + 3 * std[:, None], 0)
            hidden = 2 * (3 * std) ** 2  # and for one or two that are not stored
            less = std**2 - ((far**2).sum(1) + hidden) / self.source.vocabulary
            self.slack = self.slack + std - np.sqrt(np.maximum(less, 0))
        self.low = np.full_like(self.low, -np.inf)
        self._cut(banned)
        self.std = std

    # --- steps that cut -----------------------------------------------------------------------------------------------

    def _top_n_sigma(self) -> None:
        least, most = self._best()
        n = self.params.top_n_sigma
        alone = self.high == -np.inf
        here = self.logits > NOTHING
        values = np.where(here, self.logits, 0)
        mean = values.sum(1) / here.sum(1)
        seen = np.sqrt((np.where(here, values - mean[:, None], 0) ** 2).sum(1) / here.sum(1))
        if self.doubt is not None:
            self.uncertain |= self.doubt.any(1)
        if self.std is None:
            self.uncertain |= ~alone
            low = high = seen
        else:
            low = np.where(alone, seen, np.maximum(self.std - self.slack, 0))
            high = np.where(alone, seen, self.std + self.slack)
        self._keep_above(least - n * high - 1e-4, most - n * low + 1e-4)

    def _top_k(self) -> None:
        self._sort()
        k, width = self.params.top_k, self.logits.shape[1]
        hidden = self.high > -np.inf
        if width > k:
            border = self.logits[:, k - 1 : k]  # equal logits stay or go together
            gone = self.logits < border
        else:
            gone = np.zeros_like(self.logits, bool)
        doubted = None
        if self.doubt is not None:  # a place taken by one who may be gone may go to the next
            taken = np.cumsum(~self.doubt & (self.logits > NOTHING), 1)
            gone, doubted = (taken > k) & gone, gone
        above = hidden[:, None] & (self.logits < self.top[:, None])
        if above.any():  # a tail token may stand before them
            doubted = above if doubted is None else doubted | above
        full = (self._sure() >= self.top[:, None]).sum(1) >= k
        self.high = np.where(full, -np.inf, self.high)
        self.low = np.full_like(self.low, -np.inf)
        self._cut(gone, doubted)

    def _top_p(self) -> None:
        self._sort()
        P = self.params.top_p
        least, most = self._bounds()
        weight = np.exp(self.logits - most[:, None].astype(np.float32))
        before = np.cumsum(weight, 1) - weight
        goal = P * np.exp(least - most)[:, None].astype(np.float32)
        unseen = np.where(self.logits < self.top[:, None], np.exp(self.high - most)[:, None], 0)
        surely_before = before
        if self.doubt is not None:
            solid = np.where(self.doubt, 0, weight)
            surely_before = np.cumsum(solid, 1) - solid
        gone = surely_before >= P + TOLERANCE
        doubted = before + unseen >= goal - TOLERANCE
        gone[:, 0] = False  # the best always stays
        if self.doubt is None:
            doubted[:, 0] &= unseen[:, 0] > 0
        self.high = np.where(np.exp(lse(self._sure()) - most) < P + TOLERANCE, self.high, -np.inf)
        self.low = np.full_like(self.low, -np.inf)
        self._cut(gone, doubted)

    def _min_p(self) -> None:
        floor = _log(self.params.min_p)
        least, most = self._best()
        self._keep_above(least + floor - TOLERANCE, most + floor + TOLERANCE)

    def _top_a(self) -> None:
        (least, most), (low, high) = self._best(), self._bounds()
        floor = _log(self.params.top_a)
        self._keep_above(2 * least - high + floor, 2 * most - low + floor)

    def _epsilon_cutoff(self) -> None:
        low, high = self._bounds()
        floor = _log(self.params.epsilon_cutoff) + _log(UNIT)
        self._keep_above(low + floor, high + floor)

    def _eta_cutoff(self) -> None:
        (low, high), (H_least, H_most) = self._bounds(), self._entropy()
        e = _log(self.params.eta_cutoff) + _log(UNIT)
        floors = np.minimum(e, e / 2 - H_most), np.minimum(e, e / 2 - H_least)
        self._keep_above(low + floors[0] - TOLERANCE, high + floors[1] + TOLERANCE)

    def _typical_p(self) -> None:
        (low, high), (H_least, H_most) = self._bounds(), self._entropy()
        # All that matters is the logit of the expected surprise: who is nearest to it stays.
        ends = (low - H_most, high), (high - H_least, low), (low - H_most, low), (high - H_least, high)
        kept = [self._nearest(centre, total) for centre, total in ends[: 2 if self.high.max() == -np.inf else 4]]
        every = np.logical_and.reduce([mask for mask, _ in kept])
        some = np.logical_or.reduce([mask for mask, _ in kept])
        border = np.maximum.reduce([reach for _, reach in kept])
        hidden = (self.high > -np.inf) & (self.top >= np.minimum(ends[0][0], ends[1][0]) - border)
        self.uncertain |= hidden & (self.top > ends[0][0])  # the tail reaches to the other side of the centre
        self.high = np.where(hidden, self.high, -np.inf)
        self.low = np.full_like(self.low, -np.inf)
        self._cut(~some, ~every)
        self.sorted = False  # the likeliest may be gone

    def _nearest(self, centre: Reals, total: Reals) -> tuple[Mask, Reals]:
        """Who is kept when the expected logit and the log-sum-exp are these [T], and the largest distance kept."""
        distance = np.abs(self.logits - centre[:, None].astype(np.float32))
        order = np.argsort(distance, axis=1, kind="stable")
        p = np.exp(np.take_along_axis(self.logits, order, 1) - total[:, None].astype(np.float32))
        last = np.minimum((np.cumsum(p, 1) < self.params.typical_p).sum(1), (self.logits > NOTHING).sum(1) - 1)
        rows = np.arange(len(distance))
        border = distance[rows, order[rows, last]]
        return distance <= border[:, None], np.asarray(border, float)

    def _tail_free(self) -> None:
        self._sort()
        high = self._bounds()[1]
        alone = self.high == -np.inf
        n = (self.logits > NOTHING).sum(1)
        p = np.exp(self.logits - high[:, None].astype(np.float32))
        bends = np.abs(np.diff(p, 2, axis=1))
        inside = np.arange(bends.shape[1]) < (n - 2)[:, None]
        bends = np.where(inside, bends, 0)
        # What the hidden rest can add: its probabilities fall from at most this to nothing.
        unseen = np.where(alone, 0, 4 * np.exp(np.minimum(self.top - high, 0)))
        flat = bends.sum(1) + unseen < 2e-6
        bends = np.where(flat[:, None] & inside, 1, bends)
        running, total = np.cumsum(bends, 1), bends.sum(1)
        z = self.params.tail_free
        few, many = (
            np.where(n < 3, n, 1 + ((running <= z * bound[:, None]) & inside).sum(1))
            for bound in (total * (1 - 1e-4), total * (1 + 1e-4) + unseen)
        )
        self.uncertain |= ~alone & (flat | (many >= n - 1) | (n < 3))
        if self.doubt is not None:
            self.uncertain |= self.doubt.any(1)
        self._lose_tail()
        rows = np.arange(len(n))
        borders = (self.logits[rows, np.maximum(kept - 1, 0)][:, None] for kept in (many, few))
        self._cut(*(self.logits < border for border in borders))

    def _xtc(self) -> None:
        happens = self.source.luck[self.rows] < self.params.xtc_probability
        low, high = self._bounds()
        floor = _log(self.params.xtc_threshold)
        surely, perhaps = (self.logits >= (bound + floor)[:, None].astype(np.float32) for bound in (high, low))
        surely &= self.logits > NOTHING
        perhaps &= self.logits > NOTHING
        doubted = (perhaps != surely).any(1) | ((self.high > -np.inf) & (self.top >= low + floor))
        if self.doubt is not None:
            doubted |= (self.doubt & perhaps).any(1)
        self.uncertain |= happens & doubted
        least = np.where(surely, self.logits, np.inf).min(1, initial=np.inf)
        self._cut(surely & (self.logits > least[:, None]) & happens[:, None])
        self.sorted = False  # the likeliest are gone

    # --- steps that remember: as they would be at the answer's beginning, and marked uncertain ----------------------

    def _mirostat(self) -> None:
        low, high = self._bounds()
        limit = 2 * self.params.mirostat_tau * math.log(2)
        self._keep_above(low - limit, high - limit)

    def _adaptive_p(self) -> None:
        low, high = self._bounds()
        d = np.abs(np.exp(self.logits - ((low + high) / 2)[:, None]) - self.params.adaptive_target) / 0.3
        bent = np.where(self.logits > NOTHING, 5 - 10 * d**2 / (1 + d), NOTHING)
        self._lose_tail()
        self.logits, self.sorted, self.std = bent.astype(np.float32), False, None


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf
