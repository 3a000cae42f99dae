"""The steps beyond temperature, top-k, top-p, min-p, typical and the plain penalties: each against transformers where
it has the step, against its formula in float64 where not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.params import STEPS, SamplingParams
from engine.sampling.chain import Moment, advance, apply, draw, trace
from engine.sampling.cutoffs import epsilon_cutoff, eta_cutoff, tail_free, top_a, top_n_sigma, xtc
from engine.sampling.noise import uniform
from engine.sampling.penalties import dry, no_repeat, penalties, stay
from engine.sampling.shaping import smoothing, temperature
from engine.sampling.steering import adaptive_p, mirostat

NO_HISTORY = torch.zeros(1, 0, dtype=torch.long)
rows = st.lists(st.floats(-12, 12, width=32), min_size=3, max_size=60, unique=True)


def kept(logits: Tensor) -> set[int]:
    return set((logits[0] > -torch.inf).nonzero().flatten().tolist())


def neutral(**changes: object) -> SamplingParams:
    return SamplingParams.neutral(**changes)


def softmax(values: np.ndarray) -> np.ndarray:
    weights = np.exp(values - values.max())
    return weights / weights.sum()


def random_logits(seed: int, size: int = 4000, count: int = 1) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed)) * 3


@pytest.mark.parity
@pytest.mark.parametrize("seed", range(5))
def test_the_steps_that_transformers_has_agree_with_it(seed: int) -> None:
    from transformers.generation import logits_process as reference

    logits = random_logits(seed, 300, count=2)
    history = torch.randint(0, 40, (2, 60), generator=torch.Generator().manual_seed(seed))
    prompt = torch.randint(0, 300, (1, 20), generator=torch.Generator().manual_seed(seed + 100))
    e = 0.5 + 2 * seed
    pairs = [
        (epsilon_cutoff, {"epsilon_cutoff": e}, reference.EpsilonLogitsWarper(e * 1e-4)),
        (eta_cutoff, {"eta_cutoff": e}, reference.EtaLogitsWarper(e * 1e-4)),
        (no_repeat, {"no_repeat_ngram": seed + 1}, reference.NoRepeatNGramLogitsProcessor(seed + 1)),
    ]
    for step, changes, processor in pairs:
        torch.testing.assert_close(step(logits, history, neutral(**changes)), processor(history, logits.clone()))
    for ids, moment, where in (
        (prompt, Moment(source=prompt[0]), history),
        (history[:1, :20], Moment(prompt=20), history[:1]),
    ):
        mine = stay(logits[: len(where)], where, neutral(stay_in_prompt=1.3), moment)
        theirs = reference.EncoderRepetitionPenaltyLogitsProcessor(1.3, ids)(where, logits[: len(where)].clone())
        torch.testing.assert_close(mine, theirs)


@given(rows, st.floats(0.05, 4))
def test_top_n_sigma_keeps_what_is_within_n_deviations(row: list[float], n: float) -> None:
    exact = np.array(row)
    border = exact.max() - n * exact.std()
    assume(np.abs(exact - border).min() > 1e-4)
    assert kept(top_n_sigma(torch.tensor([row]), NO_HISTORY, neutral(top_n_sigma=n))) == set(
        np.flatnonzero(exact >= border).tolist()
    )


def test_top_n_sigma_reads_only_what_is_not_cut() -> None:
    logits = torch.tensor([[4.0, 3.0, 0.0, -torch.inf, -1.0]])
    alone = torch.tensor([[4.0, 3.0, 0.0, -1.0]])
    params = neutral(top_n_sigma=0.5)
    assert kept(top_n_sigma(logits, NO_HISTORY, params)) == kept(top_n_sigma(alone, NO_HISTORY, params)) == {0, 1}


@given(rows, st.floats(0.01, 1))
def test_top_a_drops_below_a_share_of_the_best_squared(row: list[float], a: float) -> None:
    p = softmax(np.array(row))
    assume(np.abs(p / (a * p.max() ** 2) - 1).min() > 1e-4)
    expected = set(np.flatnonzero(p >= a * p.max() ** 2).tolist())
    assert kept(top_a(torch.tensor([row]), NO_HISTORY, neutral(top_a=a))) == expected


@given(rows, st.floats(0.1, 0.999))
def test_tail_free_cuts_where_the_second_differences_have_added_up(row: list[float], z: float) -> None:
    order = np.argsort(-np.array(row))
    bends = np.abs(np.diff(softmax(np.array(row))[order], 2))
    assume(bends.sum() > 1e-5)
    share = np.cumsum(bends / bends.sum())
    assume(np.abs(share - z).min() > 1e-4)
    # The first stays; each later one stays while the sum before it is within z; the last always goes.
    expected = {int(order[0])} | {int(order[i + 1]) for i in range(len(share)) if share[i] <= z}
    assert kept(tail_free(torch.tensor([row]), NO_HISTORY, neutral(tail_free=z))) == expected


def test_tail_free_shares_evenly_where_nothing_bends() -> None:
    flat = torch.linspace(0, 1e-6, 12).unsqueeze(0)
    assert 1 <= len(kept(tail_free(flat, NO_HISTORY, neutral(tail_free=0.5)))) <= 12


@given(rows, st.floats(0.0, 0.5), st.integers(0, 50))
def test_xtc_leaves_the_least_likely_of_the_top_choices(row: list[float], t: float, position: int) -> None:
    p = softmax(np.array(row))
    assume(np.abs(p - t).min() > 1e-6 and np.diff(np.sort(np.array(row))).min() > 1e-4)
    top = np.flatnonzero(p >= t)
    gone = set(top.tolist()) - {int(top[np.argmin(p[top])])} if len(top) > 1 else set()
    logits = torch.tensor([row])
    moment = Moment(seed=3, position=position)
    always = neutral(xtc_probability=1.0, xtc_threshold=t)
    assert kept(xtc(logits, NO_HISTORY, always, moment)) == set(range(len(row))) - gone
    sometimes = always.replace(xtc_probability=0.5)
    happens = uniform(3, position) < 0.5
    assert kept(xtc(logits, NO_HISTORY, sometimes, moment)) == set(range(len(row))) - (gone if happens else set())


def test_xtc_happens_as_often_as_it_is_asked_to() -> None:
    share = np.mean([uniform(seed, position) < 0.3 for seed in range(40) for position in range(250)])
    assert abs(share - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 10_000)


def dry_reference(past: list[int], vocabulary: int, params: SamplingParams, breakers: set[int]) -> np.ndarray:
    """As defined: for every x, the longest m such that the last m ids stand somewhere earlier, right before an x."""
    penalty = np.zeros(vocabulary)
    past = past[-params.dry_window :]
    for x in set(past):
        longest = 0
        for at in range(len(past)):
            if past[at] != x:
                continue
            m = 0
            while m < at and m < len(past) and m < 50 and past[at - 1 - m] == past[len(past) - 1 - m]:
                if past[at - 1 - m] in breakers:
                    break
                m += 1
            longest = max(longest, m)
        if longest >= params.dry_allowed_length:
            penalty[x] = params.dry_multiplier * params.dry_base ** (longest - params.dry_allowed_length)
    return penalty


@given(
    st.lists(st.integers(0, 3), min_size=0, max_size=70),
    st.integers(1, 4),
    st.sampled_from([5, 40, 4096]),
    st.sets(st.integers(0, 3), max_size=2),
)
@settings(max_examples=200)
def test_dry_penalises_what_would_carry_on_a_repetition(past: list[int], A: int, window: int, stops: set[int]) -> None:
    params = neutral(dry_multiplier=0.8, dry_allowed_length=A, dry_window=window)
    logits = random_logits(0, 6)
    mine = dry(logits, torch.tensor([past], dtype=torch.long), params, Moment(breakers=frozenset(stops)))
    expected = logits[0].double().numpy() - dry_reference(past, 6, params, stops)
    np.testing.assert_allclose(mine[0].numpy(), expected, rtol=1e-5)


def test_dry_stays_finite_however_long_the_repetition() -> None:
    params = neutral(dry_multiplier=5, dry_base=4.0, dry_allowed_length=1, dry_window=4096)
    left = dry(torch.zeros(1, 4), torch.ones(1, 4096, dtype=torch.long), params)
    assert torch.isfinite(left).all() and left[0, 1] < -1e20 and left[0, 0] == 0


def test_no_repeat_never_cuts_everything() -> None:
    history = torch.tensor([[0, 1, 0, 0, 1, 1, 0]])
    assert len(kept(no_repeat(torch.tensor([[1.0, 2.0]]), history, neutral(no_repeat_ngram=1)))) == 1


def test_penalties_of_the_answer_alone_leave_the_prompt_out() -> None:
    logits, history = torch.ones(1, 4), torch.tensor([[0, 1, 2]])
    params = neutral(presence_penalty=0.5, penalty_scope="answer")
    assert penalties(logits, history, params, Moment(prompt=2)).tolist() == [[1.0, 1.0, 0.5, 1.0]]
    assert penalties(logits, history, params, Moment(prompt=3)) is logits


@given(rows, st.floats(0.1, 2), st.floats(0, 2), st.floats(0.2, 4))
@example([10.0, -3.0, -4.0], 1.0, 1.0, 0.5)  # all but certain: nearly all of the entropy is what the others have
def test_dynamic_temperature_follows_the_entropy(row: list[float], T: float, d: float, e: float) -> None:
    assume(d > 0)
    p = softmax(np.array(row))
    low, high = max(0.0, T - d), T + d
    heat = low + (high - low) * (-(p * np.log(p)).sum() / np.log(len(p))) ** e
    assume(heat > 2e-3)
    params = neutral(temperature=T, dynamic_range=d, dynamic_exponent=e)
    mine = temperature(torch.tensor([row]), NO_HISTORY, params)[0].double().numpy()
    np.testing.assert_allclose(mine, np.array(row) / heat, rtol=2e-5, atol=1e-6)


def test_dynamic_temperature_of_one_token_and_of_a_cut_row_is_a_number() -> None:
    params = neutral(temperature=0.5, dynamic_range=1.0)
    logits = torch.tensor([[-torch.inf, 2.0, -torch.inf]])
    assert kept(temperature(logits, NO_HISTORY, params)) == {1}


@given(rows, st.floats(0.01, 10), st.floats(1, 10))
def test_smoothing_is_its_polynomial(row: list[float], s: float, curve: float) -> None:
    d = np.array(row) - max(row)
    expected = max(row) - (3 - curve) / 2 * s * d**2 + (curve - 1) / 2 * s * d**3
    mine = smoothing(torch.tensor([[*row, -torch.inf]]), NO_HISTORY, neutral(smoothing=s, smoothing_curve=curve))[0]
    np.testing.assert_allclose(mine[:-1].double().numpy(), expected, rtol=1e-3, atol=1e-3)
    assert mine[-1] == -torch.inf


@given(rows, st.floats(0.2, 12))
def test_mirostat_2_cuts_what_surprises_more_than_mu(row: list[float], mu: float) -> None:
    surprise = -np.log2(softmax(np.array(row)))
    assume(np.abs(surprise - mu).min() > 1e-4)
    expected = set(np.flatnonzero(surprise <= mu).tolist()) or {int(np.argmax(row))}
    params = neutral(mirostat="v2")
    assert kept(mirostat(torch.tensor([row]), NO_HISTORY, params, Moment(surprise_limit=mu))) == expected


@given(rows, st.floats(0.2, 12))
def test_mirostat_1_keeps_as_many_as_its_zipf_slope_says(row: list[float], mu: float) -> None:
    assume(np.diff(np.sort(np.array(row))).min() > 1e-4)
    p = np.sort(softmax(np.array(row)))[::-1][:100]
    t = np.log([(i + 2) / (i + 1) for i in range(len(p) - 1)])
    slope = (t * np.log(p[:-1] / p[1:])).sum() / (t**2).sum()
    assume(abs(slope - 1) > 1e-3)
    k = ((slope - 1) * 2**mu / (1 - len(row) ** (1 - slope))) ** (1 / slope)
    assume(slope > 0.05 and abs(k - round(k)) > 1e-3)
    left = mirostat(torch.tensor([row]), NO_HISTORY, neutral(mirostat="v1"), Moment(surprise_limit=mu))
    assert len(kept(left)) == min(len(row), max(1, int(k)))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_mirostat_brings_the_surprise_to_its_target(version: str) -> None:
    params = neutral(mirostat=version, mirostat_tau=3.0)
    moment, surprises = Moment(seed=1), []
    for position in range(400):
        logits = random_logits(position, 3000)[0]
        result = trace(logits, NO_HISTORY[0], params, torch.zeros(0, dtype=torch.long), moment)
        token = draw(result.logits, 1, position)
        surprises.append(-math.log2(float(result.logits.softmax(0)[token])))
        moment = advance(moment, params, result, token)
    assert moment.position == moment.written == 400
    assert abs(np.mean(surprises[100:]) - 3.0) < 0.2


@given(rows, st.floats(0.05, 1), st.floats(0, 0.99), st.lists(st.floats(0, 1), max_size=8))
def test_adaptive_p_bends_towards_its_corrected_target(
    row: list[float], target: float, decay: float, drawn: list[float]
) -> None:
    params = neutral(adaptive_target=target, adaptive_decay=decay)
    moment = Moment()
    total, weight = target / (1 - decay), 1 / (1 - decay)
    for p in drawn:
        moment = moment.after(params, p)
        total, weight = p + decay * total, 1 + decay * weight
    aim = min(1.0, max(0.0, 2 * target - total / weight))
    d = np.abs(softmax(np.array(row)) - aim) / 0.3
    mine = adaptive_p(torch.tensor([row]), NO_HISTORY, params, moment)[0]
    np.testing.assert_allclose(mine.double().numpy(), 5 - 10 * d**2 / (1 + d), rtol=1e-4, atol=1e-4)


def test_adaptive_p_remembers_the_probability_before_it_bent_it() -> None:
    params = neutral(adaptive_target=0.3, min_p=0.01)
    logits = random_logits(5, 50)[0]
    result = trace(logits, NO_HISTORY[0], params, torch.arange(50), Moment())
    token = draw(result.logits, 0, 0)
    floor = logits.softmax(0) >= 0.01 * logits.softmax(0).max()
    p = float(torch.where(floor, logits, -torch.inf).softmax(0)[token])
    after = advance(Moment(), params, result, token)
    assert after.favoured == pytest.approx((p + 0.9 * 3.0, 1 + 0.9 * 10.0))


def test_what_rests_says_why_and_does_not_run() -> None:
    everything = neutral(top_p=0.5, top_k=3, xtc_probability=1.0, dynamic_range=0.5, temperature=0.7, min_p=0.1)
    for changes, resting in (
        (
            {"mirostat": "v2", "adaptive_target": 0.5},
            {"top_p", "top_k", "min_p", "xtc_probability", "dynamic_range", "adaptive_target"},
        ),
        ({"adaptive_target": 0.5}, {"top_p", "xtc_probability"}),
        ({"temperature": 0.0}, {"top_p", "top_k", "min_p", "xtc_probability", "dynamic_range"}),
    ):
        params = everything.replace(**changes)
        assert resting <= params.resting.keys()
        assert all(why.endswith("rests.") for why in params.resting.values())
        result = trace(random_logits(2, 500)[0], NO_HISTORY[0], params, torch.arange(5))
        assert not {knob.removesuffix("_probability") for knob in resting} & set(result.steps)
    assert everything.resting.keys() == {"negative_prompt"} and everything.replace(guidance=1.5).resting == {}


@given(st.permutations(STEPS), st.integers(0, 1000))
@settings(max_examples=60)
def test_everything_at_once_still_leaves_something_to_draw(order: list[str], seed: int) -> None:
    params = SamplingParams(
        order=tuple(order), temperature=1.3, dynamic_range=1.0, smoothing=0.4, smoothing_curve=2.0, top_k=30, top_p=0.4,
        min_p=0.2, typical_p=0.3, top_n_sigma=0.5, tail_free=0.2, top_a=0.5, epsilon_cutoff=9.0, eta_cutoff=20.0,
        xtc_probability=1.0, repetition_penalty=1.4, stay_in_prompt=1.2, no_repeat_ngram=1, dry_multiplier=2.0,
    )  # fmt: skip
    history = torch.randint(0, 80, (1, 50), generator=torch.Generator().manual_seed(seed))
    left = apply(random_logits(seed, 80), history, params, Moment(seed=seed, prompt=10))
    assert kept(left) and not left.isnan().any()
