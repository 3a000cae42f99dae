"""What would have been drawn under other settings: the chain over stored candidates, for a whole answer at once.

The draw's noise is a function of (seed, position, id), so "the same draw" has a meaning under any setting. Where what
is not stored could beat the winner, the token is marked uncertain. numpy only: a pane derives a thousand tokens while a
slider moves, in the thread that moves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.messages import TokenRecord
from engine.params import SamplingParams
from engine.sampling.bounds import Bounds
from engine.sampling.plan import active
from engine.sampling.stored import Ids, Mask, Reals, Stored

AT_ONCE = 128
"""Tokens that are derived together: few enough that their numbers stay in the processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Derived:
    """For T tokens: chosen, the ids that would have come out [T]; changed, where that is another than was written;
    uncertain, where what is not stored could change the outcome. steps: those that ran."""

    chosen: Ids
    changed: Mask
    uncertain: Mask
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """One token after one step: the candidates' probabilities [N], 0 where cut, and which this step cut [N]."""

    step: str
    probabilities: Reals
    cut: Mask


class WhatIf:
    """One answer's records, ready to be derived again; the arguments are those of Stored."""

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
        self.stored = Stored(records, history, seed, vocabulary, prompt, breakers, written_with)

    def derive(self, params: SamplingParams) -> Derived:
        """Every token under these settings, each after the text that was really written before it."""
        steps = active(params)
        if not self.stored.ids.shape[1]:  # nothing was stored, so nothing can be said
            nobody = np.zeros(len(self.stored.written), bool)
            return Derived(self.stored.written, nobody, ~nobody, steps)
        drawn = []
        for begin in range(0, max(1, len(self.stored.written)), AT_ONCE):
            state = Bounds(self.stored, params, slice(begin, begin + AT_ONCE))
            for step in steps:
                state.run(step)
            drawn.append(state.draw())
        chosen, uncertain = (np.concatenate(parts) for parts in zip(*drawn))
        return Derived(chosen, chosen != self.stored.written, uncertain, steps)

    def stages(self, row: int, params: SamplingParams) -> tuple[list[Stage], Derived]:
        """One token, step by step: what every step left. The first stage, "", is the raw distribution."""
        state = Bounds(self.stored, params, slice(row, row + 1))
        stages = [Stage("", state.probabilities(), np.zeros(self.stored.ids.shape[1], bool))]
        steps = active(params)
        for step in steps:
            before = stages[-1].probabilities > 0
            state.run(step)
            now = state.probabilities()
            stages.append(Stage(step, now, before & (now == 0)))
        chosen, uncertain = state.draw()
        return stages, Derived(chosen, chosen != self.stored.written[row : row + 1], uncertain, steps)
