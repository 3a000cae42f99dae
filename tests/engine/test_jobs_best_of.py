"""Several answers to one prompt, and the tester of forms, through the engine's door."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from driver import Driver, all_of, one
from engine import (
    Answered,
    BestOf,
    CaptureParams,
    CheckStructure,
    Done,
    Failed,
    Generate,
    Generated,
    Progress,
    Prompt,
    SamplingParams,
    Score,
    Scored,
    Started,
    StructureChecked,
    Tokens,
)
from engine.__main__ import main
from engine.decoding import loop

PROMPT = Prompt(text="Once upon a time")
SAMPLING = SamplingParams(seed=11, max_new_tokens=25, temperature=1.2)


@pytest.fixture(scope="module")
def driver(assets: Path) -> Iterator[Driver]:
    driver = Driver()
    driver.engine.start()
    driver.load(assets / "models" / "stories260K")
    yield driver
    driver.engine.stop()


def test_each_of_several_answers_is_what_its_seed_alone_would_write(driver: Driver) -> None:
    events = driver.run(BestOf(PROMPT, 3, SAMPLING, CaptureParams(candidates=8)))
    answers = all_of(events, Answered)
    assert [answer.index for answer in answers] == [0, 1, 2] and isinstance(events[-1], Done)
    assert not all_of(events, Generated)
    told = [event for event in events if isinstance(event, Started | Tokens | Answered)]
    begins = [place for place, event in enumerate(told) if isinstance(event, Started)]
    for answer, begin in zip(answers, begins, strict=True):
        streamed = told[begin + 1 : told.index(answer)]
        assert told[begin] == answer.started and streamed, "each is told of while it is written, before the next"
        assert "".join(event.text for event in streamed if isinstance(event, Tokens)) == answer.generated.text
        records = [record for event in streamed if isinstance(event, Tokens) for record in event.records]
        assert [record.id for record in records] == list(answer.generated.ids)
    assert [event.done for event in all_of(events, Progress) if event.phase == "Writing answers"] == [0, 1, 2]
    for index, answer in enumerate(answers):
        alone = driver.run(Generate(PROMPT, SAMPLING.replace(seed=11 + index), CaptureParams(candidates=8)))
        assert answer.generated.ids == one(alone, Generated).ids and answer.started.seed == 11 + index
        assert [record.id for record in answer.records] == list(answer.generated.ids)
        assert "".join(record.text for record in answer.records) == answer.generated.text
    assert len({answer.generated.ids for answer in answers}) == 3


def test_the_score_is_the_mean_log_probability_that_scoring_gives(driver: Driver) -> None:
    (answer,) = all_of(driver.run(BestOf(PROMPT, 1, SAMPLING, CaptureParams(candidates=0))), Answered)
    begin = answer.generated.prompt_ids
    scored = one(driver.run(Score(Prompt(ids=(*begin, *answer.generated.ids)))), Scored)
    expected = [value for value in scored.logprobs[len(begin) :] if value is not None]
    assert answer.mean_logprob == pytest.approx(sum(expected) / len(expected), abs=1e-4)


def test_stopping_keeps_the_answer_that_was_under_way(driver: Driver) -> None:
    run = driver.submit(BestOf(PROMPT, 8, SAMPLING.replace(max_new_tokens=300, end_token="never")))
    driver.wait(lambda log: any(isinstance(event, Answered) and event.run == run.id for event in log))
    run.cancel()
    events = driver.finish(run)
    assert isinstance(events[-1], Done) and events[-1].reason == "cancelled"
    answers = all_of(events, Answered)
    assert len(answers) < 8 and {answer.generated.finish for answer in answers[:-1]} <= {"length"}
    assert all(answer.generated.ids for answer in answers)
    for count in (0, 9):
        assert isinstance(driver.run(BestOf(PROMPT, count))[-1], Failed)


def run_out_of_memory(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Once so many tokens were drawn."""
    drawn, draw = [0], loop._draw_and_record

    def scarce(*given: Any) -> Any:
        drawn[0] += 1
        if drawn[0] > after:
            raise MemoryError
        return draw(*given)

    monkeypatch.setattr(loop, "_draw_and_record", scarce)


def test_what_was_written_when_memory_ran_out_was_told_before_the_failure(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_out_of_memory(monkeypatch, after=32)  # in the second answer of 25 tokens
    events = driver.run(BestOf(PROMPT, 3, SAMPLING.replace(end_token="never")))
    assert isinstance(events[-1], Failed) and [answer.index for answer in all_of(events, Answered)] == [0]
    second = [place for place, event in enumerate(events) if isinstance(event, Started)][1]
    assert sum(len(event.records) for event in events[second:] if isinstance(event, Tokens)) == 7


def test_a_text_is_held_against_a_form_without_a_model() -> None:
    driver = Driver()
    driver.engine.start()
    try:
        checked = one(driver.run(CheckStructure(SamplingParams(regex="[a-c]+!"), "abx")), StructureChecked)
        assert (checked.fits, checked.complete) == (2, False)
        assert one(driver.run(CheckStructure(SamplingParams(regex="[a-c]+!"), "ab!")), StructureChecked).complete
        events = driver.run(CheckStructure(SamplingParams(grammar="start: nothing"), ""))
        assert isinstance(events[-1], Failed) and "grammar" in events[-1].message
    finally:
        driver.engine.stop()


def test_the_headless_door_prints_the_likeliest_answer_first(
    capsys: pytest.CaptureFixture[str], assets: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path))
    model = str(assets / "models" / "stories260K")
    arguments = ("generate", model, "--prompt", "Once upon", "--seed", "5", "--max-new-tokens", "10", "--best-of", "3")
    assert main((*arguments, "--json")) == 0
    answers = json.loads(capsys.readouterr().out)["answers"]
    scores = [answer["mean_logprob"] for answer in answers]
    assert scores == sorted(scores, reverse=True) and {answer["seed"] for answer in answers} == {5, 6, 7}
    assert main(arguments) == 0
    assert answers[0]["text"] in capsys.readouterr().out
    run_out_of_memory(monkeypatch, after=15)  # in the second of 10 tokens
    assert main(arguments) == 1
    said = capsys.readouterr()
    first = next(answer for answer in answers if answer["seed"] == 5)
    assert first["text"] in said.out and "memory" in said.err.lower()
