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

from engine.params import FIRST
from engine.sampling.candidates import TOLERANCE, Candidates, column, how_many, in_order, ranked
from engine.sampling.plan import KNOBS, LAST
from engine.sampling.repetition import longest_match
from engine.sampling.stored import NOTHING, Mask, Reals, Singles

UNIT = 1e-4
"""What epsilon and eta count in, as in engine/sampling/cutoffs.py."""


class Bounds(Candidates):
    """Candidates that a step can be run on by its name."""

    def run(self, step: str) -> None:
        if step in LAST:  # they follow what was drawn before, which would have been other tokens
            self.uncertain[:] = True
        getattr(self, f"_{step}")()

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
        self.sorted = False  # some of the best may be gone

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
        self.logits = self.logits * column(a)
        self.top = self.top * a
        if self.std is not None:
            self.std, self.slack = self.std * a, self.slack * a

    def _greedy(self) -> None:
        least, most = self._best()
        self.uncertain |= most > least  # who may be there would win
        ids = self._stored(self.source.ids)
        tied = self._sure() == column(least)
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
        self.logits = bend(self.logits, column(best)).astype(np.float32)
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
        there = counts > 0
        bent = np.where(self.logits > 0, self.logits / np.float32(r), self.logits * np.float32(r))
        if f or s:
            bent -= counts * np.float32(f) + np.float32(s)
        raised = None
        if r < 1 or f < 0 or s < 0:
            raised = np.maximum(self.top / r, self.top * r) + max(0.0, -f) * p.penalty_window + max(0.0, -s)
        # Of the ids in the window, those that are no candidates.
        others = np.minimum(self.source.kinds, p.penalty_window) - there.sum(1)
        self._shift(np.where(there, bent, self.logits), np.maximum(others, 0), raised)

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
        lengths, strangers = self.source.matches(p.dry_window, longest_match(p))
        length = self._stored(lengths)
        hit = length >= p.dry_allowed_length
        logits = self.logits.copy()
        logits[hit] -= p.dry_multiplier * p.dry_base ** (length[hit] - p.dry_allowed_length).astype(float)
        self._shift(logits, strangers[self.rows])

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
        self.std, self.sorted = std, False

    # --- steps that cut -----------------------------------------------------------------------------------------------

    def _top_n_sigma(self) -> None:
        least, most = self._best()
        n = self.params.top_n_sigma
        alone = self.high == -np.inf
        if self.doubt is not None:
            self.uncertain |= self.doubt.any(1)
        seen = self._deviation() if alone.any() else np.zeros(len(alone))
        if self.std is None:
            self.uncertain |= ~alone
            low = high = seen
        else:
            low = np.where(alone, seen, np.maximum(self.std - self.slack, 0))
            high = np.where(alone, seen, self.std + self.slack)
        self._keep_above(least - n * high - 1e-4, most - n * low + 1e-4)

    def _deviation(self) -> Reals:
        """Of those that are here [T]."""
        here = self.logits > NOTHING
        values, n = np.where(here, self.logits, np.float32(0)), here.sum(1)
        apart = np.where(here, values - column(values.sum(1) / n), np.float32(0))
        deviation: Reals = np.sqrt(np.vecdot(apart, apart) / n)
        return deviation

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
        weight = np.exp(self.logits - column(most))
        before = np.cumsum(weight, 1) - weight
        goal = column(P * np.exp(least - most))
        unseen = np.where(self.logits < column(self.top), column(np.exp(self.high - most)), np.float32(0))
        solid, surely_before = weight, before
        if self.doubt is not None:
            solid = np.where(self.doubt, np.float32(0), weight)
            surely_before = np.cumsum(solid, 1) - solid
        gone = surely_before >= P + TOLERANCE
        doubted = before + unseen >= goal - TOLERANCE
        gone[:, 0] = False  # the best always stays
        if self.doubt is None:
            doubted[:, 0] &= unseen[:, 0] > 0
        self.high = np.where(solid.sum(1) < P + TOLERANCE, self.high, -np.inf)
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
        self._sort()  # so that whole columns are empty behind whoever is kept, and are dropped
        (low, high), (H_least, H_most) = self._bounds(), self._entropy()
        # All that matters is the logit of the expected surprise: who is nearest to it stays. As that logit moves, who
        # is nearer than whom changes one way only, so its two ends say all.
        p = np.exp(self.logits - column(low))
        solid = p if self.doubt is None else np.where(self.doubt, np.float32(0), p)
        tail = np.exp(self.high - low)
        ends = [self._nearest(end, p, solid, tail, high - low) for end in (low - H_most, high - H_least)]
        some, every = ends[0][0] | ends[1][0], ends[0][1] & ends[1][1]
        nobody = np.asarray(~every.any(1))
        self.uncertain |= nobody
        hidden = ends[0][2] | ends[1][2]
        self.high = np.where(hidden, self.high, -np.inf)
        self.low = np.full_like(self.low, -np.inf)
        self._cut(~some, ~every & ~nobody[:, None])
        self.sorted = False  # the likeliest may be gone

    def _nearest(self, centre: Reals, p: Singles, solid: Singles, tail: Reals, slack: Reals) -> tuple[Mask, Mask, Mask]:
        """When the expected logit is this [T]: who may be kept, who surely is, and whether some of the tail may be.

        p: the most that each can have; solid: the same of those who are surely there; tail: the most that it has;
        slack: by how much, in nats, all that may be less.
        """
        distance, gap = np.abs(self.logits - column(centre)), centre - self.top
        order, rows = ranked(distance), np.arange(len(distance))
        last = how_many(self.logits > NOTHING) - 1
        nearer = in_order(p, order).cumsum(1)
        surely = nearer if solid is p else in_order(solid, order).cumsum(1)
        P = self.params.typical_p
        goal = P * np.exp(slack)
        far = np.minimum(how_many(surely < column(goal)), last)
        near = np.minimum(how_many(nearer < P), last)
        if tail.any():  # to whoever is farther than the tail, all of it counts as nearer
            ahead = how_many(distance < column(gap))
            behind = np.where(tail < P, np.minimum(how_many(nearer < column(P - tail)), last), -1)
            near = np.where(near < ahead, near, np.maximum(behind, ahead - 1))
        nearest = np.where(near < 0, -np.inf, distance[rows, order[rows, near]])
        farthest = distance[rows, order[rows, far]]
        hidden = (gap <= farthest) | (surely[:, -1] < goal)
        return distance <= column(farthest), distance <= column(nearest), hidden

    def _tail_free(self) -> None:
        self._sort()
        high = self._bounds()[1]
        alone = self.high == -np.inf
        n = (self.logits > NOTHING).sum(1)
        p = np.exp(self.logits - column(high))
        bends = np.abs(np.diff(p, 2, axis=1))
        inside = np.arange(bends.shape[1]) < (n - 2)[:, None]
        bends = np.where(inside, bends, np.float32(0))
        # What the hidden rest can add: its probabilities fall from at most this to nothing.
        unseen = np.where(alone, 0, 4 * np.exp(np.minimum(self.top - high, 0)))
        flat = bends.sum(1) + unseen < 2e-6
        if flat.any():
            bends = np.where(flat[:, None] & inside, np.float32(1), bends)
        running, total = np.cumsum(bends, 1), bends.sum(1)
        z = self.params.tail_free
        few, many = (
            np.where(n < 3, n, 1 + ((running <= column(z * bound)) & inside).sum(1))
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
        surely, perhaps = (self.logits >= column(bound + floor) for bound in (high, low))
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
        d = np.abs(np.exp(self.logits - column((low + high) / 2)) - self.params.adaptive_target) / 0.3
        bent = np.where(self.logits > NOTHING, 5 - 10 * d**2 / (1 + d), NOTHING)
        self._lose_tail()
        self.logits, self.sorted, self.std = bent, False, None


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf
