"""The sampling chain: steps in the person's order, with a trace of who was removed where.

A step is a pure function (logits float32 [B, V], history int64 [B, T], params) -> logits, cutting with -inf. It knows
no model, so the chain can be run again on stored logits. A step at its neutral value does not run at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.params import SamplingParams
from engine.sampling import cutoffs
from engine.sampling.choosers import draw, probabilities, unusable
from engine.sampling.cutoffs import survivors
from engine.sampling.moment import START, Moment
from engine.sampling.penalties import dry, no_repeat, penalties, stay
from engine.sampling.plan import LAST, active
from engine.sampling.shaping import smoothing, temperature
from engine.sampling.steering import adaptive_p, mirostat

__all__ = ["LAST", "START", "STEPS", "Moment", "Trace", "active", "advance", "apply", "draw", "probabilities", "trace"]

Step = Callable[[Tensor, Tensor, SamplingParams, Moment], Tensor]

STEPS: dict[str, Step] = {
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
WHOLE = frozenset({"penalties", "stay_in_prompt", "dry", "no_repeat_ngram", "mirostat"})
"""Steps that speak of ids or of the whole vocabulary, and so need every column in its place."""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """What the chain did to one distribution.

    logits: final, float32 [V]. entering: what entered the last step, of which a memory is kept, or final too. steps:
    those that ran, in order. cut: int8 [N], for each candidate asked about the
    index into steps of the step that removed it, -1 where it survived. survivors: how many were left after each step.
    mass: their share of the distribution before the first step.
    """

    logits: Tensor
    entering: Tensor
    steps: tuple[str, ...]
    cut: Tensor
    survivors: tuple[int, ...]
    mass: tuple[float, ...]


def apply(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Run the active steps on logits float32 [B, V] with history int64 [B, T]; gives the final logits [B, V]."""
    _, left, ids = [("", logits, None), *_walk(logits, history, params, moment)][-1]
    return _spread(left, ids, logits)


def trace(
    logits: Tensor, history: Tensor, params: SamplingParams, candidate_ids: Tensor, moment: Moment = START
) -> Trace:
    """The same for one distribution, with the record of what each step removed.

    logits float32 [V], history int64 [T], candidate_ids int64 [N].
    """
    row = logits.view(1, -1)
    left, ids = row, None
    total = logits.logsumexp(dim=-1)
    steps: list[str] = []
    counts: list[int] = []
    mass: list[float] = []
    cut = torch.full(candidate_ids.shape, -1, dtype=torch.int8, device=logits.device)
    entering: tuple[Tensor, Tensor | None] | None = None
    for name, left_now, ids_now in _walk(row, history.view(1, -1), params, moment):
        if name == "adaptive_p":
            entering = left, ids
        left, ids = left_now, ids_now
        kept = survivors(left[0]) if ids is None else ids
        # They ascend, so each candidate is where it would be inserted or nowhere.
        place = torch.searchsorted(kept, candidate_ids).clamp_(max=kept.numel() - 1)
        stays = kept[place] == candidate_ids
        cut[~stays & (cut < 0)] = len(steps)
        steps.append(name)
        counts.append(kept.numel())
        mass.append(float((logits[kept] - total).exp().sum()))
    final = _spread(left, ids, row)[0]
    before = _spread(*entering, row)[0] if entering else final
    return Trace(final, before, tuple(steps), cut, tuple(counts), tuple(mass))


def advance(moment: Moment, params: SamplingParams, result: Trace, token: int) -> Moment:
    """The moment after this token was drawn from what the chain left."""
    remembers = params.mirostat != "off" or params.adaptive_target > 0
    p = float((result.entering[token] - result.entering.logsumexp(dim=-1)).exp()) if remembers else 0.0
    return moment.after(params, p)


def _walk(
    logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment
) -> Iterator[tuple[str, Tensor, Tensor | None]]:
    """After each active step: its name, the logits, and the ids of the columns left (None: the whole vocabulary).

    Where ids are given, no column is cut.
    """
    if not bool(logits.amax().isfinite()):
        raise unusable()
    whole = logits
    ids: Tensor | None = None
    for name in active(params):
        if name in WHOLE:
            logits, ids = _spread(logits, ids, whole), None
        logits = STEPS[name](logits, history, params, moment)
        if logits.shape[0] == 1 and (name not in WHOLE or name == "mirostat"):
            kept = survivors(logits[0])
            if ids is not None or kept.numel() <= logits.shape[1] // 2:  # worth going on with these alone
                logits, ids = logits[:, kept], kept if ids is None else ids[kept]
        yield name, logits, ids


def _spread(logits: Tensor, ids: Tensor | None, like: Tensor) -> Tensor:
    """Columns back to their places in the whole vocabulary, -inf elsewhere."""
    if ids is None:
        return logits
    return torch.full_like(like, -torch.inf).index_copy_(1, ids, logits)
