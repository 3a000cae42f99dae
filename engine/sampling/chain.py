"""The sampling chain: steps in the person's order, with a trace of who was removed where.

A step is a pure function (logits float32 [B, V], history int64 [B, T], params) -> logits, cutting with -inf. It knows
no model, so the chain can be run again on stored logits. A step at its neutral value does not run at all. All of it
happens on the CPU: a step asks small questions, each of which would wait for a GPU, and the record is made here anyway.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from engine.params import FIRST, SamplingParams
from engine.sampling import bans, cutoffs
from engine.sampling.choosers import among, draw, probabilities, unusable
from engine.sampling.moment import START, Moment
from engine.sampling.penalties import dry, no_repeat, penalties, stay
from engine.sampling.plan import LAST, active
from engine.sampling.search import survivors
from engine.sampling.shaping import smoothing, temperature
from engine.sampling.steering import adaptive_p, mirostat

__all__ = [
    "LAST",
    "START",
    "STEPS",
    "Moment",
    "Trace",
    "active",
    "advance",
    "among",
    "apply",
    "draw",
    "probabilities",
    "trace",
]

Step = Callable[[Tensor, Tensor, SamplingParams, Moment], Tensor]

STEPS: dict[str, Step] = {
    "guidance": bans.guidance,
    "grammar": bans.grammar,
    "ends": bans.ends,
    "bans": bans.bans,
    "logit_bias": bans.logit_bias,
    "penalties": penalties,
    "stay_in_prompt": stay,
    "dry": dry,
    "no_repeat_ngram": no_repeat,
    "top_n_sigma": cutoffs.top_n_sigma,
    "top_k": cutoffs.top_k,
    "typical_p": cutoffs.typical_p,
    "tail_free": cutoffs.tail_free,
    "top_a": cutoffs.top_a,
    "epsilon_cutoff": cutoffs.epsilon_cutoff,
    "eta_cutoff": cutoffs.eta_cutoff,
    "top_p": cutoffs.top_p,
    "min_p": cutoffs.min_p,
    "xtc": cutoffs.xtc,
    "smoothing": smoothing,
    "temperature": temperature,
    "mirostat": mirostat,
    "adaptive_p": adaptive_p,
}
WHOLE = frozenset({*FIRST, "penalties", "stay_in_prompt", "dry", "no_repeat_ngram", "mirostat"})
"""Steps that speak of ids or of the whole vocabulary, and so need every column in its place."""

BENDING = frozenset({"logit_bias", "penalties", "stay_in_prompt", "dry"})
"""Steps that cut nobody."""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """What the chain did to one distribution.

    raw: the logits that came in, float32 [V]. ids, left: who is left, ascending int64 [n], and their logits [n].
    entering: ids and logits likewise of what entered the last step, of which a memory is kept, or what is left too.
    steps: those that ran, in order. cut: int8 [N], for each candidate asked about the index into steps of the step that
    removed it, -1 where it survived. kept: the ids that were left after each step.
    """

    raw: Tensor
    ids: Tensor
    left: Tensor
    entering: tuple[Tensor, Tensor]
    steps: tuple[str, ...]
    cut: Tensor
    kept: tuple[Tensor, ...]

    @property
    def logits(self) -> Tensor:
        """The final logits, float32 [V], -inf where cut."""
        return _spread(self.left[None], self.ids, self.raw[None])[0]

    @property
    def survivors(self) -> tuple[int, ...]:
        """How many were left after each step."""
        return tuple(ids.numel() for ids in self.kept)

    @property
    def mass(self) -> tuple[float, ...]:
        """The share of those that were left after each step in the distribution before the first."""
        total = self.raw.logsumexp(dim=-1)
        return tuple(float((self.raw[ids] - total).exp().sum()) for ids in self.kept)

    def probabilities(self, ids: Tensor) -> Tensor:
        """What the draw gives to each of these ids, int64 [N] to float32 [N]."""
        place = torch.searchsorted(self.ids, ids).clamp_(max=self.ids.numel() - 1)
        return self.left.softmax(dim=-1)[place] * (self.ids[place] == ids)

    def about(self, ids: Tensor) -> Trace:
        """The same, but asked about these ids."""
        return replace(self, cut=_cut_at(self.kept, ids, self.raw.numel()))


def apply(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Run the active steps on logits float32 [B, V] with history int64 [B, T]; gives the final logits [B, V]."""
    moment = _here(moment)
    results = []
    for row, past in zip(logits.cpu().split(1), history.cpu().split(1), strict=True):
        *_, (_, left, ids, _) = _walk(row, past, params, moment)
        results.append(_spread(left, ids, row))
    return torch.cat(results).to(logits.device)


def trace(
    logits: Tensor, history: Tensor, params: SamplingParams, candidate_ids: Tensor, moment: Moment = START
) -> Trace:
    """The same for one distribution, with the record of what each step removed.

    logits float32 [V], history int64 [T], candidate_ids int64 [N].
    """
    row = logits.cpu().view(1, -1)
    steps: list[str] = []
    kept: list[Tensor] = []
    entering: tuple[Tensor, Tensor] | None = None
    walk = _walk(row, history.cpu().view(1, -1), params, _here(moment))
    _, left, ids, alive = next(walk)
    for name, left_now, ids_now, alive_now in walk:
        if name == "adaptive_p":
            entering = alive, _of(alive, left, ids)
        left, ids, alive = left_now, ids_now, alive_now
        steps.append(name)
        kept.append(alive)
    final = alive, _of(alive, left, ids)
    return Trace(
        row[0], *final, entering or final, tuple(steps), _cut_at(kept, candidate_ids, row.numel()), tuple(kept)
    )


def advance(moment: Moment, params: SamplingParams, result: Trace, token: int) -> Moment:
    """The moment after this token was drawn from what the chain left."""
    remembers = params.mirostat != "off" or params.adaptive_target > 0
    ids, logits = result.entering
    p = float((logits.log_softmax(dim=-1)[ids == token]).exp().sum()) if remembers else 0.0
    return moment.after(params, p)


def _walk(
    logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment
) -> Iterator[tuple[str, Tensor, Tensor | None, Tensor]]:
    """One row [1, V] before the first step, under no name, and after each active one: the step's name, the logits, the
    ids of the columns left (None: the whole vocabulary), and the ids that are not cut.

    It goes on with those that are left as soon as they are few; where ids are given, no column is cut.
    """
    if not math.isfinite(logits.numpy().max()):
        raise unusable()
    whole, alive = logits, survivors(logits[0])
    ids: Tensor | None = None
    yield "", logits, ids, alive
    for name in active(params):
        if name in WHOLE:
            logits, ids = _spread(logits, ids, whole), None
        logits = STEPS[name](logits, history, params, moment)
        if name not in BENDING:
            left = survivors(logits[0])
            if ids is None:
                alive = left
            elif len(left) < len(alive):
                alive = ids[left]
            if len(left) <= (logits.shape[1] // 2 if ids is None else logits.shape[1] - 1):
                logits, ids = logits.index_select(1, left), alive
        yield name, logits, ids, alive


def _cut_at(kept: Sequence[Tensor], ids: Tensor, before: int) -> Tensor:
    """For each of these ids the index of the step that it was gone after, -1 where it never was: int8 [N].

    before: how many there were at first.
    """
    asked = ids.cpu().numpy()
    cut = np.full(asked.shape, -1, np.int8)
    for index, there in enumerate(each.numpy() for each in kept):
        if len(there) != before:
            # They ascend, so each is where it would be inserted or nowhere.
            place = np.minimum(np.searchsorted(there, asked), len(there) - 1)
            cut[(there[place] != asked) & (cut < 0)] = index
        before = len(there)
    return torch.from_numpy(cut)


def _of(alive: Tensor, logits: Tensor, ids: Tensor | None) -> Tensor:
    """The logits [n] of those that are not cut, of a row [1, N] whose columns have these ids."""
    return logits[0] if ids is not None or len(alive) == logits.shape[1] else logits[0, alive]


def _spread(logits: Tensor, ids: Tensor | None, like: Tensor) -> Tensor:
    """Columns back to their places in the whole vocabulary, -inf elsewhere."""
    if ids is None:
        return logits
    return torch.full_like(like, -torch.inf).index_copy_(1, ids, logits)


def _here(moment: Moment) -> Moment:
    """The same moment with its tensors on the CPU."""
    there = {name: getattr(moment, name) for name in ("source", "allowed", "against")}
    moved = {name: each.cpu() for name, each in there.items() if each is not None and each.device.type != "cpu"}
    return replace(moment, **moved) if moved else moment
