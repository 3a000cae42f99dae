"""The draw: from the logits that the steps left to one token.

It is argmax(l + g) with Gumbel noise g (Gumbel 1954; Maddison et al. 2014), which draws from softmax(l). The noise is
a pure function of (seed, position, token id), so the same seed and logits give the same token whatever the thread
count, and the same draw under other settings has a meaning: a token keeps its luck.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from torch import Tensor

from engine.errors import EngineError
from engine.sampling.noise import gumbel, roughly
from engine.sampling.search import survivors

MANY = 8192
"""From so many ids on, only the noise of those is worked out that may win."""

REACH = 16.0
"""How far the winner of the race is looked for at first: farther in one draw of nine million."""


def draw(logits: Tensor, seed: int, position: int) -> int:
    """One id from the final logits [V]; position is the index in the context of the token to come."""
    ids = survivors(logits)
    return among(ids, logits[ids], seed, position)


def among(ids: Tensor, logits: Tensor, seed: int, position: int) -> int:
    """The same where only those that were not cut are given: int64 [n], ascending, and float32 [n]."""
    if not ids.numel():
        raise unusable()
    names, left = ids.cpu().numpy(), logits.cpu()
    if len(names) >= MANY:
        near, least = _in_reach(names, left, seed, position)
        token, score = _best(names[near], left.numpy()[near], seed, position)
        if score > least:
            return token
    return _best(names, left.numpy(), seed, position)[0]


def _best(names: npt.NDArray[np.int64], left: npt.NDArray[np.float32], seed: int, position: int) -> tuple[int, float]:
    """Who wins among these, and the sum it wins with; nobody among none."""
    if not len(names):
        return -1, -math.inf
    scores = left.astype(np.float64) + gumbel(seed, position, names)
    best = np.argmax(scores)
    return int(names[best]), float(scores[best])


def _in_reach(
    names: npt.NDArray[np.int64], left: Tensor, seed: int, position: int
) -> tuple[npt.NDArray[np.int64], float]:
    """The places of those few who may have a sum above the number that is given with them.

    With u the uniform number behind a token's noise, -ln u / p is exponential with rate p, the least of them with rate
    1, and the least wins: the exponential race (Maddison 2016, A Poisson Process Model for Monte Carlo). Whose 1 - u is
    above REACH p is not among those below REACH, as 1 - u <= -ln u; and that much is known without a logarithm.
    """
    p = left.softmax(dim=-1).numpy()
    best = p.argmax()
    total = float(left[best]) - math.log(float(p[best]))
    p *= np.float32(REACH)
    p += roughly(seed, position, names)
    return np.flatnonzero(p >= np.float32(1 - 2.0**-20)), total - math.log(REACH) + 1e-3


def unusable() -> EngineError:
    """The error for logits that are not numbers, or all cut."""
    return EngineError(
        "The model gave no usable number for the next token.",
        "Load it again with precision fp32, or download it again.",
    )


def probabilities(logits: Tensor) -> Tensor:
    """What the draw uses: softmax of the final logits [V], float32, 0 where cut."""
    return logits.float().softmax(dim=-1)
