"""Cutoffs: steps that take candidates out by setting their logit to -inf.

Each keeps at least the one token it likes best, and keeps or cuts equal logits together, so the outcome does not
depend on how a sort breaks ties. None sorts the vocabulary: they look at the top few hundred and widen if needed.
"""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from engine.params import SamplingParams
from engine.sampling.moment import START, Moment
from engine.sampling.noise import uniform
from engine.sampling.search import Singles, best_places, deviation, entropy, keep_where, largest, shares

FIRST_LOOK = 256

UNIT = 1e-4
"""What epsilon and eta count in, as text-generation-webui does."""


LEAST = np.finfo(np.float32).min
"""What is lower was cut."""


def top_k(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Keep the k largest logits [B, V]. Source: Fan, Lewis and Dauphin 2018."""
    if params.top_k >= logits.shape[-1]:
        return logits
    values = logits.numpy()
    return keep_where(logits, values >= largest(values, params.top_k)[:, -1:])


def top_p(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Keep the shortest prefix, by descending p, with sum p >= P. logits [B, V]. Source: Holtzman et al. 2020."""
    values = logits.numpy()
    _, total = shares(values)
    count = FIRST_LOOK
    while True:
        best = largest(values, count)
        mass = np.exp(best - total).cumsum(-1)
        if best.shape[-1] == values.shape[-1] or (mass[:, -1] >= params.top_p).all():
            break
        count *= 8
    last = np.minimum((mass < params.top_p).sum(-1, keepdims=True), best.shape[-1] - 1)
    return keep_where(logits, values >= best[np.arange(len(best))[:, None], last])


def min_p(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Keep p >= m p_max, that is l >= l_max + ln m. logits [B, V]. Source: Nguyen et al. 2024."""
    values = logits.numpy()
    return keep_where(logits, values >= values.max(-1, keepdims=True) + _log(params.min_p))


def typical_p(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Order by | -ln p - H |, H the entropy, and keep the smallest prefix with sum p >= P. logits [B, V].

    It may cut the likeliest token. Source: Meister et al. 2023, Locally Typical Sampling.
    """
    values = logits.numpy()
    p, total = shares(values)
    distance = values - (total - entropy(values, p))
    np.abs(distance, out=distance)
    border = [_typical_border(*row, params.typical_p) for row in zip(distance, p)]
    return keep_where(logits, distance <= np.array(border)[:, None])


def top_n_sigma(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Keep l >= l_max - n std(l), the standard deviation over what is not cut yet. logits [B, V].

    It speaks of the whole vocabulary, so it belongs before other cutoffs. Source: Tang et al. 2024, Top-n-sigma.
    """
    if params.top_n_sigma <= 0:
        return logits
    values = logits.numpy()
    lowest = [row.max() - params.top_n_sigma * deviation(row) for row in values]
    return keep_where(logits, values >= np.array(lowest)[:, None])


def top_a(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Drop p < a p_max^2. logits [B, V]. Source: BlinkDL, RWKV-LM, "top-a"; as koboldcpp has it."""
    values = logits.numpy()
    best, (_, total) = values.max(-1, keepdims=True), shares(values)
    return keep_where(logits, values >= np.minimum(best, 2 * best - total + _log(params.top_a)))


def epsilon_cutoff(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Drop p < e, e given in units of 0.0001. logits [B, V]. Source: Hewitt, Manning and Liang 2022, section 4.1."""
    values = logits.numpy()
    best, (_, total) = values.max(-1, keepdims=True), shares(values)
    return keep_where(logits, values >= np.minimum(best, total + (_log(params.epsilon_cutoff) + _log(UNIT))))


def eta_cutoff(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Drop p < min(e, sqrt(e) exp(-H)), e in units of 0.0001, H the entropy. logits [B, V].

    Source: Hewitt, Manning and Liang 2022, Truncation Sampling as Language Model Desmoothing.
    """
    if params.eta_cutoff <= 0:
        return logits
    values = logits.numpy()
    best, (p, total) = values.max(-1, keepdims=True), shares(values)
    log_e = _log(params.eta_cutoff) + _log(UNIT)
    floor = np.minimum(log_e, log_e / 2 - entropy(values, p))
    return keep_where(logits, values >= np.minimum(best, total + floor))


def tail_free(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Cut where the sorted probabilities have become flat: of the absolute second differences, normalised, keep the
    tokens before their running sum exceeds z. logits [B, V].

    The last second difference belongs to the last token but two; where all are near 0 they count alike (koboldcpp).
    Its formula is about the whole sorted list, so what is left at this point is sorted: place it after a cutoff.
    Source: Phénix and Egan 2019, Tail Free Sampling.
    """
    if params.tail_free >= 1:
        return logits
    values, lowest = logits.numpy(), []
    for row in values:
        there = np.sort(row[row > -np.inf])
        best, p = there[::-1], shares(there[None])[0][0, ::-1]
        bends = np.abs(np.diff(p, 2))
        total = bends.sum()
        share = bends / total if total > 1e-6 else np.full_like(bends, 1 / max(bends.size, 1))
        few = best.size < 3
        lowest.append(best[-1] if few else best[int((share.cumsum() <= params.tail_free).sum())])
    return keep_where(logits, values >= np.array(lowest)[:, None])


def xtc(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """With probability q: of the tokens with p >= t, if two or more, drop all but the least likely. logits [B, V].

    Whether it happens is a function of the seed and the position. Source: p-e-w, text-generation-webui, pull request
    6335 ("Exclude Top Choices").
    """
    if uniform(moment.seed, moment.position) >= params.xtc_probability:
        return logits
    result = logits.clone()
    values = result.numpy()
    _, total = shares(values)
    for row, floor in zip(values, total[:, 0] + _log(params.xtc_threshold)):
        top = np.flatnonzero(row >= max(floor, LEAST))
        row[top[row[top] > row[top].min(initial=np.inf)]] = -np.inf
    return result


def _typical_border(distance: Singles, p: Singles, mass: float) -> np.float32:
    """The largest distance that is kept, of one row [V]."""
    count = FIRST_LOOK
    while True:
        near = best_places(-distance, count)
        near = near[np.argsort(distance[near], kind="stable")]
        total = p[near].cumsum()
        if len(near) == len(distance) or total[-1] >= mass:
            break
        count *= 8
    return np.float32(distance[near[min(int((total < mass).sum()), len(near) - 1)]])


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf
