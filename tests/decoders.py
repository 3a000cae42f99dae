"""The equalities that every decoder family is held to, beside transformers' own class of it.

A tiny random checkpoint is written by transformers and read by the engine as any other; what is compared is fp32.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from checkpoints import loaded

from engine.decoding.cache import KVCache
from engine.models.base import Decoder

TOLERANCE = {"atol": 1e-4, "rtol": 0.0}


class Pair(NamedTuple):
    """A model here and the same in transformers, and the folder of both."""

    ours: Decoder
    theirs: Any
    folder: Path


class Everything:
    """A tap that keeps the weights of every layer."""

    def __init__(self) -> None:
        self.shown: list[torch.Tensor] = []

    def layer(self, name: str) -> Callable[[torch.Tensor], None]:
        return self.shown.append


def written(folder: Path, config: Any, attention: str = "eager") -> Pair:
    """A checkpoint of a transformers config with random weights, in folder; the model on both sides."""
    from transformers import AutoModelForCausalLM  # a test extra: absent from a plain installation

    torch.manual_seed(0)
    theirs = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    for name, weight in theirs.named_parameters():  # biases and norms begin as constants, which would hide them
        if weight.ndim == 1:
            torch.nn.init.normal_(weight, float("norm" in name or ".ln_" in name) * name.endswith("weight"), 0.3)
    theirs.save_pretrained(folder)
    return Pair(loaded(folder).model, theirs, folder)


def ids_of(model: Decoder, count: int, batch: int = 1) -> torch.Tensor:
    return torch.randint(0, model.config.vocabulary, (batch, count), generator=torch.Generator().manual_seed(count))


def in_chunks(model: Decoder, ids: torch.Tensor, size: int, tap: Everything | None = None) -> torch.Tensor:
    """All logits, the ids read through a cache in chunks of that size."""
    cache = KVCache.for_model(model, batch=len(ids))
    return torch.cat([model(part, cache, tap) for part in ids.split(size, 1)], 1)


def greedy(model: Decoder, prompt: torch.Tensor, count: int) -> list[int]:
    """The likeliest token after the prompt [1, T], and so on, count times."""
    cache, ids, rest = KVCache.for_model(model), [], prompt
    for _ in range(count):
        ids.append(int(model(rest, cache, last=True).argmax()))
        rest = torch.tensor([ids[-1:]])
    return ids


def greedy_of(theirs: Any, prompt: torch.Tensor, count: int) -> list[int]:
    """The same from transformers' model, through its cache."""
    ids, rest, cache = [], prompt, None
    for _ in range(count):
        out = theirs(rest, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        ids.append(int(out.logits[0, -1].argmax()))
        rest = torch.tensor([ids[-1:]])
    return ids
