"""A second model beside the first: both answer and score, and to put one down leaves the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from driver import Driver, one
from engine import (
    CaptureParams,
    Done,
    Failed,
    Generate,
    Generated,
    LoadParams,
    LoadSecond,
    Prompt,
    SamplingParams,
    Score,
    Scored,
    SecondLoaded,
    Tokenized,
    TokenizeWith,
    Unload,
)

ONCE = Prompt(text="Once upon a time")
GREEDY = SamplingParams.neutral(temperature=0.0, max_new_tokens=12)
BARE = CaptureParams(candidates=0)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    driver = Driver(tmp_path_factory.mktemp("home"))
    driver.engine.start()
    yield driver
    assert driver.engine.stop()


@pytest.fixture
def both(driver: Driver, assets: Path) -> Driver:
    driver.log.clear()
    driver.load(assets / "models" / "stories260K")
    load_second(driver, assets / "models" / "babyllama-361")
    driver.log.clear()
    return driver


def load_second(driver: Driver, path: Path | str) -> SecondLoaded:
    return one(driver.run(LoadSecond(str(path), LoadParams(precision="fp32", threads=1))), SecondLoaded)


def text(driver: Driver, second: bool) -> str:
    return one(driver.run(Generate(ONCE, GREEDY, BARE, second=second)), Generated).text


def test_each_model_writes_and_scores_as_it_does_alone(both: Driver, assets: Path) -> None:
    written = [text(both, second) for second in (False, True)]
    scored = [one(both.run(Score(ONCE, second=second)), Scored).nll for second in (False, True)]
    assert written[0] != written[1]
    both.load(assets / "models" / "babyllama-361")
    assert (text(both, False), one(both.run(Score(ONCE)), Scored).nll) == (written[1], scored[1])


def test_answers_of_two_models_stream_at_once(both: Driver) -> None:
    runs = [both.submit(Generate(ONCE, GREEDY, BARE, second=second)) for second in (False, True)]
    for run in runs:
        assert isinstance(both.finish(run)[-1], Done)
    order = [event.run for event in both.log]
    first, second = (run.id for run in runs)
    assert order.index(second) < len(order) - 1 - order[::-1].index(first)


def test_what_one_has_read_is_not_the_others_prefix(both: Driver) -> None:
    alone = [text(both, second) for second in (False, True)]
    assert [text(both, second) for second in (False, True)] == alone


def test_putting_the_second_down_leaves_the_first(both: Driver) -> None:
    before = text(both, False)
    assert load_second(both, "").info is None
    assert one(both.run(Generate(ONCE, GREEDY, second=True)), Failed).message == "No second model is loaded."
    assert text(both, False) == before


def test_the_second_stays_when_the_first_goes(both: Driver) -> None:
    before = text(both, True)
    both.run(Unload())
    assert text(both, True) == before


def test_a_text_is_tokenised_by_any_models_tokenizer_without_its_weights(tmp_path: Path, assets: Path) -> None:
    said = "taco bell tacobell café"
    driver = Driver(tmp_path)
    for name in ("companion", "stories260K"):
        found = one(driver.run(TokenizeWith(str(assets / "models" / name), said, special=False)), Tokenized)
        assert len(found.ids) == len(found.pieces) == len(found.raw) and found.vocabulary > max(found.ids)
        assert b"".join(found.raw).decode().strip() == said
    missing = driver.run(TokenizeWith(str(assets / "models" / "nothing"), said))
    assert isinstance(missing[-1], Failed)
    assert driver.engine.stop()


def test_a_gguf_file_gives_its_tokenizer_too(tmp_path: Path, references: Path) -> None:
    vocabulary = references / "tokenizers" / "llamacpp-vocab-gguf" / "ggml-vocab-gpt-2.gguf"
    driver = Driver(tmp_path)
    found = one(driver.run(TokenizeWith(str(vocabulary), "taco bell", special=False)), Tokenized)
    assert b"".join(found.raw) == b"taco bell" and found.vocabulary == 50257
    assert driver.engine.stop()
