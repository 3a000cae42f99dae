"""One text as two models find it: cut where both have an edge, nothing lost and nothing shared out by guess."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.state.scored import stretches
from engine import TokenRecord
from fakes import a_record


def records(*tokens: tuple[str, float]) -> list[TokenRecord]:
    """Tokens with what each surprises by, in bits."""
    return [
        dataclasses.replace(a_record(place, text), logprob=-bits * math.log(2))
        for place, (text, bits) in enumerate(tokens)
    ]


def test_equal_tokens_are_compared_one_by_one() -> None:
    found = stretches(records(("a", 1), (" b", 2)), records(("a", 3), (" b", 1)))
    assert [(each.text, each.first, each.second) for each in found] == [("a", 1, 3), (" b", 2, 1)]
    assert [each.difference for each in found] == [2, -1]


def test_other_tokens_are_summed_between_common_edges() -> None:
    found = stretches(records(("taco", 4), (" bell", 6)), records(("ta", 1), ("co", 2), (" b", 3), ("ell", 4)))
    assert [(each.text, each.first, each.second) for each in found] == [("taco", 4, 3), (" bell", 6, 7)]


def test_what_only_one_has_scored_is_left_out_and_an_end_mark_counts_with_the_last() -> None:
    found = stretches(records(("Once", 9), (" upon", 2), (" a", 1)), records((" upon", 3), (" a", 1), ("", 0.5)))
    assert [(each.text, each.first, each.second) for each in found] == [(" upon", 2, 3), (" a", 1, 1.5)]


def test_texts_that_are_not_the_same_are_not_compared() -> None:
    assert stretches(records(("A", 1), (" b", 1)), records(("a", 1), (" b", 1))) == []
    assert stretches([], records(("a", 1))) == []


@given(
    some.lists(some.integers(1, 4), min_size=1, max_size=12), some.lists(some.integers(1, 4), min_size=1, max_size=12)
)
def test_nothing_is_lost_and_the_text_is_whole(first: list[int], second: list[int]) -> None:
    length = min(sum(first), sum(second))
    text = "".join(chr(97 + place % 26) for place in range(length))

    def cut(sizes: list[int]) -> list[TokenRecord]:
        parts, place = [], 0
        for size in sizes:
            parts += [(text[place : place + size], float(size))] if place < length else []
            place += size
        return records(*parts)

    a, b = cut(first), cut(second)
    found = stretches(a, b)
    assert "".join(each.text for each in found) == text
    for side, total in ((a, sum(e.first for e in found)), (b, sum(e.second for e in found))):
        assert total == pytest.approx(-sum(record.logprob for record in side) / math.log(2))
