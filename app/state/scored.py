"""What two models say of one text, stretch by stretch: pure values, no Qt.

Tokens of two vocabularies do not match one by one, so the text is cut wherever both have an edge, and what a model's
tokens surprise by is added up between two cuts: nothing is shared out by guess.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from engine import TokenRecord

LOG_2 = math.log(2)


class Stretch(NamedTuple):
    """A part of the text and what it surprises either model by, in bits."""

    text: str
    first: float
    second: float

    @property
    def difference(self) -> float:
        """Above 0 where the second model finds it less likely."""
        return self.second - self.first


def stretches(first: Sequence[TokenRecord], second: Sequence[TokenRecord]) -> list[Stretch]:
    """The text as both have scored it; [] where they have not read the same text."""
    texts = ["".join(record.text for record in records) for records in (first, second)]
    shorter = min(texts, key=len)
    if not shorter or not all(text.endswith(shorter) for text in texts):
        return []
    sides = [_sums(records, len(text)) for records, text in zip((first, second), texts)]
    cuts = sorted(sides[0].keys() & sides[1].keys())
    whole = max(texts, key=len)
    return [
        Stretch(whole[len(whole) + start : len(whole) + end], *(sums[end] - sums[start] for sums in sides))
        for start, end in pairwise(cuts)
    ]


def _sums(records: Sequence[TokenRecord], length: int) -> dict[int, float]:
    """Where each token begins, counted back from the end of the text, the bits of all before it; at 0 those of all.

    So an end mark, which adds no text, counts with what stands before it.
    """
    sums: dict[int, float] = {}
    place, bits = -length, 0.0
    for record in records:
        sums.setdefault(place, bits)
        bits -= record.logprob / LOG_2
        place += len(record.text)
    sums[place] = bits
    return sums
