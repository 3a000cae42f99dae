"""Drafts change how fast an answer comes and nothing else: same ids, same context left behind, same distribution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import loaded, write_tiny
from hypothesis import given
from hypothesis import strategies as st

from engine.decoding import speculation as module
from engine.decoding.contexts import Context
from engine.decoding.speculation import LONGEST, Ahead, Lookup, Odds, Speculation, best_count, pass_seconds
from engine.errors import Cancelled
from engine.models.base import Decoder
from engine.params import CaptureParams, SamplingParams
from engine.sampling.chain import apply, draw

BARE = CaptureParams(candidates=0)
FREE = [1.0] * (LONGEST + 2)
Pick = Callable[[torch.Tensor, Sequence[int]], int]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    model = loaded(write_tiny(tmp_path_factory.mktemp("tiny"), max_position_embeddings=512)).model
    assert isinstance(model, Decoder)
    return model


@pytest.fixture(autouse=True)
def passes_cost_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "pass_seconds", lambda context, rows, check: 1.0)


class Oracle(Speculation):
    """Drafts from a known text, with every wrong_every-th token wrong."""

    step = 0.0

    def __init__(self, model: Decoder, text: Sequence[int], wrong_every: int = 0) -> None:
        super().__init__(model)
        self.text = list(text)
        self.wrong_every = wrong_every
        self.drafts: list[list[int]] = []

    def drafter(self, wanted: str, lookup: Lookup) -> Oracle | None:
        return None if wanted == "off" else self

    def look(self, ids: Sequence[int]) -> int:
        return 5

    def draft(self, ids: Sequence[int], count: int, choose: object, check: object) -> list[int]:
        places = range(len(ids), min(len(ids) + count, len(self.text)))
        wrong = [self.wrong_every and place % self.wrong_every == 0 for place in places]
        self.drafts.append([(self.text[place] + bool(w)) % 101 for place, w in zip(places, wrong)])
        return self.drafts[-1]


def write(
    model: Decoder, prompt: list[int], count: int, pick: Pick, speculation: Speculation | None, wanted: str = "auto"
) -> tuple[list[int], Ahead, Context]:
    """prompt and the count tokens after it."""
    context, ids = Context.fresh(model, BARE), list(prompt)
    ahead = Ahead(context, speculation)
    context.prepare(len(ids))
    logits = context.feed(ids, lambda: None)
    while True:
        ids.append(pick(logits, ids))
        if len(ids) == len(prompt) + count:
            break
        most = len(prompt) + count - len(ids) - 1
        logits = ahead.after(ids, wanted, most, lambda row, drafted: int(row.argmax()), lambda: None)
    ahead.settle(len(ids) - 1)
    return ids, ahead, context


def greedy(logits: torch.Tensor, ids: Sequence[int]) -> int:
    return int(logits.argmax())


def sampler(seed: int, **params: object) -> Pick:
    chosen = SamplingParams.neutral(**params)

    def pick(logits: torch.Tensor, ids: Sequence[int]) -> int:
        return draw(apply(logits[None], torch.tensor([list(ids)]), chosen)[0], seed, len(ids))

    return pick


PROMPT = [1, 5, 9, 20]


@pytest.mark.parametrize("wrong_every", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("seed", [None, 0, 1])
def test_whatever_is_drafted_the_text_is_the_one_that_is_written_without(
    model: Decoder, wrong_every: int, seed: int | None
) -> None:
    pick = greedy if seed is None else sampler(seed, temperature=0.6, repetition_penalty=1.1)
    plain, none, before = write(model, PROMPT, 60, pick, None)
    oracle = Oracle(model, plain, wrong_every)
    ids, ahead, context = write(model, PROMPT, 60, pick, oracle)
    assert ids == plain
    assert context.ids == before.ids == plain[:-1]
    assert context.cache.length == len(context.ids)
    assert ahead.passes + ahead.accepted == none.passes == 59
    assert oracle.drafts and (wrong_every == 1) == (ahead.accepted == 0)
    again = context.feed([plain[-1]], lambda: None)
    torch.testing.assert_close(again, before.feed([plain[-1]], lambda: None), atol=1e-4, rtol=0)


def test_a_known_continuation_takes_a_sixteenth_of_the_passes(model: Decoder) -> None:
    plain, _, _ = write(model, PROMPT, 160, greedy, None)
    _, ahead, _ = write(model, PROMPT, 160, greedy, Oracle(model, plain))
    assert ahead.passes <= 160 / 8 and ahead.tokens_per_pass >= 8


def test_drafts_that_are_always_wrong_are_soon_hardly_made(model: Decoder) -> None:
    plain, _, _ = write(model, PROMPT, 160, greedy, None)
    oracle = Oracle(model, plain, wrong_every=1)
    oracle._prices = [0.0, 1.0, *(1.25 + 0.25 * row for row in range(LONGEST))]
    _, ahead, _ = write(model, PROMPT, 160, greedy, oracle)
    assert ahead.accepted == 0
    assert sum(map(len, oracle.drafts)) < 0.15 * 160


def test_looking_up_finds_repetitions_by_itself(model: Decoder) -> None:
    plain, _, _ = write(model, PROMPT, 100, greedy, None)
    again, ahead, _ = write(model, [*plain, 3, *plain[:8]], 60, greedy, None, "prompt lookup")
    ids, ahead, _ = write(model, [*plain, 3, *plain[:8]], 60, greedy, Speculation(model), "prompt lookup")
    assert ids == again
    periodic = [*range(20, 30)] * 4

    def forced(logits: torch.Tensor, ids: Sequence[int]) -> int:
        return periodic[len(ids) % 10]

    ids, ahead, _ = write(model, periodic[:20], 60, forced, Speculation(model))
    assert ids == periodic[:10] * 8 and ahead.tokens_per_pass > 5


def test_off_means_off_from_the_next_token(model: Decoder) -> None:
    plain, _, _ = write(model, PROMPT, 30, greedy, None)
    _, ahead, _ = write(model, PROMPT, 30, greedy, Oracle(model, plain), wanted="off")
    assert ahead.accepted == 0 and ahead.passes == 29


def test_a_drafted_draw_has_the_distribution_of_the_model(model: Decoder) -> None:
    """Chi-square over seeds of the second token, where a draft of the likeliest first and second was offered."""
    steep = SamplingParams.neutral(temperature=0.5)
    context = Context.fresh(model, BARE)
    first_logits = context.feed(PROMPT, lambda: None)
    first = int(first_logits.argmax())
    second_logits = context.feed([first], lambda: None)
    expected = apply(second_logits[None], torch.tensor([[*PROMPT, first]]), steep)[0].softmax(-1).double().numpy()
    counts = np.zeros(len(expected))
    oracle = Oracle(model, [*PROMPT, first, int(second_logits.argmax())])
    for seed in range(3000):
        context.truncate(len(PROMPT))
        ahead = Ahead(context, oracle)
        ids = [*PROMPT, draw(apply(first_logits[None], torch.tensor([PROMPT]), steep)[0], seed, 4)]
        if ids[-1] != first:
            continue
        logits = ahead.after(ids, "auto", 8, lambda row, drafted: 0, lambda: None)
        counts[draw(apply(logits[None], torch.tensor([ids]), steep)[0], seed, 5)] += 1
    n = counts.sum()
    assert n > 300
    often = expected * n >= 5
    found = np.append(counts[often], counts[~often].sum())
    wanted = np.append(expected[often], expected[~often].sum()) * n
    chi = ((found - wanted) ** 2 / wanted).sum()
    freedom = len(found) - 1
    assert freedom >= 2 and chi < freedom + 4 * (2 * freedom) ** 0.5


def test_attention_that_is_looked_at_is_captured_a_token_a_pass(model: Decoder) -> None:
    plain, _, _ = write(model, PROMPT, 30, greedy, None)
    context = Context.fresh(model, BARE)
    ahead = Ahead(context, Oracle(model, plain))
    context.feed(PROMPT, lambda: None)
    ids = plain[:5]
    ahead.after(ids, "auto", 20, lambda row, drafted: 0, lambda: None)
    assert len(context.ids) > 5
    context.tap.params = CaptureParams(attention="all")
    for count in (6, 7, 8):
        ahead.after(plain[:count], "auto", 20, lambda row, drafted: 0, lambda: None)
        (rows,) = context.tap.events(0)
        assert rows.start == count - 1 and rows.weights.shape[2:] == (1, count)
        assert context.ids == plain[:count]


def test_a_pass_broken_off_leaves_the_text_that_was_certain(model: Decoder) -> None:
    plain, _, _ = write(model, PROMPT, 30, greedy, None)
    context = Context.fresh(model, BARE)
    ahead = Ahead(context, Oracle(model, plain))
    context.feed(PROMPT, lambda: None)

    def cancel() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        ahead.after(plain[:5], "auto", 20, lambda row, drafted: 0, cancel)
    ahead.settle(4)
    assert context.ids == PROMPT
    logits = ahead.after(plain[:5], "auto", 20, lambda row, drafted: 0, lambda: None)
    assert int(logits.argmax()) == plain[5]


def test_nothing_is_drafted_beyond_the_context(tmp_path: Path) -> None:
    model = loaded(write_tiny(tmp_path / "short", max_position_embeddings=40)).model
    assert isinstance(model, Decoder)
    plain, _, _ = write(model, PROMPT, 37, greedy, None)
    ids, ahead, _ = write(model, PROMPT, 37, greedy, Oracle(model, plain))
    assert ids == plain and len(ids) == 41 and ahead.accepted > 0


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40))
def test_a_lookup_continues_the_longest_match_or_finds_none(text: list[int]) -> None:
    lookup = Lookup()
    for count in range(1, len(text) + 1):
        ids = text[:count]
        grade = lookup.look(ids)
        lengths = [
            next((n for n in range(16, 0, -1) if n <= end <= count - 1 and ids[end - n : end] == ids[count - n :]), 0)
            for end in range(1, count)
        ]
        longest = max(lengths, default=0)
        assert grade == (longest.bit_length() if longest >= 3 else 0)
        if grade:
            at = max(end for end, length in enumerate(lengths, 1) if length == longest)
            unrolled = [*ids]
            for i in range(5):
                unrolled.append(unrolled[at + i])
            assert lookup.draft(ids, 5, lambda row, drafted: 0, lambda: None) == unrolled[count:]


def test_more_is_drafted_the_likelier_and_the_cheaper_it_is() -> None:
    dear = [0.0, *(1.0 + 0.5 * row for row in range(LONGEST + 1))]
    cheap = [0.0, *(1.0 + 0.1 * row for row in range(LONGEST + 1))]
    counts = [best_count(odds / 20, cheap, 0.0, LONGEST) for odds in range(20)]
    assert counts == sorted(counts) and counts[0] == 0 and counts[-1] == LONGEST
    for odds in (0.3, 0.6, 0.9):
        assert best_count(odds, dear, 0.0, LONGEST) <= best_count(odds, cheap, 0.0, LONGEST)
        assert best_count(odds, cheap, 0.3, LONGEST) <= best_count(odds, cheap, 0.0, LONGEST)
    assert best_count(0.99, FREE, 0.0, 4) == 4


def test_odds_follow_what_happened_and_drift_back_while_nothing_does() -> None:
    odds = Odds()
    usual = odds.of(2)
    odds.record(2, 0, 1)
    fallen = odds.of(2)
    assert fallen < usual and odds.of(3) == Odds().of(3)
    for _ in range(200):
        odds.rest(2)
    assert fallen < odds.of(2) <= usual
    odds.record(2, 15, 15)
    assert odds.of(2) > 0.9


def test_measuring_a_pass_leaves_the_context_as_it_was(model: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "pass_seconds", pass_seconds)
    context, other = Context.fresh(model, BARE), Context.fresh(model, BARE)
    for each in (context, other):
        each.feed(PROMPT, lambda: None)
    prices = Speculation(model).prices(context, lambda: None)
    assert len(prices) == LONGEST + 2 and prices[1] == 1.0 and min(prices[1:]) > 0
    assert pass_seconds(context, 16, lambda: None) > 0
    assert context.ids == PROMPT
    assert torch.equal(context.feed([3], lambda: None), other.feed([3], lambda: None))
