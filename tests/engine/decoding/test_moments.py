"""What the loop tells the sampling steps: where the prompt ends, what breaks a run, what was drawn before."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from driver import Driver, all_of, one
from engine import Generate, Generated, Prompt, SamplingParams, Tokens
from engine.decoding.loop import breakers
from engine.text.tokenizer import Tokenizer

PROMPT = Prompt(text="Once upon a time, there was a girl named Lily. Once upon a time, there was a girl named")


@pytest.fixture(scope="module")
def stories(assets: Path) -> Iterator[Driver]:
    driver = Driver()
    driver.load(assets / "models" / "stories260K")
    yield driver
    driver.engine.stop()


def test_breakers_are_the_tokens_that_the_texts_end_in(assets: Path) -> None:
    tokenizer = Tokenizer.load(str(assets / "models" / "companion"))
    found = breakers(tokenizer, (".", "\n", "!"))
    assert {tokenizer.decode([id]) for id in found} == {".", "\n", "!"}


def test_dry_keeps_the_answer_from_carrying_on_the_prompts_repetition(stories: Driver) -> None:
    greedy = SamplingParams.neutral(temperature=0, max_new_tokens=1, dry_breakers=())
    plain = one(stories.run(Generate(PROMPT, greedy)), Generated)
    dry = one(stories.run(Generate(PROMPT, greedy.replace(dry_multiplier=5.0, dry_base=4.0))), Generated)
    assert plain.text == " Lily" and dry.text != " Lily"


def test_a_penalty_on_the_answer_alone_leaves_its_first_token_as_it_is(stories: Driver) -> None:
    hard = SamplingParams.neutral(temperature=0, max_new_tokens=40, presence_penalty=2.0, repetition_penalty=2.0)
    plain = one(stories.run(Generate(PROMPT, SamplingParams.neutral(temperature=0, max_new_tokens=40))), Generated)
    answer = one(stories.run(Generate(PROMPT, hard.replace(penalty_scope="answer"))), Generated)
    assert answer.ids[0] == plain.ids[0]
    assert len(set(answer.ids)) > len(set(plain.ids))


@pytest.mark.parametrize("changes", [{"mirostat": "v2", "mirostat_tau": 2.0}, {"adaptive_target": 0.4, "min_p": 0.02}])
def test_an_answer_that_steers_itself_comes_out_the_same_with_its_seed(stories: Driver, changes: dict) -> None:
    params = SamplingParams.neutral(seed=5, max_new_tokens=60, **changes)
    first, second = (one(stories.run(Generate(PROMPT, params)), Generated) for _ in range(2))
    assert first.ids == second.ids
    free = one(stories.run(Generate(PROMPT, SamplingParams.neutral(seed=5, max_new_tokens=60))), Generated)
    assert free.ids != first.ids


def test_mirostat_holds_the_surprise_of_a_real_answer(stories: Driver) -> None:
    params = SamplingParams.neutral(seed=2, max_new_tokens=200, mirostat="v2", mirostat_tau=2.0)
    records = [r for e in all_of(stories.run(Generate(PROMPT, params)), Tokens) for r in e.records]
    surprise = [-math.log2(r.after[r.chosen]) for r in records]
    assert abs(np.mean(surprise[20:]) - 2.0) < 0.35
    assert all("mirostat" in r.steps for r in records)
