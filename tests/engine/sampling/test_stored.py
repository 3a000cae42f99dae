"""What is asked of stored candidates again and again, against the plain way to find it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.messages import TokenRecord
from engine.sampling.candidates import ranked
from engine.sampling.noise import gumbel
from engine.sampling.repetition import repeats, repeats_along, tally
from engine.sampling.stored import KEPT, Stored

texts = st.lists(st.integers(0, 4), min_size=2, max_size=80)


def record(position: int, ids: list[int]) -> TokenRecord:
    logits = np.linspace(3, 0, len(ids), dtype=np.float32)
    total = float(np.log(np.exp(logits).sum()) + 0.5)
    return TokenRecord(
        position=position, id=ids[0], text="", logprob=-1.0, rank=0, entropy=1.0, lse=total, std=1.0,
        candidate_ids=np.array(ids, np.int32), logits=logits, pieces=("",) * len(ids), after=np.exp(logits - total),
        cut=np.full(len(ids), -1, np.int8), steps=(),
    )  # fmt: skip


def stored(text: list[int], begin: int, vocabulary: int = 9) -> Stored:
    rng = np.random.default_rng(len(text))
    records = [record(at, [int(id) for id in rng.permutation(5)[: 2 + at % 3]]) for at in range(begin, len(text))]
    return Stored(records, text, 3, vocabulary, begin)


@given(texts, st.integers(1, 90), st.integers(1, 50), st.frozensets(st.integers(0, 4), max_size=2), st.data())
@settings(max_examples=200)
def test_repetitions_along_a_text_are_those_of_each_place(
    text: list[int], window: int, longest: int, breakers: frozenset[int], data: st.DataObject
) -> None:
    positions = sorted(data.draw(st.sets(st.integers(0, len(text)), min_size=1)))
    past = np.array(text)
    expected = [repeats(past[max(0, at - window) : at], breakers, longest) for at in positions]
    assert list(repeats_along(text, positions, window, breakers, longest)) == expected


@given(texts)
def test_a_tally_counts_every_id_once(text: list[int]) -> None:
    ids, counts = tally(np.array(text))
    expected_ids, expected = np.unique(text, return_counts=True)
    assert ids.tolist() == expected_ids.tolist() and counts.tolist() == expected.tolist()


@given(texts, st.integers(1, 90), st.booleans())
def test_counts_are_of_the_window_before_each_token(text: list[int], window: int, answer_alone: bool) -> None:
    begin = len(text) // 2
    source = stored(text, begin)
    first = begin if answer_alone else 0
    found = source.counts(window, first)
    for row, at in enumerate(range(begin, len(text))):
        past = text[max(first, at - window) : at]
        assert found[row].tolist() == [past.count(id) for id in source.ids[row].tolist()]


@given(texts, st.integers(1, 90))
def test_matches_are_the_repetitions_that_a_candidate_would_carry_on(text: list[int], window: int) -> None:
    begin = len(text) // 2
    source = stored(text, begin)
    found, strangers = source.matches(window, 50)
    for row, at in enumerate(range(begin, len(text))):
        expected = repeats(np.array(text)[max(0, at - window) : at], frozenset(), 50)
        ids = source.ids[row].tolist()
        assert found[row].tolist() == [expected.get(id, 0) for id in ids]
        assert strangers[row] == len(set(expected) - set(ids))


def test_the_tails_luck_is_the_most_noise_of_what_is_not_stored() -> None:
    source = stored([0, 1, 2, 3, 1], 2, vocabulary=40_000)
    source.listen()
    for row, position in enumerate(source.positions):
        rest = np.setdiff1d(np.arange(40_000), source.ids[row])
        assert source.tail_noise[row] == gumbel(3, position, rest).max()


def test_where_everyone_is_stored_the_tail_has_no_luck() -> None:
    source = Stored([record(0, [2, 0, 1])], [2], 3, 3, 0)
    source.listen()
    assert source.tail_noise.tolist() == [-np.inf]


def test_a_slider_that_is_dragged_far_leaves_only_a_few_answers_behind() -> None:
    source = stored([0, 1, 2, 3, 1, 2], 2)
    for window in range(1, 60):
        source.counts(window, 0)
        source.matches(window, 50)
    assert len(source._found) == KEPT


@given(st.lists(st.sampled_from([-np.inf, -1e30, -2.5, -1e-40, 0.0, 1e-40, 1.0, 1.5, 3e38, np.inf]), min_size=1))
def test_ranks_are_those_of_a_stable_sort(row: list[float]) -> None:
    values = np.array([row, row[::-1]], np.float32)
    assert ranked(values).tolist() == np.argsort(values, axis=1, kind="stable").tolist()
