"""Where the end of a text repeats what it said before: the search behind DRY."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

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


def repeats(past: npt.NDArray[np.int64], breakers: frozenset[int], longest: int) -> dict[int, int]:
    """For every id that followed the last id of past [T] before: how many ids up to the end match there, at most."""
    end = len(past) - 1
    if end < 1 or int(past[end]) in breakers:
        return {}
    at = np.flatnonzero(past[:end] == past[end])  # where an earlier run that ends like this one ends
    if not at.size:
        return {}
    length = np.ones(len(at), np.int64)
    alive = np.arange(len(at))
    for back in range(1, min(longest, end + 1)):
        if not alive.size or int(past[end - back]) in breakers:
            break
        alive = alive[at[alive] >= back]
        alive = alive[past[at[alive] - back] == past[end - back]]
        length[alive] += 1
    found: dict[int, int] = {}
    for x, count in zip(past[at + 1].tolist(), length.tolist()):
        found[x] = max(count, found.get(x, 0))
    return found


def repeats_along(
    text: Sequence[int], positions: Sequence[int], window: int, breakers: frozenset[int], longest: int
) -> Iterator[dict[int, int]]:
    """The same for many places in a text, ascending, each with the `window` ids before it as its past: as a run that
    goes on is one longer than it was a place before, each place takes little where all are asked for."""
    places: dict[int, list[int]] = {}
    runs: dict[int, int] = {}  # where an earlier run that ends like the text so far ends, and how long it is
    done, begin = 0, min(positions, default=0) - longest
    for position in positions:
        for end in range(done, position):
            there = places.setdefault(text[end], [])
            if end >= begin:
                same = () if text[end] in breakers else there
                runs = {at: min(runs.get(at - 1, 0) + 1, longest) for at in same}
            there.append(end)
        done, first = position, max(0, position - window)
        found: dict[int, int] = {}
        for at, length in runs.items():
            if at >= first:
                found[text[at + 1]] = max(min(length, at - first + 1), found.get(text[at + 1], 0))
        yield found


def tally(past: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The ids of past [T > 0], ascending, and how often each is there; half of what numpy's unique takes."""
    ordered = np.sort(past)
    after = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1  # where the next id begins
    edges = np.concatenate(([0], after, [len(past)]))
    return ordered[edges[:-1]], edges[1:] - edges[:-1]
