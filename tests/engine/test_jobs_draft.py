"""A smaller model drafts: the answers stay the same, whichever it is, and a model that cannot is refused in words."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from checkpoints import write_tiny
from safetensors.torch import load_file, save_file

from driver import Driver, all_of, one
from engine import (
    CaptureParams,
    DraftLoaded,
    Failed,
    Generate,
    Generated,
    LoadDraft,
    Prompt,
    SamplingParams,
    Stats,
    Unload,
)
from engine.decoding import speculation

BARE = CaptureParams(candidates=0)
PROMPT = Prompt(text="Once upon a time there was a dog who")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    driver = Driver(tmp_path_factory.mktemp("home"))
    with pytest.MonkeyPatch.context() as patch:
        # A draft model, which has read nothing yet when it is measured, costs a twentieth.
        patch.setattr(speculation, "pass_seconds", lambda context, rows, check: 1.0 if context.ids else 0.05)
        driver.engine.start()
        yield driver
        assert driver.engine.stop()


@pytest.fixture(scope="module")
def story(assets: Path) -> Path:
    return assets / "models" / "stories260K"


@pytest.fixture
def stories(driver: Driver, story: Path) -> Driver:
    driver.load(story)
    return driver


def ids(driver: Driver, sampling: SamplingParams) -> tuple[tuple[int, ...], float]:
    driver.log.clear()
    events = driver.run(Generate(PROMPT, sampling, BARE))
    return one(events, Generated).ids, all_of(events, Stats)[-1].tokens_per_pass


def noisy(story: Path, folder: Path, share: float) -> Path:
    """A copy of a model whose weights are off by a share of their size."""
    shutil.copytree(story, folder)
    source = torch.Generator().manual_seed(0)
    weights = load_file(folder / "model.safetensors")
    for name, weight in weights.items():
        noise = torch.randn(weight.shape, generator=source) * weight.float().std()
        weights[name] = (weight + share * noise).to(weight.dtype)
    save_file(weights, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("share", [0.0, 0.1, 3.0])
def test_answers_are_the_same_however_good_the_draft_model_is(
    stories: Driver, story: Path, tmp_path: Path, share: float
) -> None:
    samplings = [SamplingParams.neutral(temperature=0.0, max_new_tokens=60)]
    samplings += [SamplingParams(temperature=0.8, max_new_tokens=60, seed=seed) for seed in range(6)]
    samplings += [SamplingParams.neutral(mirostat="v2", mirostat_tau=2.0, max_new_tokens=60, seed=1)]
    plain = [ids(stories, sampling.replace(speculation="off"))[0] for sampling in samplings]
    loaded = one(stories.run(LoadDraft(str(noisy(story, tmp_path / "draft", share)))), DraftLoaded)
    assert loaded.name == "stories260K" and loaded.bytes_in_memory > 0
    drafted = [ids(stories, sampling) for sampling in samplings]
    assert [each for each, _ in drafted] == plain
    gained = [rate for _, rate in drafted[:-1]]
    if share == 0.0:  # with the same noise the same model draws the same
        assert min(gained) > 4
    elif share == 0.1:
        assert 1.2 < sum(gained) / len(gained) < 4


def test_a_draft_model_is_put_down_by_name_of_nothing_and_with_its_model(stories: Driver, story: Path) -> None:
    greedy = SamplingParams.neutral(temperature=0.0, max_new_tokens=40, speculation="draft model")
    assert ids(stories, greedy)[1] == 1.0
    stories.run(LoadDraft(str(story)))
    assert ids(stories, greedy)[1] > 4
    assert one(stories.run(LoadDraft("")), DraftLoaded).name == ""
    assert ids(stories, greedy)[1] == 1.0
    stories.run(LoadDraft(str(story)))
    stories.load(story)
    assert ids(stories, greedy)[1] == 1.0


def test_what_cannot_draft_is_refused_and_what_drafted_before_goes_on(
    stories: Driver, story: Path, assets: Path, tmp_path: Path
) -> None:
    greedy = SamplingParams.neutral(temperature=0.0, max_new_tokens=40, speculation="draft model")
    stories.run(LoadDraft(str(story)))
    other = one(stories.run(LoadDraft(str(assets / "models" / "babyllama-361"))), Failed)
    assert other.message == "babyllama-361 has another tokenizer than stories260K, so it cannot draft for it."
    assert other.hint and not other.details
    missing = one(stories.run(LoadDraft(str(tmp_path / "nothing"))), Failed)
    assert not missing.details
    assert ids(stories, greedy)[1] > 4
    stories.run(Unload())
    assert one(stories.run(LoadDraft(str(story))), Failed).message == "No model is loaded."


def test_a_draft_model_of_a_smaller_vocabulary_or_context_drafts_where_it_can(
    stories: Driver, story: Path, tmp_path: Path
) -> None:
    small = write_tiny(tmp_path / "small", vocab_size=430, max_position_embeddings=64)
    shutil.copy(story / "tokenizer.json", small)
    greedy = SamplingParams.neutral(temperature=0.0, max_new_tokens=100)
    plain = ids(stories, greedy.replace(speculation="off"))[0]
    assert one(stories.run(LoadDraft(str(small))), DraftLoaded).name == "small"
    assert ids(stories, greedy)[0] == plain
