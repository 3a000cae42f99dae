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
from engine.sampling.choosers import draw, probabilities, unusable
from engine.sampling.cutoffs import min_p, survivors, top_k, top_p, typical_p
from engine.sampling.penalties import penalties
from engine.sampling.shaping import temperature

__all__ = ["STEPS", "Trace", "active", "apply", "draw", "probabilities", "trace"]

Step = Callable[[Tensor, Tensor, SamplingParams], Tensor]

STEPS: dict[str, Step] = {
    "penalties": penalties,
    "top_k": top_k,
    "typical_p": typical_p,
    "top_p": top_p,
    "min_p": min_p,
    "temperature": temperature,
}
KNOBS = {"penalties": ("repetition_penalty", "frequency_penalty", "presence_penalty")}


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """What the chain did to one distribution.

    logits: final, float32 [V]. steps: those that ran, in order. cut: int8 [N], for each candidate asked about the
    index into steps of the step that removed it, -1 where it survived. survivors: how many were left after each step.
    mass: their share of the distribution before the first step.
    """

    logits: Tensor
    steps: tuple[str, ...]
    cut: Tensor
    survivors: tuple[int, ...]
    mass: tuple[float, ...]


def active(params: SamplingParams) -> tuple[str, ...]:
    """The steps that do anything, in order. Temperature 0 takes the best token, so no cutoff matters then."""
    off = {knob.name: knob.off for knob in params.table()}
    on = [step for step in params.order if any(getattr(params, name) != off[name] for name in KNOBS.get(step, (step,)))]
    return tuple(step for step in on if params.temperature > 0 or step in ("penalties", "temperature"))


def apply(logits: Tensor, history: Tensor, params: SamplingParams) -> Tensor:
    """Run the active steps on logits float32 [B, V] with history int64 [B, T]; gives the final logits [B, V]."""
    _, left, ids = [("", logits, None), *_walk(logits, history, params)][-1]
    return _spread(left, ids, logits)


def trace(logits: Tensor, history: Tensor, params: SamplingParams, candidate_ids: Tensor) -> Trace:
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
    for name, left, ids in _walk(row, history.view(1, -1), params):
        kept = survivors(left[0]) if ids is None else ids
        # They ascend, so each candidate is where it would be inserted or nowhere.
        place = torch.searchsorted(kept, candidate_ids).clamp_(max=kept.numel() - 1)
        stays = kept[place] == candidate_ids
        cut[~stays & (cut < 0)] = len(steps)
        steps.append(name)
        counts.append(kept.numel())
        mass.append(float((logits[kept] - total).exp().sum()))
    return Trace(_spread(left, ids, row)[0], tuple(steps), cut, tuple(counts), tuple(mass))


def _walk(logits: Tensor, history: Tensor, params: SamplingParams) -> Iterator[tuple[str, Tensor, Tensor | None]]:
    """After each active step: its name, the logits, and the ids of the columns left (None: the whole vocabulary).

    Where ids are given, no column is cut.
    """
    if not bool(logits.amax().isfinite()):
        raise unusable()
    whole = logits
    ids: Tensor | None = None
    for name in active(params):
        if name == "penalties":  # history speaks of the whole vocabulary
            logits, ids = _spread(logits, ids, whole), None
        logits = STEPS[name](logits, history, params)
        if logits.shape[0] == 1 and name != "penalties":
            kept = survivors(logits[0])
            if ids is not None or kept.numel() <= logits.shape[1] // 2:  # worth going on with these alone
                logits, ids = logits[:, kept], kept if ids is None else ids[kept]
        yield name, logits, ids


def _spread(logits: Tensor, ids: Tensor | None, like: Tensor) -> Tensor:
    """Columns back to their places in the whole vocabulary, -inf elsewhere."""
    if ids is None:
        return logits
    return torch.full_like(like, -torch.inf).index_copy_(1, ids, logits)
