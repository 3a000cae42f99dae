"""Contrastive search: of the likeliest tokens, the one whose state is least like any state before it.

Each candidate is read to see its state, so a token costs as many more passes as there are candidates. It knows what
every model's `head` is given, and no family. Source: Su et al. 2022, A Contrastive Framework for Neural Text
Generation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

from engine.decoding.contexts import Context
from engine.decoding.targets import Target
from engine.models.base import Decoder, Seq2Seq
from engine.params import SamplingParams

CHUNK = 128
"""Rows read in one pass: all of them go through the head."""


class Contrast:
    """The states of one answer's context, unit vectors [T, C], as far as they were seen."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._states: list[Tensor] = []
        self._candidates: dict[int, Tensor] = {}

    @torch.inference_mode()
    def choose(
        self, context: Context, ids: Sequence[int], logits: Tensor, params: SamplingParams, check: Callable[[], None]
    ) -> int:
        """The token after ids, which the context has read and still has: argmax (1 - a) p - a max cosine.

        logits: float32 [V], those that the steps before left.
        """
        self._catch_up(context, ids, check)
        alive = int((logits > -torch.inf).sum())
        best = logits.softmax(-1).topk(min(params.contrast_candidates, alive))
        before = torch.cat(self._states)
        self._candidates = {}
        scores: list[float] = []
        for p, id in zip(best.values.tolist(), best.indices.tolist()):
            state = self._read(context, [id], check)
            context.truncate(len(ids))
            self._candidates[id] = state
            likeness = float((before @ state[0]).max())
            scores.append((1 - params.contrast) * p - params.contrast * likeness)
        return int(best.indices[scores.index(max(scores))])

    def _catch_up(self, context: Context, ids: Sequence[int], check: Callable[[], None]) -> None:
        """Have the states of all ids: the candidate's that was chosen, or those of a whole reading."""
        if self._ids == list(ids[:-1]) and ids[-1] in self._candidates:
            self._states.append(self._candidates[ids[-1]])
        elif self._ids != list(ids):
            context.truncate(0)
            self._states = [
                self._read(context, ids[start : start + CHUNK], check) for start in range(0, len(ids), CHUNK)
            ]
        self._ids = list(ids)

    def _read(self, context: Context, ids: Sequence[int], check: Callable[[], None]) -> Tensor:
        model = context.model.model if isinstance(context.model, Target) else context.model
        with _watching(model) as seen:
            context.feed(ids, check, last=False)
        return functional.normalize(seen[0].float(), dim=-1)


@contextmanager
def _watching(model: Decoder | Seq2Seq) -> Iterator[list[Tensor]]:
    """Meanwhile, the last states of every pass, [T, C]: behind the last norm, where the head begins with one."""
    seen: list[Tensor] = []
    inside = {module for block in model.blocks() for module in block.modules()}
    norms = [module for module in model.modules() if "Norm" in type(module).__name__ and module not in inside]
    plain = model.head

    def head(x: Tensor) -> Tensor:
        normed: list[Tensor] = []
        handles = [norm.register_forward_hook(lambda _, given, state: normed.append(state)) for norm in norms]
        try:
            return plain(x)
        finally:
            for handle in handles:
                handle.remove()
            seen.append((normed or [x])[0][0])

    vars(model)["head"] = head
    try:
        yield seen
    finally:
        del vars(model)["head"]
