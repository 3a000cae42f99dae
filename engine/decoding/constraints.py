"""What a checkpoint's generation_config forbids or forces, as transformers applies it to greedy search and beams.

Only what changes a target by rule is here; how it is sampled is the sampling chain's business.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Rules:
    """first: the id that a target begins with; banned: ids, or sequences of them, that never appear.

    shortest: how many ids a target has before it may end, its first included. ngram: the length of the sequences that
    do not appear twice, 0 for none. last: what the target ends with when it has grown to `end` ids, its first
    included. source_ngram: the length of the sequences of the source that do not appear in the target.
    """

    eos_ids: tuple[int, ...]
    first: int | None = None
    banned: tuple[tuple[int, ...], ...] = ()
    shortest: int = 0
    ngram: int = 0
    last: tuple[int, ...] = ()
    end: int = 0
    source_ngram: int = 0
    source: tuple[int, ...] = ()

    @classmethod
    def read(
        cls, generation: Mapping[str, Any], eos_ids: Collection[int], source: Sequence[int] = (), end: int = 0
    ) -> Self:
        """Rules from a generation_config.json; what is not understood there counts as absent."""
        last = generation.get("forced_eos_token_id")
        banned = generation.get("bad_words_ids")
        words = [tuple(word) for word in banned if isinstance(word, list) and word] if isinstance(banned, list) else []
        return cls(
            tuple(eos_ids),
            _whole(generation.get("forced_bos_token_id")),
            tuple(word for word in words if all(_whole(id) is not None for id in word)),
            _whole(generation.get("min_length")) or 0,
            _whole(generation.get("no_repeat_ngram_size")) or 0,
            tuple(id for id in map(_whole, last if isinstance(last, list) else [last]) if id is not None),
            end,
            _whole(generation.get("encoder_no_repeat_ngram_size")) or 0,
            tuple(source),
        )

    def __call__(self, ids: list[int], logits: Tensor) -> Tensor:
        """Logits [V] of what follows ids, the id that every target begins with included; a copy where they change."""
        forced = self.last if len(ids) == self.end - 1 else ()
        if not forced and self.first is not None and len(ids) == 1:
            forced = (self.first,)
        if forced:
            return torch.full_like(logits, -math.inf).index_fill(0, _index(list(forced), logits), 0.0)
        out = {word[-1] for word in self.banned if tuple(ids[len(ids) - len(word) + 1 :]) == word[:-1]}
        if len(ids) < self.shortest:
            out.update(self.eos_ids)
        out.update(_followers(ids, ids, self.ngram), _followers(self.source, ids, self.source_ngram))
        known = [id for id in out if id < len(logits)]
        return logits.index_fill(0, _index(known, logits), -math.inf) if known else logits


def _followers(text: Sequence[int], ids: Sequence[int], size: int) -> set[int]:
    """What ends the sequences of so many ids in text that begin as ids end; none for size 0."""
    if not 0 < size <= len(ids) + 1:
        return set()
    end = tuple(ids[len(ids) - size + 1 :])
    return {text[i + size - 1] for i in range(len(text) - size + 1) if tuple(text[i : i + size - 1]) == end}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _index(ids: list[int], like: Tensor) -> Tensor:
    return torch.tensor(ids, dtype=torch.long, device=like.device)
