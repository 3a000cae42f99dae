"""What a generation_config forbids and forces."""

from __future__ import annotations

import torch

from engine.decoding.constraints import Rules

LOGITS = torch.arange(8.0)


def out(rules: Rules, *ids: int) -> set[int]:
    """The ids that cannot follow."""
    return set(rules(list(ids), LOGITS).isinf().nonzero().flatten().tolist())


def test_without_rules_the_logits_are_the_very_same() -> None:
    assert Rules.read({}, (2,))([0, 1], LOGITS) is LOGITS


def test_a_forced_first_id_is_the_only_one_at_the_first_place_alone() -> None:
    rules = Rules.read({"forced_bos_token_id": 5}, (2,))
    assert out(rules, 0) == set(range(8)) - {5}
    assert out(rules, 0, 5) == set()


def test_a_banned_sequence_cannot_be_completed() -> None:
    rules = Rules.read({"bad_words_ids": [[3], [4, 5]]}, (2,))
    assert out(rules, 0) == {3}
    assert out(rules, 0, 4) == {3, 5}


def test_a_target_cannot_end_before_it_is_long_enough() -> None:
    rules = Rules.read({"min_length": 3}, (2, 6))
    assert out(rules, 0, 1) == {2, 6}
    assert out(rules, 0, 1, 1) == set()


def test_no_sequence_of_the_length_appears_twice() -> None:
    rules = Rules.read({"no_repeat_ngram_size": 2}, (2,))
    assert out(rules, 0, 1, 3, 1) == {3}
    assert out(rules, 0, 1, 3, 4) == set()


def test_a_number_of_new_ids_counts_from_where_writing_begins() -> None:
    rules = Rules.read({"min_new_tokens": 2, "min_length": 3}, (2,), begin=2)
    assert out(rules, 0, 1, 3) == {2}
    assert out(rules, 0, 1, 3, 4) == set()


def test_a_suppressed_id_is_never_written_and_another_not_where_writing_begins() -> None:
    generation = {"suppress_tokens": [4, 900], "begin_suppress_tokens": [1, 6]}
    assert out(Rules.read(generation, (2,)), 0) == {1, 4, 6}
    assert out(Rules.read(generation, (2,)), 0, 3) == {4}
    assert out(Rules.read(generation, (2,), begin=3), 0, 3, 3) == {1, 4, 6}
    forced = Rules.read({**generation, "forced_bos_token_id": 5}, (2,))
    assert (out(forced, 0), out(forced, 0, 5)) == (set(range(8)) - {5}, {1, 4, 6})


def test_a_mark_that_ends_a_text_is_not_banned_alone() -> None:
    assert out(Rules.read({"bad_words_ids": [[2], [3], [1, 2]]}, (2,)), 0, 1) == {2, 3}
    assert out(Rules.read({"bad_words_ids": [[2], [3]]}, (2,)), 0) == {3}


def test_what_is_no_rule_counts_as_absent() -> None:
    odd = {"min_length": "3", "bad_words_ids": [7, []], "no_repeat_ngram_size": None, "forced_bos_token_id": True}
    assert Rules.read(odd, (2,)) == Rules((2,))
