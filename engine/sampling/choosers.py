"""The draw: from the logits that the steps left to one token.

It is argmax(l + g) with Gumbel noise g (Gumbel 1954; Maddison et al. 2014), which draws from softmax(l). The noise is
a pure function of (seed, position, token id), so the same seed and logits give the same token whatever the thread
count, and the same draw under other settings has a meaning: a token keeps its luck.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

from engine.errors import EngineError
from engine.sampling.cutoffs import survivors

GOLDEN = 0x9E3779B97F4A7C15
MASK = 2**64 - 1


def draw(logits: Tensor, seed: int, position: int) -> int:
    """One id from the final logits [V]; position is the index in the context of the token to come."""
    ids = survivors(logits)
    if not ids.numel():
        raise unusable()
    values = logits[ids].double().cpu().numpy()
    names = ids.cpu().numpy()
    return int(names[np.argmax(values + gumbel(seed, position, names))])


def unusable() -> EngineError:
    """The error for logits that are not numbers, or all cut."""
    return EngineError(
        "The model gave no usable number for the next token.",
        "Load it again with precision fp32, or download it again.",
    )


def probabilities(logits: Tensor) -> Tensor:
    """What the draw uses: softmax of the final logits [V], float32, 0 where cut."""
    return logits.float().softmax(dim=-1)


def gumbel(seed: int, position: int, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Standard Gumbel noise for each id, the same on every machine up to the last digit of log."""
    key = _mix_one(_mix_one((seed + GOLDEN) & MASK) ^ ((position + 1) * GOLDEN & MASK))
    bits = _mix(np.uint64(key) + (ids.astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN))
    uniform = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    noise: npt.NDArray[np.float64] = -np.log(-np.log(uniform))
    return noise


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014): every bit of the input moves every bit."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _mix_one(z: int) -> int:
    return int(_mix(np.array([z], dtype=np.uint64))[0])
