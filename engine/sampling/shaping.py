"""Steps that bend the distribution without choosing whom it holds."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engine.params import SamplingParams
from engine.sampling.moment import START, Moment
from engine.sampling.search import entropy, shares


def temperature(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """l / T. At T = 0, its limit: the best token alone, the lowest id where several are equal. logits [B, V].

    With a dynamic range d, T is lo + (hi - lo) (H / ln n)^e, where lo and hi are T - d (at least 0) and T + d, H is
    the entropy and n the number of tokens still there: sure moments stay cool, open ones run warm. Source: llama.cpp,
    pull request 4972 (kalomaze).
    """
    if params.temperature <= 0:
        best = logits.argmax(dim=-1, keepdim=True)
        return torch.full_like(logits, -torch.inf).scatter(1, best, logits.gather(1, best))
    if params.dynamic_range <= 0 or "dynamic_range" in params.resting:
        return logits / params.temperature
    low, high = max(0.0, params.temperature - params.dynamic_range), params.temperature + params.dynamic_range
    values = logits.numpy()
    count = (values > -np.inf).sum(-1, keepdims=True)
    open_by = entropy(values, shares(values)[0]) / np.log(np.maximum(count, 2))
    share = np.where(count > 1, open_by, 1).clip(0, 1)
    heat = low + (high - low) * share**params.dynamic_exponent
    # As near to nought as single precision can divide by: there the best token takes all.
    return logits / torch.from_numpy(heat.clip(1e-3).astype(np.float32))


def smoothing(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """With d = l - l_max: l_max - k s d^2 + c s d^3, k = (3 - curve) / 2, c = (curve - 1) / 2, s the factor.

    It draws near tops together and pushes the rest away. logits [B, V]. Source: kalomaze and others,
    text-generation-webui, pull requests 5403 and 5551 (quadratic sampling with a curve).
    """
    best = logits.amax(dim=-1, keepdim=True)
    d = (logits - best).clamp(min=-1e6)  # of a cut token, to keep inf - inf away; it is put back below
    k, c = (3 - params.smoothing_curve) / 2, (params.smoothing_curve - 1) / 2
    bent = best - params.smoothing * d.square() * (k - c * d)
    return torch.where(logits > -torch.inf, bent, logits)
