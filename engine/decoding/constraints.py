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

KEYS = (
    "bad_words_ids",
    "begin_suppress_tokens",
    "encoder_no_repeat_ngram_size",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "min_length",
    "min_new_tokens",
    "no_repeat_ngram_size",
    "suppress_tokens",
)
"""What Rules reads. Besides them a generation_config's ids, early_stopping and engine.jobs.GENERATION_KEYS count."""

IGNORED: dict[str, str] = {
    "max_length": "the longest answer is the person's to choose, and the library's default of 20 is nobody's wish",
    "do_sample": "what else a checkpoint says makes the sampling's defaults",
    "encoder_repetition_penalty": "set by no released checkpoint of the families here",
    "exponential_decay_length_penalty": "set by no released checkpoint of the families here",
    "sequence_bias": "set by no released checkpoint of the families here",
    "force_words_ids": "set by no released checkpoint of the families here",
    "constraints": "set by no released checkpoint of the families here",
    "stop_strings": "stop strings are the person's to choose",
    "diversity_penalty": "groups of beams, which the library has dropped too",
    "num_beam_groups": "groups of beams, which the library has dropped too",
    "penalty_alpha": "another way of searching, not a setting of this one",
    "dola_layers": "another way of searching, not a setting of this one",
    "guidance_scale": "it needs a second prompt, which a file cannot give",
    "watermarking_config": "it would mark the text in secret",
    "renormalize_logits": "the sampling chain always normalises, and no order of beams depends on it",
    "remove_invalid_values": "logits that are no numbers are an error, which is shown",
    "token_healing": "it would rewrite the prompt",
    "num_return_sequences": "how many answers there are is the person's to choose",
}
"""Keys that would change what is written and do not, and why. Those that change only speed or output are not here."""


@dataclass(frozen=True, slots=True)
class Rules:
    """first: the id that a target begins with; banned: ids, or sequences of them, that never appear.

    shortest: how many ids a target has before it may end, its first included. ngram: the length of the sequences that
    do not appear twice, 0 for none. last: what the target ends with when it has grown to `end` ids, its first
    included. source_ngram: the length of the sequences of the source that do not appear in the target. never: ids that
    are never written, not even where another rule forces them; not_first: those that are not when the target has
    `begin` ids, which is where writing begins.
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
    never: tuple[int, ...] = ()
    not_first: tuple[int, ...] = ()
    begin: int = 1

    @classmethod
    def read(
        cls,
        generation: Mapping[str, Any],
        eos_ids: Collection[int],
        source: Sequence[int] = (),
        end: int = 0,
        begin: int = 1,
    ) -> Self:
        """Rules from a generation_config.json; what is not understood there counts as absent.

        begin: how many ids the target has before anything is written. end: how many it has at most.
        """
        banned = generation.get("bad_words_ids")
        words = [_ids(word) for word in banned if isinstance(word, list)] if isinstance(banned, list) else []
        first = _whole(generation.get("forced_bos_token_id"))
        more = _whole(generation.get("min_new_tokens")) or 0
        return cls(
            tuple(eos_ids),
            first,
            # As there: a mark that ends a text is not banned alone.
            tuple(word for word in words if word and not (len(word) == 1 and word[0] in eos_ids)),
            max(_whole(generation.get("min_length")) or 0, begin + more if more else 0),
            _whole(generation.get("no_repeat_ngram_size")) or 0,
            _ids(generation.get("forced_eos_token_id")),
            end,
            _whole(generation.get("encoder_no_repeat_ngram_size")) or 0,
            tuple(source),
            _ids(generation.get("suppress_tokens")),
            _ids(generation.get("begin_suppress_tokens")),
            begin if begin > 1 or first is None else begin + 1,
        )

    def __call__(self, ids: list[int], logits: Tensor) -> Tensor:
        """Logits [V] of what follows ids, the id that every target begins with included; a copy where they change."""
        forced = self.last if len(ids) == self.end - 1 else ()
        if not forced and self.first is not None and len(ids) == 1:
            forced = (self.first,)
        out = {*self.never, *(self.not_first if len(ids) == self.begin else ())}
        if forced:
            logits = torch.full_like(logits, -math.inf).index_fill(0, _index(list(forced), logits), 0.0)
        else:
            out |= self._forbidden(ids)
        known = [id for id in out if id < len(logits)]
        return logits.index_fill(0, _index(known, logits), -math.inf) if known else logits

    def _forbidden(self, ids: list[int]) -> set[int]:
        """What must not follow ids where nothing is forced to."""
        out = {word[-1] for word in self.banned if tuple(ids[len(ids) - len(word) + 1 :]) == word[:-1]}
        if len(ids) < self.shortest:
            out.update(self.eos_ids)
        return out | _followers(ids, ids, self.ngram) | _followers(self.source, ids, self.source_ngram)


def _followers(text: Sequence[int], ids: Sequence[int], size: int) -> set[int]:
    """What ends the sequences of so many ids in text that begin as ids end; none for size 0."""
    if not 0 < size <= len(ids) + 1:
        return set()
    end = tuple(ids[len(ids) - size + 1 :])
    return {text[i + size - 1] for i in range(len(text) - size + 1) if tuple(text[i : i + size - 1]) == end}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _ids(value: object) -> tuple[int, ...]:
    """A number, or a list of nothing but them; else none."""
    found = [_whole(item) for item in (value if isinstance(value, list) else [value])]
    return tuple(id for id in found if id is not None) if None not in found else ()


def _index(ids: list[int], like: Tensor) -> Tensor:
    return torch.tensor(ids, dtype=torch.long, device=like.device)
