"""A branch: the answer up to a token, another token or word in its place, and on from there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from driver import Driver, all_of, one, text_of
from engine.messages import Generate, Generated, Prompt, Started, TokenRecord, Tokens
from engine.params import CaptureParams, SamplingParams
from engine.sampling.whatif import WhatIf
from engine.text.tokenizer import Tokenizer

PROMPT = "Once upon a time there was a dog"
GREEDY = SamplingParams(temperature=0, max_new_tokens=12)
DRAWN = SamplingParams(temperature=1.1, top_p=0.9, max_new_tokens=40, seed=5)


@pytest.fixture(scope="module")
def companion(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    driver = Driver(tmp_path_factory.mktemp("home"))
    driver.engine.start()
    driver.load(assets / "models" / "companion")
    yield driver
    assert driver.engine.stop()


def records_of(events: list[object]) -> list[TokenRecord]:
    return [record for event in all_of(events, Tokens) for record in event.records]  # type: ignore[arg-type]


def test_a_forced_token_is_written_recorded_and_gone_on_from(companion: Driver) -> None:
    first = one(companion.run(Generate(Prompt(text=PROMPT), GREEDY)), Generated)
    records = records_of(companion.run(Generate(Prompt(text=PROMPT), GREEDY)))
    other = int(records[4].candidate_ids[3])
    branch = Prompt(text=PROMPT, answer_ids=first.ids[:4], forced_ids=(other,))
    events = companion.run(Generate(branch, GREEDY))
    forced, *rest = records_of(events)
    assert (forced.id, forced.rank, forced.position) == (other, 3, records[4].position)
    np.testing.assert_allclose(forced.logits[:20], records[4].logits[:20], atol=1e-4)
    assert text_of(events) == "".join(r.text for r in (forced, *rest))
    plain = Prompt(ids=one(events, Started).prompt_ids, answer_ids=(*first.ids[:4], other))
    assert one(events, Generated).ids[1:] == one(companion.run(Generate(plain, GREEDY)), Generated).ids[: len(rest)]


@pytest.mark.parametrize("word", [" elephant", "elephant", "  two blanks", "\nA line", "é…"])
def test_a_word_that_is_typed_is_what_the_text_goes_on_with(companion: Driver, word: str) -> None:
    events = companion.run(Generate(Prompt(text=PROMPT, forced_text=word), GREEDY))
    assert text_of(events).startswith(word)


def test_every_bundled_tokenizer_encodes_a_word_behind_others(assets: Path) -> None:
    for folder in sorted((assets / "models").iterdir()):
        if folder.is_dir():
            tokenizer = Tokenizer.load(str(folder))
            before = tokenizer.encode("Once upon a time")
            for word in (" dog", "dog", ", and"):
                ids = tokenizer.encode_after(before, word)
                assert tokenizer.decode([*before, *ids]).endswith("Once upon a time" + word), folder.name


def test_what_an_answer_was_drawn_with_draws_it_again(companion: Driver) -> None:
    events = companion.run(Generate(Prompt(text=PROMPT), DRAWN, CaptureParams(candidates=256)))
    drawing, records = one(events, Started).drawing, records_of(events)
    assert drawing is not None and drawing.seed == 5 and drawing.sampling == DRAWN
    history = [*drawing.ids, *(r.id for r in records)]
    derived = WhatIf(records, history, drawing.seed, drawing.vocabulary, drawing.prompt).derive(drawing.sampling)
    assert not derived.changed.any() and not derived.uncertain.any()
