"""What two models say of one text, stretch by stretch: pure values, no Qt.

Tokens of two vocabularies do not match one by one, so the text is cut wherever both have an edge, and what a model's
tokens surprise by is added up between two cuts: nothing is shared out by guess.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from engine import TokenRecord


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
    sides = [_edges(records, len(text)) for records, text in zip((first, second), texts)]
    cuts = sorted({edge for edge, _ in sides[0]} & {edge for edge, _ in sides[1]})
    sums = [[0.0] * len(cuts) for _ in sides]
    for side, total in zip(sides, sums):
        for start, bits in side[:-1]:
            place = bisect_right(cuts, start) - 1
            if 0 <= place < len(cuts) - 1:
                total[place] += bits
            elif place == len(cuts) - 1 and place:  # an end mark, which adds no text
                total[place - 1] += bits
    whole = max(texts, key=len)
    return [
        Stretch(whole[len(whole) + start : len(whole) + end], a, b) for start, end, a, b in zip(cuts, cuts[1:], *sums)
    ]


def _edges(records: Sequence[TokenRecord], length: int) -> list[tuple[int, float]]:
    """Where each token begins, counted back from the end of the text, with its bits; last the end itself."""
    edges, place = [], -length
    for record in records:
        edges.append((place, -record.logprob / math.log(2)))
        place += len(record.text)
    return [*edges, (place, 0.0)]
