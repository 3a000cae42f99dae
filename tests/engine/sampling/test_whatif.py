"""What would have been drawn, from stored candidates alone, against a fresh run of the chain on the full logits."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.decoding.cache import KVCache
from engine.decoding.recorder import Recorder
from engine.loading.loader import load
from engine.messages import TokenRecord
from engine.params import STEPS, LoadParams, SamplingParams
from engine.sampling.chain import Moment, apply, draw, trace
from engine.sampling.whatif import WhatIf
from engine.text.tokenizer import Tokenizer

SEED, PROMPT, CANDIDATES = 7, 40, 256


@dataclass(frozen=True, repr=False)
class Answer:
    """A thousand tokens of real text as if they had been drawn: full logits [T, V], ids, records."""

    logits: Tensor
    history: list[int]
    records: list[TokenRecord]
    what_if: WhatIf


@pytest.fixture(scope="module")
def answer(assets: Path, references: Path) -> Answer:
    folder = assets / "models" / "companion"
    loading = load(str(folder), LoadParams(precision="fp32", threads=1))
    try:
        while True:
            next(loading)
    except StopIteration as ended:
        model = ended.value.model
    tokenizer = Tokenizer.load(str(folder))
    text = sorted((references / "corpora" / "tinystories-sample").glob("*.txt"))[0].read_text("utf-8")[:8000]
    ids = tokenizer.encode(text)[: PROMPT + 1000]
    rows = []
    with torch.inference_mode():
        for start in range(PROMPT, len(ids), 500):
            piece = ids[start - PROMPT : start + 500]
            out = model(torch.tensor([piece]), KVCache.for_model(model), None, lambda: None, False, len(piece))
            rows.append(out[0, PROMPT - 1 : -1].float())
    logits = torch.cat(rows)
    recorder = Recorder(tokenizer, ids[:PROMPT], ())
    neutral = SamplingParams.neutral()
    history = ids[:PROMPT]
    for position, row in enumerate(logits, PROMPT):
        best = row.topk(CANDIDATES).indices
        token = draw(row, SEED, position)
        if not bool((best == token).any()):
            best = torch.cat((best, torch.tensor([token])))
        recorder.add(token, position, row, best, trace(row, torch.tensor(history), neutral, best))
        history.append(token)
    records = list(recorder.finish()[1])
    assert len(records) == len(logits) >= 1000 - PROMPT
    return Answer(logits, history, records, WhatIf(records, history, SEED, logits.shape[1], PROMPT))


def fresh(answer: Answer, row: int, params: SamplingParams) -> int:
    """The chain and the draw on the full logits."""
    position = PROMPT + row
    moment = Moment(SEED, position, PROMPT)
    history = torch.tensor([answer.history[:position]])
    return draw(apply(answer.logits[row : row + 1], history, params, moment)[0], SEED, position)


def some(rng: np.random.Generator) -> SamplingParams:
    """Settings as a person moves them: most knobs off, the others anywhere."""

    def maybe(off: float, low: float, high: float) -> float:
        return float(rng.uniform(low, high)) if rng.random() < 0.2 else off

    return SamplingParams(
        temperature=float(rng.choice([0, 0.3, 0.7, 1, 1.3])), top_k=int(rng.choice([0, 5, 40, 200])),
        top_p=maybe(1, 0.3, 0.99), min_p=maybe(0, 0.005, 0.2), typical_p=maybe(1, 0.3, 0.95),
        tail_free=maybe(1, 0.3, 0.95), top_a=maybe(0, 0.05, 0.5), epsilon_cutoff=maybe(0, 0.5, 9),
        eta_cutoff=maybe(0, 0.5, 20), top_n_sigma=maybe(0, 0.8, 2), xtc_probability=maybe(0, 0.1, 1),
        repetition_penalty=maybe(1, 1.05, 1.5), presence_penalty=maybe(0, 0.1, 1), frequency_penalty=maybe(0, 0.1, 1),
        penalty_scope=str(rng.choice(["all", "answer"])), dry_multiplier=maybe(0, 0.3, 2),
        no_repeat_ngram=int(rng.choice([0, 0, 0, 2, 3])), smoothing=maybe(0, 0.1, 0.6),
        stay_in_prompt=maybe(1, 1.05, 1.3),
    )  # fmt: skip


def changed(params: SamplingParams) -> dict[str, object]:
    """The settings that are not neutral, for a message that can be read."""
    off = SamplingParams.neutral().to_dict()
    return {name: value for name, value in params.to_dict().items() if value != off[name]}


def test_under_the_settings_that_drew_it_nothing_changes(answer: Answer) -> None:
    answer.what_if.stored.listen()
    derived = answer.what_if.derive(SamplingParams.neutral())
    assert not (derived.changed & ~derived.uncertain).any()
    assert derived.uncertain.mean() < 0.25  # nothing is cut here, so the tail is in play at every token


def test_a_thousand_tokens_come_out_as_a_fresh_run_of_the_chain_or_are_marked(answer: Answer) -> None:
    answer.what_if.stored.listen()
    rng = np.random.default_rng(3)
    uncertain, wrong, seen = 0, [], 0
    for _ in range(30):
        params = some(rng)
        derived = answer.what_if.derive(params)
        uncertain += int(derived.uncertain.sum())
        seen += len(derived.uncertain)
        for row in rng.integers(0, len(answer.logits), 20).tolist():
            if not derived.uncertain[row] and derived.chosen[row] != fresh(answer, row, params):
                wrong.append((changed(params), row))
    assert wrong == []
    assert uncertain / seen <= 0.02


@given(st.integers(0, 10_000), st.permutations(STEPS))
@settings(max_examples=15)
def test_in_any_order_what_is_not_marked_is_right(answer: Answer, seed: int, order: list[str]) -> None:
    rng = np.random.default_rng(seed)
    params = some(rng).replace(order=tuple(order))
    derived = answer.what_if.derive(params)
    for row in rng.integers(0, len(answer.logits), 12).tolist():
        assert derived.uncertain[row] or derived.chosen[row] == fresh(answer, row, params)


@pytest.mark.parametrize("changes", [{"top_k": 5}, {"top_p": 0.6}, {"tail_free": 0.8}, {"typical_p": 0.5}])
def test_who_comes_after_one_that_may_not_repeat_takes_its_place(answer: Answer, changes: dict[str, float]) -> None:
    params = SamplingParams.neutral(no_repeat_ngram=2, **changes)
    derived = answer.what_if.derive(params)
    barred = np.flatnonzero(answer.what_if.stored.completing(2)[:, :4].any(1) & ~derived.uncertain)
    assert len(barred) > 100
    for row in barred[::3].tolist():
        assert derived.chosen[row] == fresh(answer, row, params)


@pytest.mark.parametrize(("P", "count"), [(0.2, 6), (0.6, 60), (0.95, 4), (0.95, 20), (0.95, 60)])
def test_typical_is_right_where_the_tail_is_nearer_than_the_likeliest(answer: Answer, P: float, count: int) -> None:
    """Of few candidates much is hidden: what lies there may be nearer to the expected surprise than the best are."""
    records = [
        dataclasses.replace(r, candidate_ids=r.candidate_ids[:count], logits=r.logits[:count], cut=r.cut[:count])
        for r in answer.records
    ]
    short = WhatIf(records, answer.history, SEED, answer.logits.shape[1], PROMPT)
    short.stored.listen()
    params = SamplingParams.neutral(typical_p=P)
    derived = short.derive(params)
    certain = np.flatnonzero(~derived.uncertain)
    assert len(certain) > 100
    for row in certain.tolist():
        assert derived.chosen[row] == fresh(answer, row, params)


def test_a_column_says_which_step_cut_a_candidate_and_what_remains(answer: Answer) -> None:
    params = SamplingParams(typical_p=0.9, repetition_penalty=1.2)
    for row in (3, 400, 900):
        stages, derived = answer.what_if.stages(row, params)
        position = PROMPT + row
        ids = torch.from_numpy(answer.what_if.stored.ids[row])
        stored = ids >= 0
        result = trace(
            answer.logits[row],
            torch.tensor(answer.history[:position]),
            params,
            ids[stored],
            Moment(SEED, position, PROMPT),
        )
        assert tuple(stage.step for stage in stages[1:]) == result.steps == derived.steps
        for index, stage in enumerate(stages[1:]):
            np.testing.assert_array_equal(stage.cut[: int(stored.sum())], result.cut.numpy() == index)
        last = stages[-1].probabilities[: int(stored.sum())]
        np.testing.assert_allclose(last, result.logits.softmax(0)[ids[stored]].numpy(), rtol=1e-3, atol=1e-5)
        raw = answer.logits[row].softmax(0)[ids[stored]].numpy()
        np.testing.assert_allclose(stages[0].probabilities[: int(stored.sum())], raw, rtol=1e-3, atol=1e-5)


def test_steps_that_follow_what_was_drawn_are_marked_uncertain(answer: Answer) -> None:
    for changes in ({"mirostat": "v1"}, {"mirostat": "v2"}, {"adaptive_target": 0.5}):
        derived = answer.what_if.derive(SamplingParams.neutral(**changes))
        assert derived.uncertain.all()
        assert (derived.chosen >= 0).all()


def test_without_the_tails_luck_more_is_uncertain_and_nothing_is_wrong(answer: Answer) -> None:
    deaf = WhatIf(answer.records, answer.history, SEED, answer.logits.shape[1], PROMPT)
    answer.what_if.stored.listen()
    params = SamplingParams.neutral(temperature=0.8)
    blind, hearing = deaf.derive(params), answer.what_if.derive(params)
    assert (blind.uncertain >= hearing.uncertain).all() and blind.uncertain.all()
    certain = SamplingParams()
    assert not deaf.derive(certain).uncertain[deaf.derive(certain).chosen < 0].any()
    assert deaf.derive(certain).uncertain.mean() < 0.02


def test_an_answer_without_tokens_or_candidates_is_no_error(answer: Answer) -> None:
    empty = WhatIf([], [1, 2], 0, 100, 2).derive(SamplingParams())
    assert len(empty.chosen) == 0
    bare = [dataclasses.replace(r, candidate_ids=r.candidate_ids[:0], logits=r.logits[:0]) for r in answer.records[:3]]
    nothing = WhatIf(bare, answer.history, SEED, 4096, PROMPT).derive(SamplingParams())
    assert nothing.uncertain.all() and not nothing.changed.any()


def test_it_is_imported_without_torch() -> None:
    code = "import sys, engine.sampling.whatif; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_texts_and_files_barred_stays_barred_while_they_are_the_same(answer: Answer) -> None:
    params = SamplingParams(banned_words=("x",), end_token="never")
    worst = [[id for id in row[:3].tolist() if id >= 0] for row in answer.what_if.stored.ids[:50]]
    records = []
    for row, record in enumerate(answer.records[:50]):
        ids = torch.from_numpy(answer.what_if.stored.ids[row])
        moment = Moment(SEED, PROMPT + row, PROMPT, words=tuple((id,) for id in worst[row]))
        result = trace(answer.logits[row], torch.tensor(answer.history[: PROMPT + row]), params, ids, moment)
        cut = result.cut.numpy()[: len(record.cut)]
        records.append(dataclasses.replace(record, cut=cut, steps=result.steps, id=int(result.ids[0])))
    sets = answer.history, SEED, answer.logits.shape[1], PROMPT, frozenset[int]()
    same = WhatIf(records, *sets, params).derive(params)
    assert same.uncertain.mean() < 0.1
    for row, (chosen, uncertain) in enumerate(zip(same.chosen, same.uncertain)):
        moment = Moment(SEED, PROMPT + row, PROMPT, words=tuple((id,) for id in worst[row]))
        final = apply(answer.logits[row][None], torch.tensor([answer.history[: PROMPT + row]]), params, moment)
        assert uncertain or chosen == draw(final[0], SEED, PROMPT + row)
    assert WhatIf(records, *sets, params).derive(params.replace(banned_words=("y",))).uncertain.all()
    assert WhatIf(records, *sets).derive(params).uncertain.all()
    assert WhatIf(answer.records[:50], *sets, params).derive(params.replace(logit_bias=(("x", 1.0),))).uncertain.all()
