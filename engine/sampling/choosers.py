"""The draw: from the logits that the steps left to one token.

It is argmax(l + g) with Gumbel noise g (Gumbel 1954; Maddison et al. 2014), which draws from softmax(l). The noise is
a pure function of (seed, position, token id), so the same seed and logits give the same token whatever the thread
count, and the same draw under other settings has a meaning: a token keeps its luck.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from engine.errors import EngineError
from engine.sampling.cutoffs import survivors
from engine.sampling.noise import gumbel


def draw(logits: Tensor, seed: int, position: int) -> int:
    """One id from the final logits [V]; position is the index in the context of the token to come."""
    ids = survivors(logits)
    return among(ids, logits[ids], seed, position)


def among(ids: Tensor, logits: Tensor, seed: int, position: int) -> int:
    """The same where only those that were not cut are given: int64 [n] and float32 [n]."""
    if not ids.numel():
        raise unusable()
    names = ids.cpu().numpy()
    return int(names[np.argmax(logits.double().cpu().numpy() + gumbel(seed, position, names))])


def unusable() -> EngineError:
    """The error for logits that are not numbers, or all cut."""
    return EngineError(
        "The model gave no usable number for the next token.",
        "Load it again with precision fp32, or download it again.",
    )


def probabilities(logits: Tensor) -> Tensor:
    """What the draw uses: softmax of the final logits [V], float32, 0 where cut."""
    return logits.float().softmax(dim=-1)
