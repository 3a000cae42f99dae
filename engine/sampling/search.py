"""Looking through a vocabulary without sorting it: who is there, who is best, and what they add up to.

On the CPU, where the chain runs. What costs is how often 150,000 numbers are passed over: a comparison takes 0.01 ms, a
partition 0.15, an exponential of each 0.15, a sort 10.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Singles = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SAMPLED = 16
"""One in so many values is looked at first, since a partition of a whole vocabulary costs more than a comparison."""

SHORT = 1024
"""Rows up to this long are taken whole: there it is the calls that cost, not the numbers."""


def survivors(row: Tensor) -> Tensor:
    """The ids that are not cut, ascending, of one row [V]. NaN counts as cut."""
    alive = row.cpu().numpy() > -np.inf
    return everyone(len(alive)) if alive.all() else torch.from_numpy(np.flatnonzero(alive))


@functools.lru_cache(maxsize=4)
def everyone(count: int) -> Tensor:
    """All ids, int64 [count]; not to be written to."""
    return torch.arange(count)


def best_places(row: Singles, count: int) -> Ids:
    """Where the count largest of a row [V] are, and all that equal the last of them; ascending."""
    if not count or count >= len(row):
        return np.arange(len(row) if count else 0)
    places = _at_least(row, count)
    some = row[places]
    return places[some >= np.partition(some, len(some) - count)[len(some) - count]]


def largest(values: Singles, count: int) -> Singles:
    """The count largest values of each row, descending: [B, min(count, V)]."""
    count = min(count, values.shape[-1])
    some = [row if len(row) <= SHORT else row[_at_least(row, count)] for row in values]
    return np.stack([np.sort(row)[::-1][:count] for row in some])


def _at_least(row: Singles, count: int) -> Ids:
    """Places of a row [V], ascending, with the count largest among them and as few others as is quick to tell."""
    some = row[::SAMPLED]
    # A sample says about where the border is; if fewer than asked for lie above it, all are looked through.
    rank = 2 * count // SAMPLED + 16
    if rank < len(some):
        places = np.flatnonzero(row >= np.partition(some, len(some) - rank)[len(some) - rank])
        if len(places) >= count:
            return places
    return np.arange(len(row))


def shares(values: Singles) -> tuple[Singles, Singles]:
    """The probabilities [B, V] and the log-sum-exp [B, 1] of logits [B, V], from one exponential of each."""
    best = values.max(-1, keepdims=True)
    if values.shape[-1] <= SHORT:
        p = np.exp(values - best)
        total = p.sum(-1, keepdims=True)
        return p / total, best + np.log(total)
    p = torch.from_numpy(values).softmax(dim=-1).numpy()  # torch's exponentials take two thirds as long
    return p, best - np.log(p.max(-1, keepdims=True))


def entropy(values: Singles, p: Singles) -> Singles:
    """Nats, [B, 1], of logits [B, V] and their probabilities; right even where one token is all but certain."""
    behind = values.max(-1, keepdims=True) - values
    if p.min() == 0:
        behind[p == 0] = 0  # infinitely far times nothing is nothing here
    best = p.max(-1, keepdims=True)
    surprise = -np.log(best)
    if best.max() > 0.9:  # near 1 it says too little of what the others have
        rest = p.sum(-1, dtype=np.float64, keepdims=True) - best
        surprise = np.log1p(rest / best).astype(np.float32)
    return np.vecdot(p, behind)[:, None] + surprise


def keep_where(logits: Tensor, kept: Mask) -> Tensor:
    """A copy of logits [B, V] with -inf wherever kept [B, V] is not."""
    result = torch.full_like(logits, -torch.inf)
    np.copyto(result.numpy(), logits.numpy(), where=kept)
    return result


def deviation(row: Singles) -> np.float32:
    """The standard deviation of what is not cut of a row [V]."""
    mean = np.float32(torch.from_numpy(row).mean())  # half of numpy's time
    if mean == -np.inf:
        return deviation(row[row > -np.inf])
    apart = row - mean
    return np.sqrt(np.vecdot(apart, apart) / np.float32(len(row)))
