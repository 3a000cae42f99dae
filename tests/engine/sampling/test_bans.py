"""What the text has to be goes before what is likely: bans, ends, biases and the ids behind the words."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.decoding.wording import bias, ids_of, words
from engine.errors import InvalidValue
from engine.params import FIRST, SamplingParams
from engine.sampling.chain import STEPS, Moment, active, apply, trace
from engine.text.tokenizer import Tokenizer

NEUTRAL = SamplingParams.neutral()
rows = st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=40)


def random_logits(seed: int, size: int = 500) -> torch.Tensor:
    return torch.randn(1, size, generator=torch.Generator().manual_seed(seed)) * 3


@pytest.fixture(scope="module")
def tokenizer(assets: Path) -> Tokenizer:
    return Tokenizer.load(str(assets / "models" / "companion"))


@pytest.mark.parity
@pytest.mark.parametrize("seed", range(8))
def test_bans_ends_and_biases_equal_those_of_transformers(seed: int) -> None:
    theirs = pytest.importorskip("transformers.generation.logits_process")
    rng = np.random.default_rng(seed)
    logits, history = random_logits(seed), torch.tensor(rng.integers(0, 6, (1, 12)))
    found = [tuple(rng.integers(0, 6, rng.integers(1, 4)).tolist()) for _ in range(9)]
    sequences = tuple(dict.fromkeys(found))
    moment = Moment(prompt=5, written=7, ends=frozenset({3, 9}), words=sequences, bias=((4, 2.5), (8, -7.0)))
    expected = theirs.NoBadWordsLogitsProcessor([list(word) for word in sequences])(history, logits)
    assert torch.equal(STEPS["bans"](logits, history, NEUTRAL, moment), expected)
    expected = theirs.MinNewTokensLengthLogitsProcessor(5, 8, [3, 9], device="cpu")(history, logits)
    assert torch.equal(STEPS["ends"](logits, history, NEUTRAL.replace(min_new_tokens=8), moment), expected)
    assert torch.equal(STEPS["ends"](logits, history, NEUTRAL.replace(min_new_tokens=7), moment), logits)
    assert torch.equal(STEPS["ends"](logits, history, NEUTRAL.replace(end_token="never"), moment), expected)
    expected = theirs.SequenceBiasLogitsProcessor([[[4], 2.5], [[8], -7.0]])(history, logits)
    assert torch.equal(STEPS["logit_bias"](logits, history, NEUTRAL, moment), expected)


@given(rows, st.data())
def test_what_must_be_goes_first_and_never_leaves_nothing(row: list[float], data: st.DataObject) -> None:
    logits = torch.tensor([row])
    ids = data.draw(st.frozensets(st.integers(0, len(row) + 2)), label="barred")
    moment = Moment(ends=ids, barred=ids, words=tuple((id,) for id in ids))
    for name in ("ends", "bans"):
        left = STEPS[name](logits, torch.zeros(1, 0, dtype=torch.long), NEUTRAL.replace(end_token="never"), moment)[0]
        alive = {i for i in range(len(row)) if left[i] > -math.inf}
        assert alive == (set(range(len(row))) - ids or {int(torch.tensor(row).argmax())})
    params = SamplingParams(end_token="never", banned_words=("x",), logit_bias=(("x", 1),))
    assert active(params)[:3] == ("ends", "bans", "logit_bias") == FIRST[2:]


def test_rows_are_banned_each_by_its_own_history() -> None:
    logits = torch.zeros(2, 5)
    left = STEPS["bans"](logits, torch.tensor([[1, 2], [2, 1]]), NEUTRAL, Moment(words=((2, 3), (1, 2, 4))))
    assert [torch.isinf(row).nonzero().flatten().tolist() for row in left] == [[3, 4], []]


def test_the_trace_names_the_step_and_what_follows_sees_only_who_is_left() -> None:
    logits = torch.tensor([5.0, 4.0, 3.0, 2.0])
    params = NEUTRAL.replace(end_token="never", banned_words=("x",), top_k=1)
    moment = Moment(ends=frozenset({0}), words=((1,),))
    result = trace(logits, torch.zeros(0, dtype=torch.long), params, torch.arange(4), moment)
    assert result.steps == ("ends", "bans", "top_k")
    assert result.cut.tolist() == [0, 1, -1, 2] and result.ids.tolist() == [2]


def test_a_bias_is_entered_as_text_or_as_an_id_and_counts_each_token_once(tokenizer: Tokenizer) -> None:
    pieces = tokenizer.encode("banana banana", special=False)
    found = dict(bias(tokenizer, (("banana banana", 2.0), ("#7", -1.0), (f"#{pieces[0]}", 0.5))))
    assert set(found) == {*pieces, 7}
    assert found[7] == -1.0 and found[pieces[0]] == 2.5
    assert all(found[id] == 2.0 for id in set(pieces[1:]) - {pieces[0]})
    logits = apply(torch.zeros(1, 10), torch.zeros(1, 0, dtype=torch.long), NEUTRAL.replace(logit_bias=(("x", 1.0),)),
                   Moment(bias=((3, 1.5), (99, 4.0))))  # fmt: skip
    assert logits[0].tolist() == [0, 0, 0, 1.5, 0, 0, 0, 0, 0, 0]


def test_a_word_is_banned_at_a_beginning_and_behind_a_blank(tokenizer: Tokenizer) -> None:
    found = words(tokenizer, ("dog", "#12"))
    assert set(found) == {ids_of(tokenizer, "dog"), ids_of(tokenizer, " dog"), (12,)}


def test_texts_that_are_none_are_refused_and_biases_come_back_from_json() -> None:
    params = SamplingParams(logit_bias=(("a", 2), ("#5", -100.0)), banned_words=("b",), banned_phrases=("c d",))
    assert SamplingParams.from_dict(params.to_dict()) == (params, ())
    assert params.logit_bias == (("a", 2.0), ("#5", -100.0)) and hash(params) == hash(params.replace())
    for wrong in ((("a", 101),), (("", 1),), ("a",), (("a", "b"),), (("a", 1, 2),)):
        with pytest.raises(InvalidValue, match="logit_bias"):
            SamplingParams(logit_bias=wrong)
    with pytest.raises(InvalidValue, match="banned_words"):
        SamplingParams(banned_words=("",))
