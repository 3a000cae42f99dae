"""What a checkpoint's generation_config forbids or forces, as transformers applies it to greedy search and beams.

Only what changes a target by rule is here; how it is sampled is the sampling chain's business.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Rules:
    """first: the id that a target begins with; banned: ids, or sequences of them, that never appear.

    shortest: how many ids a target has before it may end, its first included. ngram: the length of the sequences that
    do not appear twice, 0 for none.
    """

    eos_ids: tuple[int, ...]
    first: int | None = None
    banned: tuple[tuple[int, ...], ...] = ()
    shortest: int = 0
    ngram: int = 0

    @classmethod
    def read(cls, generation: Mapping[str, Any], eos_ids: Collection[int]) -> Self:
        """Rules from a generation_config.json; what is not understood there counts as absent."""
        banned = generation.get("bad_words_ids")
        words = [tuple(word) for word in banned if isinstance(word, list) and word] if isinstance(banned, list) else []
        return cls(
            tuple(eos_ids),
            _whole(generation.get("forced_bos_token_id")),
            tuple(word for word in words if all(_whole(id) is not None for id in word)),
            _whole(generation.get("min_length")) or 0,
            _whole(generation.get("no_repeat_ngram_size")) or 0,
        )

    def __call__(self, ids: list[int], logits: Tensor) -> Tensor:
        """Logits [V] of what follows ids, the id that every target begins with included; a copy where they change."""
        if self.first is not None and len(ids) == 1:
            return torch.full_like(logits, -math.inf).index_fill(0, _index([self.first], logits), 0.0)
        out = {word[-1] for word in self.banned if tuple(ids[len(ids) - len(word) + 1 :]) == word[:-1]}
        if len(ids) < self.shortest:
            out.update(self.eos_ids)
        if 0 < self.ngram <= len(ids):
            end = ids[len(ids) - self.ngram + 1 :]
            starts = range(len(ids) - self.ngram + 1)
            out.update(ids[i + self.ngram - 1] for i in starts if ids[i : i + self.ngram - 1] == end)
        known = [id for id in out if id < len(logits)]
        return logits.index_fill(0, _index(known, logits), -math.inf) if known else logits


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _index(ids: list[int], like: Tensor) -> Tensor:
    return torch.tensor(ids, dtype=torch.long, device=like.device)
