"""Bans, biases and rewinding in an answer that is written by a real model, as its events tell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from driver import Driver, all_of, one, text_of
from engine import CaptureParams, Done, Generate, Generated, Prompt, Retune, SamplingParams, Tokens
from engine.decoding.recorder import Recorder
from engine.text.tokenizer import Tokenizer

GREEDY = SamplingParams.neutral(temperature=0, max_new_tokens=60, speculation="off")
PROMPT = Prompt(text="Once upon a time, there was a little girl")


@pytest.fixture(scope="module")
def driver(assets: Path) -> Iterator[Driver]:
    driver = Driver()
    driver.engine.start()
    driver.load(assets / "models" / "stories260K")
    yield driver
    driver.engine.stop()


def write(driver: Driver, sampling: SamplingParams, prompt: Prompt = PROMPT) -> tuple[Generated, list]:
    events = driver.run(Generate(prompt, sampling, CaptureParams(candidates=16)))
    assert isinstance(events[-1], Done), events[-1]
    return one(events, Generated), events


def records_of(events: list) -> list:
    return [record for event in all_of(events, Tokens) for record in event.records]


def test_a_banned_word_does_not_appear_and_the_record_names_the_step(driver: Driver) -> None:
    plain, _ = write(driver, GREEDY)
    assert " named " in plain.text and "Lily" in plain.text
    banned, events = write(driver, GREEDY.replace(banned_words=("Lily",)))
    assert "Lily" not in banned.text
    assert any(
        "bans" in record.steps and (record.cut == record.steps.index("bans")).any() for record in records_of(events)
    )


@pytest.mark.parametrize("speculation", ["off", "prompt lookup"])
@pytest.mark.parametrize("phrase", ["Lily", "named lily", " she ", "was"])
def test_a_banned_phrase_is_rewound_before_anybody_sees_it(driver: Driver, phrase: str, speculation: str) -> None:
    plain, _ = write(driver, GREEDY)
    assert phrase.lower() in plain.text.lower()
    sampling = GREEDY.replace(banned_phrases=(phrase,), speculation=speculation)
    result, events = write(driver, sampling)
    shown = ""
    for event in all_of(events, Tokens):
        shown += event.text
        assert phrase.lower() not in shown.lower()
    assert shown == result.text == text_of(events)
    records = records_of(events)
    assert [record.id for record in records] == list(result.ids)
    assert "".join(record.text for record in records) == result.text
    first = records[0].position
    assert [record.position for record in records] == list(range(first, first + len(records)))


def test_the_answer_up_to_the_phrase_is_what_it_would_have_been_and_its_first_id_is_barred(driver: Driver) -> None:
    plain, before = write(driver, GREEDY)
    result, events = write(driver, GREEDY.replace(banned_phrases=("Lily",)))
    same = next(i for i, (a, b) in enumerate(zip(plain.ids, result.ids)) if a != b)
    assert "Lily" in text_of(before).split(",")[0] and same > 0
    record = records_of(events)[same]
    barred = record.candidate_ids[record.cut == record.steps.index("bans")]
    assert plain.ids[same] in barred.tolist()
    forced, _ = write(
        driver, GREEDY.replace(banned_phrases=("Lily",)), Prompt(text=PROMPT.text, answer_ids=result.ids[: same + 1])
    )
    assert forced.ids[:20] == result.ids[same + 1 : same + 21], "what follows the rewinding is what follows the ids"


def test_a_phrase_that_nothing_else_can_take_the_place_of_stays(driver: Driver, assets: Path) -> None:
    tokenizer = Tokenizer.load(str(assets / "models" / "stories260K"))
    (only,) = tokenizer.encode(" z", special=False)[-1:]
    rest = tuple(f"#{id}" for id in range(512) if id != only)
    result, events = write(driver, GREEDY.replace(banned_words=rest, banned_phrases=("z",), max_new_tokens=3))
    assert result.ids == (only,) * 3 and text_of(events) == result.text


def test_the_answer_has_its_shortest_length_and_ends_only_where_it_may(driver: Driver) -> None:
    long = GREEDY.replace(max_new_tokens=450)
    plain, _ = write(driver, long)
    assert plain.finish == "eos"
    longer, _ = write(driver, long.replace(min_new_tokens=len(plain.ids) + 5))
    assert longer.ids[: len(plain.ids) - 1] == plain.ids[:-1] and len(longer.ids) > len(plain.ids) + 4
    endless, _ = write(driver, long.replace(end_token="never"))
    assert endless.finish == "length" and plain.ids[-1] not in endless.ids


def test_a_bias_decides_and_a_retune_moves_it_while_it_writes(driver: Driver, assets: Path) -> None:
    tokenizer = Tokenizer.load(str(assets / "models" / "stories260K"))
    (dog,) = tokenizer.encode(" z", special=False)[-1:]
    result, events = write(driver, GREEDY.replace(logit_bias=((f"#{dog}", 100.0),), max_new_tokens=4))
    assert set(result.ids) == {dog}
    records = records_of(events)
    assert records[0].steps[0] == "logit_bias" and records[0].rank > 0
    np.testing.assert_allclose(records[0].after.sum(), 1, atol=1e-5)
    run = driver.submit(Generate(PROMPT, GREEDY.replace(max_new_tokens=200), CaptureParams(candidates=0)))
    driver.wait(lambda log: any(isinstance(event, Tokens) and event.run == run.id for event in log))
    driver.submit(Retune(run.id, GREEDY.replace(logit_bias=((f"#{dog}", 100.0),), max_new_tokens=200)))
    ids = one(driver.finish(run), Generated).ids
    assert ids[0] != dog and ids[-1] == dog


def test_a_recorder_goes_back_to_a_token_and_counts_on_from_there(assets: Path) -> None:
    from torch import int64 as torch_int
    from torch import randn, tensor

    from engine.sampling.chain import trace

    tokenizer = Tokenizer.load(str(assets / "models" / "companion"))
    words = tokenizer.encode("It was a sunny day for the dogs", special=False)
    recorder = Recorder(tokenizer, [], (), ("SUNNY day",))
    logits = randn(tokenizer.vocabulary_size)
    plain = SamplingParams.neutral()
    none = tensor([], dtype=torch_int)
    shown = ""
    for position, id in enumerate(words):
        recorder.add(id, position, logits, none, trace(logits, none, plain, none))
        if recorder.banned is not None:
            break
        shown += recorder.release()[0]
    begin = recorder.banned
    assert begin is not None and tokenizer.decode(words[:begin]) == shown == "It was a"
    recorder.rewind(begin)
    assert recorder.ids == words[:begin] and recorder.text == shown
    recorder.add(words[-1], begin, logits, none, trace(logits, none, plain, none))
    assert recorder.count == begin + 1 and shown + recorder.finish()[0] == "It was a dogs"
