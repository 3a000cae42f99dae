"""The chain: off is identity, order matters, and the trace tells the truth about both."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.errors import EngineError
from engine.params import FIRST, STEPS, TRANSFORMERS_ORDER, SamplingParams
from engine.sampling import chain
from engine.sampling.chain import Moment, active, apply, draw, probabilities, trace

ROOT = Path(__file__).resolve().parents[3]
NO_HISTORY = torch.zeros(1, 0, dtype=torch.long)

some_params = st.builds(
    SamplingParams,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.0]),
    top_k=st.sampled_from([0, 1, 5, 200]),
    top_p=st.sampled_from([0.0, 0.5, 0.95, 1.0]),
    min_p=st.sampled_from([0.0, 0.05, 1.0]),
    typical_p=st.sampled_from([0.2, 0.9, 1.0]),
    repetition_penalty=st.sampled_from([1.0, 1.3]),
    frequency_penalty=st.sampled_from([0.0, 0.5]),
    dry_multiplier=st.sampled_from([0.0, 0.8]),
    no_repeat_ngram=st.sampled_from([0, 2]),
    top_n_sigma=st.sampled_from([0.0, 1.0]),
    tail_free=st.sampled_from([1.0, 0.9]),
    top_a=st.sampled_from([0.0, 0.3]),
    epsilon_cutoff=st.sampled_from([0.0, 5.0]),
    eta_cutoff=st.sampled_from([0.0, 10.0]),
    xtc_probability=st.sampled_from([0.0, 0.5]),
    smoothing=st.sampled_from([0.0, 0.3]),
    dynamic_range=st.sampled_from([0.0, 0.5]),
    mirostat=st.sampled_from(["off", "off", "v1", "v2"]),
    adaptive_target=st.sampled_from([0.0, 0.0, 0.4]),
    order=st.permutations(STEPS),
)
some_moments = st.builds(
    Moment,
    seed=st.integers(0, 9),
    position=st.integers(0, 9),
    prompt=st.integers(0, 10),
    surprise_limit=st.sampled_from([None, 2.0, 8.0]),
    favoured=st.sampled_from([None, (3.0, 10.0)]),
)


def random_logits(seed: int, size: int = 3000, spread: float = 3.0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)) * spread


def test_every_step_has_its_function() -> None:
    assert tuple(chain.STEPS) == (*FIRST, *STEPS, *chain.LAST)
    assert sorted(TRANSFORMERS_ORDER) == sorted(STEPS)


def test_neutral_params_leave_the_logits_as_they_are() -> None:
    logits = random_logits(0).unsqueeze(0)
    assert active(SamplingParams.neutral()) == ()
    assert torch.equal(apply(logits, torch.tensor([[1, 2]]), SamplingParams.neutral()), logits)


@pytest.mark.parametrize("order", [STEPS, TRANSFORMERS_ORDER])
def test_active_steps_stand_in_the_order_given(order: tuple[str, ...]) -> None:
    params = SamplingParams(order=order, repetition_penalty=1.2)
    on = {"penalties", "temperature", "top_k", "top_p", "min_p"}
    assert active(params) == tuple(step for step in order if step in on)
    assert active(params.replace(temperature=0)) == tuple(
        step for step in order if step in ("penalties", "temperature")
    )


def test_the_order_of_steps_changes_who_survives() -> None:
    logits = random_logits(1).unsqueeze(0)
    cold = SamplingParams.neutral(temperature=0.3, min_p=0.1)
    early = apply(logits, NO_HISTORY, cold.replace(order=TRANSFORMERS_ORDER))
    late = apply(logits, NO_HISTORY, cold)
    assert (early > -torch.inf).sum() < (late > -torch.inf).sum()


@given(st.integers(0, 10_000), some_params, st.sampled_from([30, 3000]), some_moments)
@settings(max_examples=200)
def test_the_chain_is_its_steps_one_after_the_other(
    seed: int, params: SamplingParams, size: int, moment: Moment
) -> None:
    """The chain goes on with the few tokens left; step by step over the whole vocabulary must agree."""
    logits = random_logits(seed, size).unsqueeze(0)
    history = torch.randint(0, size, (1, 20), generator=torch.Generator().manual_seed(seed))
    expected = logits
    for name in active(params):
        expected = chain.STEPS[name](expected, history, params, moment)
    torch.testing.assert_close(apply(logits, history, params, moment), expected, rtol=1e-5, atol=1e-5)


@given(st.integers(0, 10_000), some_params, some_moments)
@settings(max_examples=200)
def test_the_trace_names_the_step_that_removed_each_candidate(
    seed: int, params: SamplingParams, moment: Moment
) -> None:
    logits = random_logits(seed, 400)
    history = torch.randint(0, 400, (20,), generator=torch.Generator().manual_seed(seed))
    everyone = torch.randperm(400, generator=torch.Generator().manual_seed(seed))
    result = trace(logits, history, params, everyone, moment)
    assert torch.equal(result.logits, apply(logits.unsqueeze(0), history.unsqueeze(0), params, moment)[0])
    assert result.steps == active(params)
    assert torch.equal(result.cut == -1, result.logits[everyone] > -torch.inf)
    row, survivors = logits.unsqueeze(0), 400
    for index, name in enumerate(result.steps):
        row = chain.STEPS[name](row, history.unsqueeze(0), params, moment)
        alive = row[0] > -torch.inf
        assert int((result.cut == index).sum()) == survivors - int(alive.sum())
        assert not alive[everyone[result.cut == index]].any()
        survivors = result.survivors[index]
        assert survivors == int(alive.sum()) >= 1
        assert result.mass[index] == pytest.approx(float(logits.softmax(0)[alive].sum()), abs=1e-5)


@given(st.integers(0, 1000), some_params)
@settings(max_examples=30)
def test_a_trace_that_is_asked_about_others_answers_as_if_it_had_been_at_first(
    seed: int, params: SamplingParams
) -> None:
    logits, history = random_logits(seed, 500), torch.randint(0, 500, (20,))
    others = torch.tensor([499, 3, 77])
    first = trace(logits, history, params, logits.topk(9).indices)
    assert torch.equal(first.about(others).cut, trace(logits, history, params, others).cut)


def test_rows_of_a_batch_are_treated_each_for_itself() -> None:
    logits = torch.stack([random_logits(0), random_logits(1, spread=0.5)])
    history = torch.randint(0, 3000, (2, 40))
    params = SamplingParams(repetition_penalty=1.2, typical_p=0.95)
    together = apply(logits, history, params)
    for i in range(2):
        torch.testing.assert_close(together[i : i + 1], apply(logits[i : i + 1], history[i : i + 1], params))


def test_a_large_vocabulary_and_a_history_longer_than_the_window_work() -> None:
    logits = random_logits(0, 150_000)
    history = torch.randint(0, 150_000, (5000,))
    result = trace(logits, history, SamplingParams(repetition_penalty=1.1), logits.topk(64).indices)
    assert result.survivors[1] == 40
    assert int((result.cut == -1).sum()) == result.survivors[-1]


@given(st.integers(0, 10_000), some_params)
def test_temperature_nought_draws_the_argmax_whatever_the_cutoffs(seed: int, params: SamplingParams) -> None:
    logits = random_logits(seed)
    params = params.replace(temperature=0, repetition_penalty=1.0, frequency_penalty=0.0, dry_multiplier=0.0)
    params = params.replace(no_repeat_ngram=0)
    assert draw(apply(logits.unsqueeze(0), NO_HISTORY, params)[0], seed, 0) == int(logits.argmax())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_unusable_logits_are_refused_before_any_step(value: float) -> None:
    logits = torch.zeros(500)
    logits[:] = value if value < 0 else logits
    logits[7] = value
    with pytest.raises(EngineError, match="no usable number"):
        trace(logits, NO_HISTORY[0], SamplingParams(typical_p=0.5), torch.arange(5))


def test_probabilities_are_nought_where_cut_and_add_up_to_one() -> None:
    final = apply(random_logits(0).unsqueeze(0), NO_HISTORY, SamplingParams())[0]
    after = probabilities(final)
    assert torch.equal(after > 0, final > -torch.inf)
    assert float(after.sum()) == pytest.approx(1, abs=1e-6)


def test_bundled_presets_are_valid_and_complete(assets: Path) -> None:
    presets = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((assets / "presets").glob("*.json"))]
    assert {preset["name"] for preset in presets} == {"Greedy", "Precise", "Balanced", "Creative", "Wild"}
    for preset in presets:
        assert set(preset) == {"name", "description", "sampling"}
        params, unknown = SamplingParams.from_dict(preset["sampling"])
        assert unknown == ()
        assert preset["description"].endswith(".")
        knobs = {knob.name for knob in SamplingParams.table() if knob.off is not None} - {"beams"}
        assert set(preset["sampling"]) <= knobs, "what a preset does not name is off; lengths and seeds stay"
        if preset["name"] == "Balanced":
            assert params == SamplingParams()
        if preset["name"] == "Greedy":
            assert active(params) == ("temperature",)


def test_a_token_costs_the_chain_little_on_one_thread() -> None:
    """Measured: 0.9 ms for 150,000 logits with a trace of 256; the bound leaves room for a busy machine."""
    logits = random_logits(0, 150_000)
    history = torch.randint(0, 150_000, (300,))
    candidates = logits.topk(256).indices
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        begun = time.process_time()
        for _ in range(20):
            trace(logits, history, SamplingParams(), candidates)
        assert (time.process_time() - begun) / 20 < 0.015
    finally:
        torch.set_num_threads(threads)
