"""Every step against transformers where it has the step, against its formula in float64 where not, and its edges."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.params import SamplingParams
from engine.sampling.chain import STEPS
from engine.sampling.cutoffs import min_p, top_k, top_p, typical_p
from engine.sampling.penalties import penalties
from engine.sampling.search import largest
from engine.sampling.shaping import temperature

CUTOFFS = (
    "top_n_sigma", "top_k", "typical_p", "tail_free", "top_a", "epsilon_cutoff", "eta_cutoff", "top_p", "min_p", "xtc",
)  # fmt: skip
NO_HISTORY = torch.zeros(1, 0, dtype=torch.long)


def neutral(**changes: object) -> SamplingParams:
    return SamplingParams.neutral(**changes)


def random_logits(seed: int, size: int = 5000, spread: float = 3.0, rows: int = 1) -> Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed)) * spread


def kept(logits: Tensor) -> set[int]:
    return set((logits[0] > -torch.inf).nonzero().flatten().tolist())


logits_rows = st.lists(
    st.floats(-50, 50, width=32) | st.sampled_from([0.0, 1.0, -torch.inf]), min_size=1, max_size=40
).filter(lambda row: max(row) > -torch.inf)

any_params = st.builds(
    neutral,
    temperature=st.floats(0.01, 2),
    top_k=st.integers(0, 200),
    top_p=st.floats(0, 1),
    min_p=st.floats(0, 1),
    typical_p=st.floats(0.05, 1),
    top_n_sigma=st.floats(0, 5),
    tail_free=st.floats(0.1, 1),
    top_a=st.floats(0, 1),
    epsilon_cutoff=st.floats(0, 9),
    eta_cutoff=st.floats(0, 20),
    xtc_probability=st.floats(0, 1),
    smoothing=st.floats(0, 10),
    dynamic_range=st.floats(0, 2),
    repetition_penalty=st.floats(0.5, 2),
    frequency_penalty=st.floats(-2, 2),
    presence_penalty=st.floats(-2, 2),
)


@given(logits_rows, any_params)
@settings(max_examples=300)
def test_every_step_keeps_at_least_one_and_changes_no_input(row: list[float], params: SamplingParams) -> None:
    logits = torch.tensor([row])
    before = logits.clone()
    history = torch.arange(len(row)).unsqueeze(0)
    for name, step in STEPS.items():
        if name == "top_k" and params.top_k == 0:
            continue
        left = step(logits, history, params)
        assert (left > -torch.inf).any(), name
        assert not left.isnan().any(), name
        assert torch.equal(logits, before), name
        assert not ((left > -torch.inf) & (logits == -torch.inf)).any(), name


@given(logits_rows, any_params)
def test_a_cutoff_changes_no_logit_that_it_keeps(row: list[float], params: SamplingParams) -> None:
    logits = torch.tensor([row])
    for name in CUTOFFS:
        left = STEPS[name](logits, NO_HISTORY, params.replace(top_k=max(1, params.top_k)))
        assert torch.equal(left[left > -torch.inf], logits[left > -torch.inf])


@given(logits_rows, any_params)
def test_a_cutoff_treats_equal_logits_alike(row: list[float], params: SamplingParams) -> None:
    logits = torch.tensor([row])
    for name in CUTOFFS:
        left = STEPS[name](logits, NO_HISTORY, params.replace(top_k=max(1, params.top_k)))[0]
        for value in logits.unique():
            assert (left[logits[0] == value] > -torch.inf).unique().numel() == 1


@pytest.mark.parity
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [40, 5000, 70_000])
def test_steps_equal_those_of_transformers(seed: int, size: int) -> None:
    reference = pytest.importorskip("transformers.generation.logits_process")
    logits = random_logits(seed, size, spread=1.0 + seed)
    history = torch.randint(0, size, (1, 50), generator=torch.Generator().manual_seed(seed))
    pairs = [
        (top_k, {"top_k": 20 + seed}, reference.TopKLogitsWarper(20 + seed)),
        (top_p, {"top_p": 0.5 + seed / 15}, reference.TopPLogitsWarper(0.5 + seed / 15)),
        (min_p, {"min_p": 0.02 + seed / 50}, reference.MinPLogitsWarper(0.02 + seed / 50)),
        (typical_p, {"typical_p": 0.3 + seed / 10}, reference.TypicalLogitsWarper(0.3 + seed / 10)),
        (temperature, {"temperature": 0.5 + seed / 5}, reference.TemperatureLogitsWarper(0.5 + seed / 5)),
        (
            penalties,
            {"repetition_penalty": 1.1 + seed / 10},
            reference.RepetitionPenaltyLogitsProcessor(1.1 + seed / 10),
        ),
    ]
    for step, changes, processor in pairs:
        mine, theirs = step(logits, history, neutral(**changes)), processor(history, logits.clone())
        # Sums are rounded in another order there, so a token exactly on the border may fall either way.
        assert int(((mine > -torch.inf) != (theirs > -torch.inf)).sum()) <= (1 if step in (top_p, typical_p) else 0)
        both = (mine > -torch.inf) & (theirs > -torch.inf)
        torch.testing.assert_close(mine[both], theirs[both], rtol=1e-6, atol=0)


@given(st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=60, unique=True), st.floats(0.01, 0.99))
def test_top_p_keeps_the_shortest_prefix_that_reaches_p(row: list[float], p: float) -> None:
    exact = np.array(row)
    order = np.argsort(-exact)
    mass = np.cumsum(np.exp(exact[order]) / np.exp(exact).sum())
    count = int((mass < p).sum()) + 1
    if np.abs(mass - p).min() > 1e-5:  # float32 cannot tell otherwise
        assert kept(top_p(torch.tensor([row]), NO_HISTORY, neutral(top_p=p))) == set(order[:count].tolist())


@given(st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=60, unique=True), st.floats(0.05, 0.99))
def test_typical_keeps_the_smallest_set_nearest_to_the_entropy(row: list[float], mass: float) -> None:
    exact = np.array(row)
    logp = exact - np.log(np.exp(exact).sum())
    distance = np.abs(-logp + (np.exp(logp) * logp).sum())
    order = np.argsort(distance, kind="stable")
    total = np.cumsum(np.exp(logp)[order])
    count = int((total < mass).sum()) + 1
    gaps = np.diff(np.sort(distance))
    if np.abs(total - mass).min() > 1e-5 and gaps.min() > 1e-4:
        assert kept(typical_p(torch.tensor([row]), NO_HISTORY, neutral(typical_p=mass))) == set(order[:count].tolist())


def test_typical_may_cut_the_likeliest() -> None:
    logits = torch.log(torch.tensor([[0.4, *[0.006] * 100]]))
    assert 0 not in kept(typical_p(logits, NO_HISTORY, neutral(typical_p=0.5)))


def test_wide_distributions_are_searched_until_the_mass_is_there() -> None:
    flat = random_logits(0, 20_000, spread=0.01)
    assert abs(len(kept(top_p(flat, NO_HISTORY, neutral(top_p=0.9)))) - 18_000) < 100
    assert abs(len(kept(typical_p(flat, NO_HISTORY, neutral(typical_p=0.9)))) - 18_000) < 100


@given(st.integers(0, 1000), st.integers(1, 300), st.sampled_from([300, 5000, 33_000, 262_144]))
@settings(max_examples=40)
def test_the_search_finds_the_largest(seed: int, count: int, size: int) -> None:
    logits = random_logits(seed, size).round(decimals=2)
    assert np.array_equal(largest(logits.numpy(), count), logits.topk(min(count, size)).values)


def test_rows_of_a_batch_are_cut_each_for_itself() -> None:
    logits = torch.cat([random_logits(0, 3000, spread=0.1), random_logits(1, 3000, spread=5)])
    history = torch.randint(0, 3000, (2, 30))
    params = SamplingParams(top_k=50, top_p=0.8, typical_p=0.9, repetition_penalty=1.3, temperature=0.8)
    for name, step in STEPS.items():
        together = step(logits, history, params)
        apart = torch.cat([step(logits[i : i + 1], history[i : i + 1], params) for i in range(2)])
        torch.testing.assert_close(together, apart, msg=name)


def test_penalties_follow_their_formula() -> None:
    logits = torch.tensor([[2.0, -2.0, 3.0, 4.0]])
    history = torch.tensor([[3, 0, 1, 0]])
    params = neutral(repetition_penalty=2.0, frequency_penalty=0.5, presence_penalty=0.25, penalty_window=3)
    assert penalties(logits, history, params).tolist() == [[1 - 1.0 - 0.25, -4 - 0.5 - 0.25, 3.0, 4.0]]
    assert penalties(logits, NO_HISTORY, params) is logits


def test_a_cut_token_stays_cut_under_penalties() -> None:
    logits = torch.tensor([[-torch.inf, 1.0]])
    params = neutral(repetition_penalty=0.5, frequency_penalty=-2.0, presence_penalty=-2.0)
    assert penalties(logits, torch.tensor([[0, 0]]), params)[0, 0] == -torch.inf


def test_temperature_nought_keeps_the_best_and_the_lowest_id_of_equals() -> None:
    assert kept(temperature(torch.tensor([[1.0, 3.0, 3.0, 2.0]]), NO_HISTORY, neutral(temperature=0))) == {1}
    tied = torch.zeros(1, 150_000)
    tied[0, [777, 9000, 149_999]] = 5.0
    assert kept(temperature(tied, NO_HISTORY, neutral(temperature=0))) == {777}


@pytest.mark.parametrize(
    "field", [f.name for f in dataclasses.fields(SamplingParams) if f.name in (*CUTOFFS, "temperature")]
)
def test_a_step_at_off_would_change_nothing_even_if_it_ran(field: str) -> None:
    logits = random_logits(3)
    if field != "top_k":  # at 0 it never runs: no distribution has no tokens
        torch.testing.assert_close(STEPS[field](logits, NO_HISTORY, neutral()), logits, rtol=0, atol=0)
