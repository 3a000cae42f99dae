"""What the texts among the sampling settings are as tokens, asked for as whoever shows them does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from driver import Driver, one
from engine import Generate, Prompt, SamplingParams, Tokenize, Tokenized, Tokens

GREEDY = SamplingParams.neutral(temperature=0.0, max_new_tokens=1)


@pytest.fixture
def driver() -> Iterator[Driver]:
    driver = Driver()
    driver.engine.start()
    yield driver
    assert driver.engine.stop()


def test_a_bias_acts_on_just_the_tokens_that_are_told_for_its_text(driver: Driver, assets: Path) -> None:
    driver.load(assets / "models" / "stories260K")
    tokens = one(driver.run(Tokenize(" lighthouse", setting=True)), Tokenized)
    assert len(tokens.ids) > 1 and "".join(tokens.pieces).strip() == "lighthouse"
    for id in tokens.ids:
        told = one(driver.run(Tokenize(f"#{id}", setting=True)), Tokenized)
        assert told.ids == (id,) and told.pieces[0] in tokens.pieces
    events = driver.run(Generate(Prompt(text="Once upon a time"), GREEDY.replace(logit_bias=((" lighthouse", 100.0),))))
    (record,) = one(events, Tokens).records
    assert record.id in tokens.ids


def test_an_encoder_decoder_writes_the_token_that_is_told_for_a_bias(driver: Driver, references: Path) -> None:
    driver.load(references / "models" / "aren-transliteration" / "hf")
    tokens = one(driver.run(Tokenize("b", setting=True)), Tokenized)
    assert tokens.pieces == ("b",)
    biased = GREEDY.replace(logit_bias=(("b", 100.0),))
    (record,) = one(driver.run(Generate(Prompt(source="آتزمون"), biased)), Tokens).records
    assert record.id == tokens.ids[0] and record.text == "b"
