"""Steps that bend the distribution without choosing whom it holds."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.params import SamplingParams


def temperature(logits: Tensor, history: Tensor, params: SamplingParams) -> Tensor:
    """l / T. At T = 0, its limit: the best token alone, the lowest id where several are equal. logits [B, V]."""
    if params.temperature > 0:
        return logits / params.temperature
    best = logits.argmax(dim=-1, keepdim=True)
    return torch.full_like(logits, -torch.inf).scatter(1, best, logits.gather(1, best))
