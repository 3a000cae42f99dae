"""Scoring a given text: every token once, whatever the window, and the same figures as the model run by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import loaded
from encoders import write_bert

from engine.__main__ import main
from engine.decoding import scoring
from engine.decoding.scoring import score, score_masked
from engine.encoding import mask_of
from engine.errors import Cancelled, InvalidValue
from engine.messages import Event, Progress, Scored
from engine.models.base import Decoder, Encoder
from engine.text.tokenizer import Tokenizer

TEXT = "the cat sat on a mat"


def always() -> None:
    """A check that lets everything go on."""


def last(events: object) -> Scored:
    found = list(events)[-1]  # type: ignore[call-overload]
    assert isinstance(found, Scored)
    return found


@pytest.fixture
def masked(tmp_path: Path) -> tuple[Encoder, Tokenizer]:
    folder = write_bert(tmp_path / "tiny", "BertForMaskedLM")
    model = loaded(folder).model
    assert isinstance(model, Encoder)
    return model, Tokenizer.load(str(folder))


@pytest.fixture(scope="module")
def story(assets: Path) -> tuple[Decoder, Tokenizer]:
    folder = assets / "models" / "stories260K"
    model = loaded(folder).model
    assert isinstance(model, Decoder)
    return model, Tokenizer.load(str(folder))


def by_hand(model: Encoder, ids: list[int], mask: int) -> list[float]:
    """One forward pass for each token, as the paper has it."""
    found = []
    for place in range(1, len(ids) - 1):
        row = torch.tensor([ids])
        row[0, place] = mask
        with torch.inference_mode():
            logits = model.fill(model(row))[0, place].double()
        found.append(float(logits.log_softmax(-1)[ids[place]]))
    return found


def test_a_masked_model_scores_each_word_from_all_the_others(masked: tuple[Encoder, Tokenizer]) -> None:
    model, tokenizer = masked
    ids, mask = tokenizer.encode(TEXT), mask_of(*masked)
    scored = last(score_masked(1, model, tokenizer, ids, mask, always))
    assert scored.logprobs[0] is None and scored.logprobs[-1] is None
    assert scored.logprobs[1:-1] == pytest.approx(by_hand(model, ids, mask), abs=1e-5)
    assert scored.scored == len(ids) - 2
    assert scored.perplexity == pytest.approx(math.exp(scored.nll / scored.scored))


@pytest.mark.parametrize("at_once", [1, 16, 40])
def test_the_size_of_a_batch_does_not_change_a_score(
    masked: tuple[Encoder, Tokenizer], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    model, tokenizer = masked
    ids, mask = tokenizer.encode(TEXT), mask_of(*masked)
    whole = last(score_masked(1, model, tokenizer, ids, mask, always))
    monkeypatch.setattr(scoring, "MASKED_AT_ONCE", at_once)
    parts = last(score_masked(1, model, tokenizer, ids, mask, always))
    assert parts.logprobs[1:-1] == pytest.approx(whole.logprobs[1:-1], abs=1e-5)


def test_a_text_longer_than_an_encoder_reads_is_scored_once_in_windows(masked: tuple[Encoder, Tokenizer]) -> None:
    model, tokenizer = masked
    ids = tokenizer.encode(" ".join([TEXT] * 2 * model.config.context))
    assert len(ids) > 2 * model.config.context
    scored = last(score_masked(1, model, tokenizer, ids, mask_of(*masked), always))
    assert scored.scored == len(ids) - 2
    first = by_hand(model, [*ids[: model.config.context - 1], ids[-1]], mask_of(*masked))
    assert scored.logprobs[1:4] == pytest.approx(first[:3], abs=1e-5)


@pytest.mark.parametrize("length", range(1, 40))
@pytest.mark.parametrize("context", [3, 4, 5, 8, 11])
def test_windows_score_every_place_once_and_see_it(length: int, context: int) -> None:
    ids = [2, *range(100, 100 + length), 3]
    seen: list[int] = []
    for window, shift, places in scoring._windows(ids, 1, len(ids) - 1, context):
        assert len(window) <= context and window[0] == 2 and window[-1] == 3
        assert all(window[place - shift] == ids[place] for place in places)
        seen += places
    assert seen == list(range(1, len(ids) - 1))


def test_records_say_what_else_could_have_stood_there(story: tuple[Decoder, Tokenizer]) -> None:
    model, tokenizer = story
    ids = tokenizer.encode("Once upon a time there was a café 🐕.")
    scored = last(score(1, model, tokenizer, ids, always, candidates=5))
    bare = last(score(1, model, tokenizer, ids, always))
    assert bare.records == () and bare.logprobs == scored.logprobs
    assert "".join(record.text for record in scored.records) == "Once upon a time there was a café 🐕."
    with torch.inference_mode():
        logits = model(torch.tensor([ids]))[0].double()
    for place, record in enumerate(scored.records, start=1):
        row = logits[place - 1]
        assert (record.position, record.id) == (place, ids[place])
        assert (
            record.logprob == scored.logprobs[place] == pytest.approx(float(row.log_softmax(-1)[ids[place]]), abs=1e-4)
        )
        assert record.rank == int((row > row[ids[place]]).sum())
        assert record.candidate_ids[record.chosen] == ids[place]
        assert len(record.candidate_ids) == (5 if record.rank < 5 else 6)
        np.testing.assert_allclose(record.before, row.softmax(-1)[record.candidate_ids], atol=1e-5)


def test_what_cannot_be_scored_is_refused_in_words(masked: tuple[Encoder, Tokenizer]) -> None:
    model, tokenizer = masked
    for ids, words in (([2, 3], "There is nothing to score."), ([2, 9999, 3], "The id 9999 is not in this model's")):
        with pytest.raises(InvalidValue, match=words):
            last(score_masked(1, model, tokenizer, ids, 4, always))


def test_progress_counts_and_a_stop_ends_it(masked: tuple[Encoder, Tokenizer], monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = masked
    monkeypatch.setattr(scoring, "MASKED_AT_ONCE", 1)
    ids = tokenizer.encode(TEXT)
    events: list[Event] = list(score_masked(1, model, tokenizer, ids, 4, always))
    assert [(e.done, e.total) for e in events if isinstance(e, Progress)] == [(n, 6) for n in range(6)]

    def stop() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        last(score_masked(1, model, tokenizer, ids, 4, stop))


def test_the_door_scores_with_an_encoder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path / "home"))
    assert main(["score", str(write_bert(tmp_path / "tiny", "BertForMaskedLM")), "--text", TEXT, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["scored"] == 6 and printed["logprobs"][0] is None
    assert printed["nll"] == pytest.approx(-sum(printed["logprobs"][1:-1]))
