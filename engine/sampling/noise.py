"""Noise that is a pure function of (seed, position, token id): the same on every machine, whatever the thread count."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

GOLDEN = 0x9E3779B97F4A7C15
MASK = 2**64 - 1
STIR, SHAKE = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB

Words = npt.NDArray[np.uint64]

AT_ONCE = 16384
"""Ids whose noise is worked out together: few enough that their numbers stay in the processor's cache."""

ROUGHLY = 2.0**-22
"""The most by which the lower of two numbers may look like the higher."""


def gumbel(seed: int, position: int, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Standard Gumbel noise for each id, the same on every machine up to the last digit of log."""
    bits = _bits(_key(seed, position), ids)
    uniform = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    noise: npt.NDArray[np.float64] = -np.log(-np.log(uniform))
    return noise


def roughly(seed: int, position: int, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """The uniform numbers that the ids' noise is made of, each off by half of ROUGHLY at most: a tenth of the work."""
    result = np.empty(ids.shape, np.float32)
    key, z, room = _key(seed, position), np.empty(AT_ONCE, np.uint64), np.empty(AT_ONCE, np.uint64)
    for begin in range(0, len(ids), AT_ONCE):
        some = ids[begin : begin + AT_ONCE]
        bits = _bits(key, some, z[: len(some)], room[: len(some)])
        bits >>= np.uint64(33)
        result[begin : begin + AT_ONCE] = bits.view(np.int64)
    result *= np.float32(2.0**-31)
    return result


def uniform(seed: int, position: int) -> float:
    """One number in (0, 1) for a position, independent of its tokens' noise: the output that no id takes."""
    return ((_mix_one(_key(seed, position)) >> 11) + 0.5) * 2.0**-53


def _key(seed: int, position: int) -> int:
    return _mix_one(_mix_one((seed + GOLDEN) & MASK) ^ ((position + 1) * GOLDEN & MASK))


def _bits(key: int, ids: npt.NDArray[np.int64], z: Words | None = None, room: Words | None = None) -> Words:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014) over each id: every bit of it moves every bit.

    z, room: where the result is to be and where to work, each as long as ids.
    """
    z = np.multiply(ids.view(np.uint64), np.uint64(GOLDEN), out=z)
    z += np.uint64((key + GOLDEN) & MASK)
    for shift, factor in ((30, STIR), (27, SHAKE)):
        room = np.right_shift(z, np.uint64(shift), out=room)
        z ^= room
        z *= np.uint64(factor)
    z ^= np.right_shift(z, np.uint64(31), out=room)
    return z


def _mix_one(z: int) -> int:
    """The same of one number; Python's own are quicker than an array of one."""
    z = (z ^ z >> 30) * STIR & MASK
    z = (z ^ z >> 27) * SHAKE & MASK
    return z ^ z >> 31
