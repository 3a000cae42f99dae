"""What a sampling step may know beside the logits and the ids so far: the moment in one answer at which it runs.

A moment never changes; `after` makes the next one from the token that was drawn. So an answer can be rewound, drafted
ahead or replayed by keeping moments, and steps with a memory (Mirostat, adaptive-p) stay pure functions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import Tensor

from engine.params import SamplingParams


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """seed and position: those of the draw to come. prompt: how many of the first ids in history are the prompt's.

    written: tokens of the answer so far. breakers: ids that DRY does not look across. ends: the ids that end an
    answer. source: ids of an encoder's text, int64 [S], or None. surprise_limit: Mirostat's mu in bits, None until its
    first token. favoured: adaptive-p's decayed sum of the probabilities of what was drawn, and of their weights.
    words: the ids of the banned words. barred: ids that must not come here. bias: ids and what is added to their
    logits. allowed: which ids a form lets through here, bool [V], or None. against: the logits after the negative
    prompt, float32 [V], or None.
    """

    seed: int = 0
    position: int = 0
    prompt: int = 0
    written: int = 0
    breakers: frozenset[int] = frozenset()
    ends: frozenset[int] = frozenset()
    source: Tensor | None = None
    surprise_limit: float | None = None
    favoured: tuple[float, float] | None = None
    words: tuple[tuple[int, ...], ...] = ()
    barred: frozenset[int] = frozenset()
    bias: tuple[tuple[int, float], ...] = ()
    allowed: Tensor | None = None
    against: Tensor | None = None

    def mu(self, params: SamplingParams) -> float:
        """Mirostat's limit on surprise, in bits; it begins at twice the target."""
        return 2 * params.mirostat_tau if self.surprise_limit is None else self.surprise_limit

    def sums(self, params: SamplingParams) -> tuple[float, float]:
        """Adaptive-p's sums; they begin as if the target had always been met, so that the first tokens are not bent."""
        if self.favoured is not None:
            return self.favoured
        weight = 1 / (1 - params.adaptive_decay)
        return params.adaptive_target * weight, weight

    def after(self, params: SamplingParams, p: float) -> Moment:
        """The moment of the next token, once one was drawn whose probability at the choosing step was p.

        Mirostat: mu -= eta (surprise - tau), the surprise in bits (Basu et al. 2021). Adaptive-p: both sums decay and
        take p and 1 (llama.cpp, pull request 17927).
        """
        changes: dict[str, object] = {}
        if params.mirostat != "off":
            surprise = -math.log2(max(p, 1e-30))
            changes["surprise_limit"] = self.mu(params) - params.mirostat_eta * (surprise - params.mirostat_tau)
        if params.adaptive_target > 0:
            total, weight = self.sums(params)
            changes["favoured"] = (p + params.adaptive_decay * total, 1 + params.adaptive_decay * weight)
        return replace(self, position=self.position + 1, written=self.written + 1, **changes)  # type: ignore[arg-type]


START = Moment()
