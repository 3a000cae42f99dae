"""Adapters through the engine: for one run alone, beside runs with others, and never in what is kept of a text."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from checkpoints import loaded
from encoders import write_bert
from lora import write_adapter

from driver import Driver, all_of, one, text_of
from engine import (
    AdapterUse,
    Answered,
    Attend,
    AttentionRows,
    BestOf,
    CaptureParams,
    Classified,
    Classify,
    Command,
    Done,
    Embed,
    Embedded,
    Failed,
    Fill,
    Filled,
    Generate,
    Generated,
    Lens,
    LensRows,
    LoadParams,
    LoadSecond,
    Prompt,
    SamplingParams,
    Score,
    Scored,
    Started,
    Tokens,
)

ONCE = Prompt(text="Once upon a time")
# How many rows are checked at once follows from their prices now, and with 8 bits that decides a rounding now and then.
GREEDY = SamplingParams.neutral(temperature=0.0, max_new_tokens=16, speculation="off")
BARE = CaptureParams(candidates=0)


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory, assets: Path) -> dict[str, Path]:
    """Two random ones for the bundled story teller, and one for another model."""
    folder, model = tmp_path_factory.mktemp("adapters"), loaded(assets / "models" / "stories260K").model
    other = loaded(assets / "models" / "babyllama-361").model
    return {
        "red": write_adapter(folder / "red", model, "q_proj", "v_proj", "up_proj", seed=1, lora_alpha=2),
        "blue": write_adapter(folder / "blue", model, "o_proj", "down_proj", seed=2, lora_alpha=2),
        "foreign": write_adapter(folder / "foreign", other, "q_proj"),
    }


@pytest.fixture(scope="module", params=["fp32", "int8"])
def driver(tmp_path_factory: pytest.TempPathFactory, assets: Path, request: pytest.FixtureRequest) -> Iterator[Driver]:
    driver = Driver(tmp_path_factory.mktemp("home"))
    driver.engine.start()
    driver.load(assets / "models" / "stories260K", request.param)
    yield driver
    assert driver.engine.stop()


def asked(*uses: AdapterUse, seed: int = 0, prompt: Prompt = ONCE) -> Generate:
    return Generate(prompt, GREEDY.replace(temperature=0.8, seed=seed), BARE, adapters=uses)


def use(folder: Path, weight: float = 1.0) -> AdapterUse:
    return AdapterUse(str(folder), weight)


def ids(events: list) -> tuple[int, ...]:
    return one(events, Generated).ids


def test_an_adapter_changes_the_run_that_names_it_and_no_other(driver: Driver, adapters: dict[str, Path]) -> None:
    plain = ids(driver.run(asked()))
    red = ids(driver.run(asked(use(adapters["red"]))))
    both = ids(driver.run(asked(use(adapters["red"]), use(adapters["blue"], 0.5))))
    assert len({plain, red, both}) == 3
    assert ids(driver.run(asked())) == plain and ids(driver.run(asked(use(adapters["red"])))) == red
    assert ids(driver.run(asked(use(adapters["red"], 0.0)))) == plain


def test_answers_with_different_adapters_stream_interleaved_as_each_would_alone(
    driver: Driver, adapters: dict[str, Path]
) -> None:
    commands = [
        asked(use(adapters["red"])),
        asked(),
        asked(use(adapters["blue"])),
        asked(use(adapters["blue"]), use(adapters["red"], 0.5)),
    ]
    alone = [ids(driver.run(command)) for command in commands]
    driver.log.clear()
    runs = [driver.submit(command) for command in commands]
    together = [ids(driver.finish(run)) for run in runs]
    assert together == alone and len({*alone}) == 4
    order = [event.run for event in driver.log if isinstance(event, Tokens)]
    assert sum(a != b for a, b in pairwise(order)) > len(runs)


def test_what_was_read_with_an_adapter_is_gone_on_from_with_the_same_alone(
    driver: Driver, adapters: dict[str, Path]
) -> None:
    story = "Tim had a dog. The dog was very big and it had a long tail. "
    red, blue = use(adapters["red"]), use(adapters["blue"])
    ways = [(), (red,), (use(adapters["red"], 0.5),), (blue,), (red, blue)]

    def reused(way: tuple[AdapterUse, ...], text: str) -> int:
        return one(driver.run(asked(*way, prompt=Prompt(text=text))), Started).reused

    assert all(reused(way, story) <= 1 for way in ways)  # the first id, of the prompts before
    length = len(one(driver.run(asked(prompt=Prompt(text=story))), Started).prompt_ids)
    assert all(reused(way, story + "One day") >= length - 1 for way in ways)
    assert reused((blue, red), story + "One day") >= length - 1
    assert reused((use(adapters["blue"], 0.0),), story + "One day") >= length - 1


@pytest.mark.parametrize(
    "command",
    [
        Generate(ONCE, GREEDY),
        Generate(ONCE, GREEDY.replace(beams=2)),
        Generate(ONCE, GREEDY.replace(guidance=2.0)),
        Generate(ONCE, GREEDY.replace(speculation="prompt lookup")),
        Score(ONCE),
        Lens(ONCE),
        Attend(ONCE, CaptureParams(attention="all", exact=True)),
        BestOf(ONCE, 2, GREEDY.replace(temperature=1.0, seed=3)),
    ],
    ids=lambda command: type(command).__name__,
)
def test_every_command_that_runs_a_model_runs_it_with_adapters(
    driver: Driver, adapters: dict[str, Path], command: Command
) -> None:
    def said(*uses: AdapterUse) -> object:
        events = driver.run(replace(command, adapters=uses))  # type: ignore[call-arg]
        assert isinstance(events[-1], Done), events[-1]
        return (
            text_of(events),
            [event.logprobs for event in all_of(events, Scored)],
            [event.probabilities.tolist() for event in all_of(events, LensRows)],
            [event.weights.tolist() for event in all_of(events, AttentionRows)],
            [event.generated.ids for event in all_of(events, Answered) if event.index],
            [event.ids for event in all_of(events, Generated)],
        )

    plain = said()
    assert said(use(adapters["red"]), use(adapters["blue"])) != plain
    assert said(use(adapters["red"], 0.0)) == plain == said()


def test_one_that_does_not_fit_fails_its_run_alone(driver: Driver, adapters: dict[str, Path]) -> None:
    plain = ids(driver.run(asked()))
    events = driver.run(asked(use(adapters["red"]), use(adapters["foreign"])))
    failed = one(events, Failed)
    assert "foreign, trained on somebody/tiny, changes" in failed.message and failed.hint and not failed.details
    assert one(driver.run(asked(use(adapters["red"].parent / "nowhere"))), Failed).hint
    assert ids(driver.run(asked())) == plain


def test_files_that_changed_are_read_anew(driver: Driver, adapters: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(adapters["red"], tmp_path / "changing")
    first, again = driver.run(asked(use(folder))), driver.run(asked(use(folder)))
    assert one(again, Started).reused > 0 and ids(again) == ids(first)
    shutil.copytree(adapters["blue"], folder, dirs_exist_ok=True)
    changed = driver.run(asked(use(folder)))
    assert one(changed, Started).reused == 0
    assert ids(changed) == ids(driver.run(asked(use(adapters["blue"])))) != ids(first)


def test_a_second_model_takes_its_own(driver: Driver, adapters: dict[str, Path], assets: Path) -> None:
    load = LoadSecond(str(assets / "models" / "stories260K"), LoadParams(precision="fp32", threads=1))
    assert isinstance(driver.run(load)[-1], Done)
    plain = one(driver.run(Score(ONCE, second=True)), Scored).nll
    with_red = one(driver.run(Score(ONCE, second=True, adapters=(use(adapters["red"]),))), Scored).nll
    assert plain != with_red and one(driver.run(Score(ONCE, second=True)), Scored).nll == plain
    driver.run(LoadSecond(""))
    assert one(driver.run(Score(ONCE, second=True, adapters=(use(adapters["red"]),))), Failed).hint


def test_encoders_take_them_too(tmp_path: Path) -> None:
    driver = Driver(tmp_path / "home")
    commands = {
        "BertForMaskedLM": (Fill("the [MASK] sat"), Filled, lambda event: event.masks),
        "BertForSequenceClassification": (Classify("the cat sat"), Classified, lambda event: event.labels),
        "BertModel": (Embed(("the cat", "a dog")), Embedded, lambda event: event.vectors.tolist()),
    }
    for architecture, (command, kind, said) in commands.items():
        folder = write_bert(tmp_path / architecture, architecture)
        driver.load(folder)
        adapter = write_adapter(tmp_path / f"for {architecture}", loaded(folder).model, "query", "output.dense")
        events = [
            driver.run(type(command)(*(getattr(command, name) for name in command.__match_args__[:-1]), adapters=uses))
            for uses in ((), (use(adapter),), ())
        ]
        plain, changed, after = (said(one(each, kind)) for each in events)
        assert changed != plain == after
    assert driver.engine.stop()
