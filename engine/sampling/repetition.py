"""Where the end of a text repeats what it said before: the search behind DRY."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engine.params import SamplingParams

LONGEST_MATCH = 50
"""A repetition longer than this weighs as one of this length; text-generation-webui's cap."""

HIGHEST_EXPONENT = math.log(1e30)


def longest_match(params: SamplingParams) -> int:
    """How long a repetition is looked for, so that the penalty stays a number that single precision holds."""
    growth = math.log(max(params.dry_base, 1.001))
    return int(min(LONGEST_MATCH, params.dry_allowed_length + HIGHEST_EXPONENT / growth))


def repeats(past: npt.NDArray[np.int64], breakers: npt.NDArray[np.int64], longest: int) -> dict[int, int]:
    """For every id that followed the last id of past [T] before: how many ids up to the end match there, at most."""
    end = len(past) - 1
    if end < 1 or past[end] in breakers:
        return {}
    stops = np.isin(past, breakers) if breakers.size else np.zeros(len(past), bool)
    at = np.flatnonzero(past[:end] == past[end])  # where an earlier run that ends like this one ends
    length = np.ones(len(past), np.int64)
    alive = at
    for back in range(1, longest):
        if back > end or stops[end - back]:
            break
        alive = alive[alive >= back]
        alive = alive[past[alive - back] == past[end - back]]
        if not alive.size:
            break
        length[alive] += 1
    found: dict[int, int] = {}
    for x, count in zip(past[at + 1].tolist(), length[at].tolist()):
        found[x] = max(count, found.get(x, 0))
    return found
