"""Cutoffs: steps that take candidates out by setting their logit to -inf.

Each keeps at least the one token it likes best, and keeps or cuts equal logits together, so the outcome does not
depend on how a sort breaks ties. None sorts the vocabulary: they look at the top few hundred and widen if needed.
On the CPU the searching is numpy's: over 150,000 values its partition takes 0.2 ms, torch.topk 0.5 to 3.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from engine.params import SamplingParams
from engine.sampling.moment import START, Moment
from engine.sampling.noise import uniform

FIRST_LOOK = 256

SPARSE = 8
"""Where fewer than one in so many is kept, those are copied: eight times as fast as choosing in every place."""

UNIT = 1e-4
"""What epsilon and eta count in, as text-generation-webui does."""


def top_k(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Keep the k largest logits [B, V]. Source: Fan, Lewis and Dauphin 2018."""
    if params.top_k >= logits.shape[-1]:
        return logits
    return _keep_from(logits, largest(logits, params.top_k)[:, -1:])


def top_p(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Keep the shortest prefix, by descending p, with sum p >= P. logits [B, V]. Source: Holtzman et al. 2020."""
    total = logits.logsumexp(dim=-1, keepdim=True)
    count = FIRST_LOOK
    while True:
        best = largest(logits, count)
        mass = (best - total).exp().cumsum(dim=-1)
        if best.shape[-1] == logits.shape[-1] or bool((mass[:, -1] >= params.top_p).all()):
            break
        count *= 8
    last = (mass < params.top_p).sum(dim=-1, keepdim=True).clamp_(max=best.shape[-1] - 1)
    return _keep_from(logits, best.gather(-1, last))


def min_p(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Keep p >= m p_max, that is l >= l_max + ln m. logits [B, V]. Source: Nguyen et al. 2024."""
    floor = _log(params.min_p)
    return _keep_from(logits, logits.amax(dim=-1, keepdim=True) + floor)


def typical_p(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Order by | -ln p - H |, H the entropy, and keep the smallest prefix with sum p >= P. logits [B, V].

    It may cut the likeliest token. Source: Meister et al. 2023, Locally Typical Sampling.
    """
    total = logits.logsumexp(dim=-1, keepdim=True)
    surprise = total - logits
    p = (-surprise).exp()
    distance = (surprise - _entropy(logits, total)).abs()
    border = torch.stack([_typical_border(d, q, params.typical_p) for d, q in zip(distance, p)])
    return _cut(logits, distance > border.unsqueeze(-1))


def top_n_sigma(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Keep l >= l_max - n std(l), the standard deviation over what is not cut yet. logits [B, V].

    It speaks of the whole vocabulary, so it belongs before other cutoffs. Source: Tang et al. 2024, Top-n-sigma.
    """
    if params.top_n_sigma <= 0:
        return logits
    if logits.device.type == "cpu":
        rows = [row[row > -np.inf] if row.min() == -np.inf else row for row in logits.numpy()]
        lowest = [row.max() - params.top_n_sigma * row.std() for row in rows]
        return _keep_from(logits, logits.new_tensor(lowest)[:, None])
    alive = logits > -torch.inf
    count = alive.sum(dim=-1, keepdim=True)
    values = torch.where(alive, logits, logits.new_zeros(()))
    mean = values.sum(dim=-1, keepdim=True) / count
    spread = torch.where(alive, values - mean, logits.new_zeros(()))
    std = (spread.square().sum(dim=-1, keepdim=True) / count).sqrt()
    return _keep_from(logits, logits.amax(dim=-1, keepdim=True) - params.top_n_sigma * std)


def top_a(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Drop p < a p_max^2. logits [B, V]. Source: BlinkDL, RWKV-LM, "top-a"; as koboldcpp has it."""
    best, total = logits.amax(dim=-1, keepdim=True), logits.logsumexp(dim=-1, keepdim=True)
    floor = _log(params.top_a)
    return _keep_from(logits, torch.minimum(best, 2 * best - total + floor))


def epsilon_cutoff(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Drop p < e, e given in units of 0.0001. logits [B, V]. Source: Hewitt, Manning and Liang 2022, section 4.1."""
    best, total = logits.amax(dim=-1, keepdim=True), logits.logsumexp(dim=-1, keepdim=True)
    floor = _log(params.epsilon_cutoff) + _log(UNIT)
    return _keep_from(logits, torch.minimum(best, total + floor))


def eta_cutoff(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Drop p < min(e, sqrt(e) exp(-H)), e in units of 0.0001, H the entropy. logits [B, V].

    Source: Hewitt, Manning and Liang 2022, Truncation Sampling as Language Model Desmoothing.
    """
    if params.eta_cutoff <= 0:
        return logits
    best, total = logits.amax(dim=-1, keepdim=True), logits.logsumexp(dim=-1, keepdim=True)
    log_e = _log(params.eta_cutoff) + _log(UNIT)
    floor = (log_e / 2 - _entropy(logits, total)).clamp(max=log_e)
    return _keep_from(logits, torch.minimum(best, total + floor))


def tail_free(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Cut where the sorted probabilities have become flat: of the absolute second differences, normalised, keep the
    tokens before their running sum exceeds z. logits [B, V].

    The last second difference belongs to the last token but two; where all are near 0 they count alike (koboldcpp).
    Its formula is about the whole sorted list, so what is left at this point is sorted: place it after a cutoff.
    Source: Phénix and Egan 2019, Tail Free Sampling.
    """
    if params.tail_free >= 1:
        return logits
    rows = []
    for row in logits:
        values = torch.sort(row[row > -torch.inf], descending=True).values
        p = values.softmax(dim=-1)
        if values.numel() < 3:
            rows.append(values[-1])
            continue
        bends = p.diff().diff().abs()
        total = bends.sum()
        share = bends / total if total > 1e-6 else torch.full_like(bends, 1 / bends.numel())
        rows.append(values[(share.cumsum(dim=-1) <= params.tail_free).sum()])
    return _keep_from(logits, torch.stack(rows).unsqueeze(-1))


def xtc(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """With probability q: of the tokens with p >= t, if two or more, drop all but the least likely. logits [B, V].

    Whether it happens is a function of the seed and the position. Source: p-e-w, text-generation-webui, pull request
    6335 ("Exclude Top Choices").
    """
    if uniform(moment.seed, moment.position) >= params.xtc_probability:
        return logits
    total = logits.logsumexp(dim=-1, keepdim=True)
    floor = _log(params.xtc_threshold)
    top = (logits >= total + floor) & (logits > -torch.inf)
    least = torch.where(top, logits, logits.new_tensor(torch.inf)).amin(dim=-1, keepdim=True)
    return _cut(logits, top & (logits > least))


def _entropy(logits: Tensor, total: Tensor) -> Tensor:
    """Nats, [B, 1], of rows [B, V] whose log-sum-exp is total [B, 1]."""
    surprise = total - logits
    # A cut token's surprise is infinite; with any finite one in its place it adds nothing, as its p is 0.
    return ((-surprise).exp() * surprise.clamp(max=1000)).sum(dim=-1, keepdim=True)


def _typical_border(distance: Tensor, p: Tensor, mass: float) -> Tensor:
    """The largest distance that is kept, of one row [V]."""
    count = FIRST_LOOK
    if len(distance) <= count:
        order = distance.sort()
        total = p[order.indices].cumsum(dim=-1)
        return order.values[(total < mass).sum().clamp_(max=len(distance) - 1)]
    while True:
        near = (distance <= -largest(-distance.unsqueeze(0), count)[0, -1]).nonzero().flatten()
        order = distance[near].sort()
        total = p[near][order.indices].cumsum(dim=-1)
        if near.numel() == distance.numel() or bool(total[-1] >= mass):
            break
        count *= 8
    return order.values[(total < mass).sum().clamp_(max=near.numel() - 1)]


def largest(values: Tensor, count: int) -> Tensor:
    """The count largest values of each row, descending: [B, min(count, V)]."""
    size = values.shape[-1]
    count = min(count, size)
    if values.device.type != "cpu":
        return values.topk(count, dim=-1).values
    top = np.partition(values.numpy(), size - count, axis=-1)[:, size - count :]
    top.sort(axis=-1)
    return torch.from_numpy(top[:, ::-1].copy())


def survivors(row: Tensor) -> Tensor:
    """The ids that are not cut, ascending, of one row [V]. NaN counts as cut."""
    if row.device.type != "cpu":
        return (row > -torch.inf).nonzero().flatten()
    alive = row.numpy() > -np.inf
    return _everyone(len(alive)) if alive.all() else torch.from_numpy(np.flatnonzero(alive))


@functools.lru_cache(maxsize=4)
def _everyone(count: int) -> Tensor:
    return torch.arange(count)


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf


def _keep_from(logits: Tensor, lowest: Tensor) -> Tensor:
    if logits.shape[0] == 1 and logits.device.type == "cpu":
        kept = np.flatnonzero(logits[0].numpy() >= lowest[0].numpy())
        if kept.size <= logits.shape[1] // SPARSE:
            ids = torch.from_numpy(kept)
            return torch.full_like(logits, -torch.inf).index_copy_(1, ids, logits[:, ids])
    return _cut(logits, logits < lowest)


def _cut(logits: Tensor, gone: Tensor) -> Tensor:
    return torch.where(gone, logits.new_tensor(-torch.inf), logits)  # three times as fast as masked_fill
