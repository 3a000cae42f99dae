"""Steps that steer by what was drawn before: Mirostat holds its surprise, adaptive-p its probability.

They come last, right before the draw, and read the moment's memory; `Moment.after` keeps it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from engine.params import SamplingParams
from engine.sampling.moment import START, Moment
from engine.sampling.search import keep_where, largest, shares

ZIPF_TOKENS = 100
"""How many of the likeliest tokens Mirostat's first version fits its slope on; the paper's m."""

WIDTH, PEAK, SHARPNESS = 0.3, 5.0, 10.0
"""Adaptive-p's constants, as its author tuned them."""


def mirostat(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Cut so that the surprise of what is drawn comes near the target tau. logits [B, V], in bits against mu.

    v2: drop every token with -log2 p > mu. v1: fit a Zipf slope s on the 100 likeliest, and keep the k likeliest, k =
    ((s - 1) 2^mu / (1 - N^(1 - s)))^(1 / s) with N the vocabulary. Source: Basu et al. 2021, Mirostat, algorithms 1, 2.
    """
    mu = moment.mu(params)
    values = logits.numpy()
    best, (_, total) = values.max(-1, keepdims=True), shares(values)
    if params.mirostat == "v2":
        lowest = total - mu * math.log(2)
    else:
        top = largest(values, min(ZIPF_TOKENS, int((values > -np.inf).sum(-1).min())))
        steps = np.arange(top.shape[-1] - 1, dtype=np.float64)
        t = np.log((steps + 2) / (steps + 1))
        b = (top[:, :-1] - top[:, 1:]).astype(np.float64)  # ln of neighbouring probabilities' ratio
        slope = (t * b).sum(-1) / max(np.square(t).sum(), 1e-12)
        keep = [_zipf_count(float(s), mu, values.shape[-1]) for s in slope]
        lowest = np.stack([largest(row[None], k)[0, -1:] for row, k in zip(values, keep)])
    return keep_where(logits, values >= np.minimum(best, lowest))


def adaptive_p(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Favour tokens whose probability is near a target: l' = 5 - 10 d^2 / (1 + d), d = |p - target'| / 0.3.

    target' = 2 target - the decayed mean of the probabilities drawn, within 0 and 1. logits [B, V]. Source: MrJackSpade
    and ddh0, llama.cpp, pull request 17927.
    """
    total, weight = moment.sums(params)
    target = min(1.0, max(0.0, 2 * params.adaptive_target - total / weight))
    d = (logits.softmax(dim=-1) - target).abs() / WIDTH
    bent = PEAK - SHARPNESS * d.square() / (1 + d)
    return torch.where(logits > -torch.inf, bent, logits)


def _zipf_count(slope: float, mu: float, vocabulary: int) -> int:
    """k of Mirostat's first version, at least 1 and at most the vocabulary."""
    epsilon = slope - 1
    if slope <= 0:
        return vocabulary
    # At a slope of exactly 1 the quotient's limit is 1 / ln N.
    share = epsilon / -math.expm1(-epsilon * math.log(vocabulary)) if abs(epsilon) > 1e-9 else 1 / math.log(vocabulary)
    exponent = (math.log(max(share, 1e-300)) + mu * math.log(2)) / slope
    return vocabulary if exponent > math.log(vocabulary) else max(1, int(math.exp(exponent)))
