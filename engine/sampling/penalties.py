"""Penalties: what was written lately becomes less likely. They look at ids only, at no text."""

from __future__ import annotations

from torch import Tensor
from torch import where as choose

from engine.params import SamplingParams


def penalties(logits: Tensor, history: Tensor, params: SamplingParams) -> Tensor:
    """Repetition, frequency and presence penalty over the last penalty_window ids.

    logits float32 [B, V], history int64 [B, T] (prompt and answer). For an id that occurs n > 0 times, with r, f and
    s the three penalties: l > 0 ? l / r : l * r, then l - n f - s. Sources: Keskar et al. 2019 (CTRL) section 4.1 for
    r; OpenAI's API reference for f and s; llama.cpp llama-sampler.cpp for their order.
    """
    recent = history[:, -params.penalty_window :]
    if not recent.shape[1]:
        return logits
    counts = logits.new_zeros(logits.shape).scatter_add_(1, recent, logits.new_ones(recent.shape)).gather(1, recent)
    values = logits.gather(1, recent)
    values = choose(values > 0, values / params.repetition_penalty, values * params.repetition_penalty)
    values = values - counts * params.frequency_penalty - params.presence_penalty
    return logits.scatter(1, recent, values)
