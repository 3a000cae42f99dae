"""Texts among the sampling settings as the ids that they stand for, for one tokenizer.

What a text's pieces are can be asked for with Tokenize; "#123" is the id 123.
"""

from __future__ import annotations

import functools
import re

from engine.text.tokenizer import Tokenizer

NUMBER = re.compile(r"#(\d+)")


@functools.lru_cache(maxsize=32)
def words(tokenizer: Tokenizer, texts: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    """The ids of each text, as it stands at a line's beginning and behind a blank."""
    found = (ids_of(tokenizer, text) for word in texts for text in (word, " " + word.lstrip(" ")))
    return tuple(dict.fromkeys(ids for ids in found if ids))


@functools.lru_cache(maxsize=32)
def bias(tokenizer: Tokenizer, pairs: tuple[tuple[str, float], ...]) -> tuple[tuple[int, float], ...]:
    """What is added to the logits of which ids: of every token of a text, once; what is entered twice adds up."""
    sums: dict[int, float] = {}
    for text, value in pairs:
        for id in dict.fromkeys(ids_of(tokenizer, text)):
            sums[id] = sums.get(id, 0.0) + value
    return tuple(sums.items())


def ids_of(tokenizer: Tokenizer, text: str) -> tuple[int, ...]:
    """The ids of a text, or the one that "#123" names."""
    named = NUMBER.fullmatch(text.strip())
    return (int(named[1]),) if named else tuple(tokenizer.encode(text, special=False))
