"""A beam search that must begin with given tokens: they are told and recorded like those that it found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from driver import Driver, all_of, one
from engine import Beams, CaptureParams, Event, Generate, Generated, Prompt, SamplingParams, Tokenize, Tokenized, Tokens

SAMPLING = SamplingParams.neutral(beams=3, max_new_tokens=10, temperature=0.0)
CAPTURE = CaptureParams(candidates=4)


@pytest.fixture(scope="module")
def driver(assets: Path) -> Iterator[Driver]:
    driver = Driver()
    driver.engine.start()
    driver.load(assets / "models" / "stories260K")
    yield driver
    driver.engine.stop()


def written(events: list[Event]) -> tuple[str, list[int], list[int]]:
    """The text that was told, the ids and the positions of its records."""
    told = all_of(events, Tokens)
    records = [record for each in told for record in each.records]
    return "".join(each.text for each in told), [record.id for record in records], [r.position for r in records]


def test_what_is_forced_is_told_recorded_and_counts_for_what_follows(driver: Driver) -> None:
    begin = one(driver.run(Tokenize("Once upon a time")), Tokenized).ids
    forced = one(driver.run(Tokenize("Once upon a time, the")), Tokenized).ids[len(begin) :]
    assert len(forced) > 1
    after = driver.run(Generate(Prompt(ids=(*begin, *forced)), SAMPLING, CAPTURE))
    events = driver.run(Generate(Prompt(ids=begin, forced_ids=forced), SAMPLING, CAPTURE))
    text, ids, positions = written(events)
    found = one(after, Generated)
    assert tuple(ids) == (*forced, *found.ids) == one(events, Generated).ids
    assert text == one(events, Generated).text == ", the" + found.text
    assert positions == list(range(len(begin), len(begin) + len(ids)))
    for some, more in zip(all_of(after, Beams), all_of(events, Beams)):
        assert [(*forced, *beam.ids) for beam in some.beams] == [beam.ids for beam in more.beams]
        assert [beam.score for beam in some.beams] == pytest.approx([beam.score for beam in more.beams], abs=1e-4)
        assert all(beam.text.startswith(", the") for beam in more.beams)


def test_what_is_forced_is_recorded_as_the_model_saw_it(driver: Driver) -> None:
    begin = one(driver.run(Tokenize("Once upon a time")), Tokenized).ids
    first = driver.run(Generate(Prompt(ids=begin), SAMPLING.replace(beams=1), CAPTURE))
    best = next(record for each in all_of(first, Tokens) for record in each.records)
    other = int(best.candidate_ids[1])
    events = driver.run(Generate(Prompt(ids=begin, forced_ids=(other,)), SAMPLING, CAPTURE))
    record = next(record for each in all_of(events, Tokens) for record in each.records)
    assert (record.id, record.rank, record.position) == (other, 1, best.position)
    assert record.logprob == pytest.approx(float(best.logits[1]) - best.lse, abs=1e-4)


def test_a_target_goes_on_from_a_token_with_beams_too(driver: Driver, references: Path) -> None:
    other = Driver()
    other.engine.start()
    try:
        other.load(references / "models" / "aren-transliteration" / "hf")
        alone = other.run(Generate(Prompt(source="آتزمون"), SAMPLING, CAPTURE))
        text, ids, _ = written(alone)
        branch = Prompt(source="آتزمون", answer_ids=tuple(ids[:2]), forced_ids=tuple(ids[2:3]))
        events = other.run(Generate(branch, SAMPLING, CAPTURE))
        rest, more, positions = written(events)
        kept = "".join(record.text for each in all_of(alone, Tokens) for record in each.records[:2])
        assert more[0] == ids[2] and kept + rest == text and ids[:2] + more == ids
        assert positions[0] == 1 + len(ids[:2])
    finally:
        other.engine.stop()
