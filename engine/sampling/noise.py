"""Noise that is a pure function of (seed, position, token id): the same on every machine, whatever the thread count."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

GOLDEN = 0x9E3779B97F4A7C15
MASK = 2**64 - 1


def gumbel(seed: int, position: int, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Standard Gumbel noise for each id, the same on every machine up to the last digit of log."""
    bits = _mix(np.uint64(_key(seed, position)) + (ids.astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN))
    uniform = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    noise: npt.NDArray[np.float64] = -np.log(-np.log(uniform))
    return noise


def uniform(seed: int, position: int) -> float:
    """One number in (0, 1) for a position, independent of its tokens' noise: the output that no id takes."""
    return ((_mix_one(_key(seed, position)) >> 11) + 0.5) * 2.0**-53


def _key(seed: int, position: int) -> int:
    return _mix_one(_mix_one((seed + GOLDEN) & MASK) ^ ((position + 1) * GOLDEN & MASK))


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014): every bit of the input moves every bit."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _mix_one(z: int) -> int:
    return int(_mix(np.array([z], dtype=np.uint64))[0])
