"""Cutoffs: steps that take candidates out by setting their logit to -inf.

Each keeps at least the one token it likes best, and keeps or cuts equal logits together, so the outcome does not
depend on how a sort breaks ties. None sorts the vocabulary: they look at the top few hundred and widen if needed.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.params import SamplingParams

FIRST_LOOK = 256
BLOCK = 256


def top_k(logits: Tensor, history: Tensor, params: SamplingParams) -> Tensor:
    """Keep the k largest logits [B, V]. Source: Fan, Lewis and Dauphin 2018."""
    if params.top_k >= logits.shape[-1]:
        return logits
    return _keep_from(logits, largest(logits, params.top_k)[:, -1:])


def top_p(logits: Tensor, history: Tensor, params: SamplingParams) -> Tensor:
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


def min_p(logits: Tensor, history: Tensor, params: SamplingParams) -> Tensor:
    """Keep p >= m p_max, that is l >= l_max + ln m. logits [B, V]. Source: Nguyen et al. 2024."""
    floor = math.log(params.min_p) if params.min_p > 0 else -math.inf
    return _keep_from(logits, logits.amax(dim=-1, keepdim=True) + floor)


def typical_p(logits: Tensor, history: Tensor, params: SamplingParams) -> Tensor:
    """Order by | -ln p - H |, H the entropy, and keep the smallest prefix with sum p >= P. logits [B, V].

    It may cut the likeliest token. Source: Meister et al. 2023, Locally Typical Sampling.
    """
    surprise = logits.logsumexp(dim=-1, keepdim=True) - logits
    p = (-surprise).exp()
    # Where p is 0 the surprise is infinite, and so is the distance; the token adds nothing to the entropy.
    distance = (surprise - torch.special.entr(p).sum(dim=-1, keepdim=True)).abs()
    count = FIRST_LOOK
    while True:
        nearest = distance.topk(min(count, distance.shape[-1]), dim=-1, largest=False)
        mass = p.gather(-1, nearest.indices).cumsum(dim=-1)
        if mass.shape[-1] == logits.shape[-1] or bool((mass[:, -1] >= params.typical_p).all()):
            break
        count *= 8
    last = (mass < params.typical_p).sum(dim=-1, keepdim=True).clamp_(max=mass.shape[-1] - 1)
    return logits.masked_fill(distance > nearest.values.gather(-1, last), -torch.inf)


def largest(logits: Tensor, count: int) -> Tensor:
    """The values of the count largest logits, descending: [B, min(count, V)].

    Large vocabularies are searched in blocks: the largest values all lie in the blocks with the largest maxima.
    """
    size = logits.shape[-1]
    blocks = size // BLOCK
    if count * 4 > blocks:
        return logits.topk(min(count, size), dim=-1).values
    head = logits[:, : blocks * BLOCK].unflatten(-1, (blocks, BLOCK))
    chosen = head.amax(dim=-1).topk(count, dim=-1, sorted=False).indices
    rows = head.gather(1, chosen.unsqueeze(-1).expand(-1, -1, BLOCK)).flatten(1)
    return torch.cat([rows, logits[:, blocks * BLOCK :]], dim=-1).topk(count, dim=-1).values


def _keep_from(logits: Tensor, lowest: Tensor) -> Tensor:
    return logits.masked_fill(logits < lowest, -torch.inf)
