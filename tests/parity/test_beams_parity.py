"""Beam search of decoders beside transformers' own, token by token, from a prompt that is partly in the cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import loaded

from driver import Driver, all_of, one, text_of
from engine import Beams, CaptureParams, Done, Generate, Generated, Prompt, Run, SamplingParams, Started, Tokens
from engine.decoding.beams import Found, Search, search
from engine.decoding.cache import KVCache
from engine.models.base import Decoder

PROMPT = [5, 9, 3, 77, 21, 9, 3, 14]
END = 2


def tiny(name: str) -> Any:
    transformers = pytest.importorskip("transformers")
    shape: dict[str, Any] = {
        "vocab_size": 128, "bos_token_id": None, "eos_token_id": END, "pad_token_id": None, "initializer_range": 0.5,
    }  # fmt: skip
    if name == "gpt2":
        return transformers.GPT2LMHeadModel(
            transformers.GPT2Config(n_embd=48, n_layer=2, n_head=4, n_positions=128, **shape)
        )
    if name == "bloom":
        return transformers.BloomForCausalLM(transformers.BloomConfig(hidden_size=48, n_layer=2, n_head=4, **shape))
    window = {"sliding_window": 6} if name == "mistral" else {}
    kind = "Mistral" if name == "mistral" else "Llama"
    config = getattr(transformers, f"{kind}Config")(
        hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=128, **window, **shape,
    )  # fmt: skip
    return getattr(transformers, f"{kind}ForCausalLM")(config)


def searched(model: Decoder, how: Search, read: int) -> list[Found]:
    cache = None
    if read:
        cache = KVCache.for_model(model)
        with torch.inference_mode():
            model(torch.tensor([PROMPT[:read]]), cache)
    steps = search(model, None, PROMPT, {END}, how, cache=cache)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: list[Found] = end.value
            return found


@pytest.mark.parity
@pytest.mark.parametrize("name", ["gpt2", "bloom", "llama", "mistral"])
@pytest.mark.parametrize(
    ("beams", "penalty", "early"),
    [(2, 1.0, False), (4, 0.0, True), (4, 2.0, False), (3, 1.5, "never"), (8, 0.6, False)],
)
def test_decoders_find_what_transformers_finds(
    tmp_path: Path, name: str, beams: int, penalty: float, early: Any
) -> None:
    torch.manual_seed(4)
    theirs = tiny(name).eval()
    theirs.save_pretrained(tmp_path)
    model = loaded(tmp_path).model
    assert isinstance(model, Decoder)
    expected = theirs.generate(
        torch.tensor([PROMPT]), attention_mask=torch.ones(1, len(PROMPT), dtype=torch.long), num_beams=beams,
        length_penalty=penalty, early_stopping=early, max_new_tokens=20, do_sample=False, num_return_sequences=beams,
        return_dict_in_generate=True, output_scores=True, pad_token_id=0,
    )  # fmt: skip
    rows = [row[len(PROMPT) :].tolist() for row in expected.sequences]
    for read in (0, 5, len(PROMPT) - 1):
        found = searched(model, Search(beams, penalty, early, 20), read)
        assert [list(each.ids) for each in found] == [row[: len(each.ids)] for row, each in zip(rows, found)]
        scores = torch.tensor([each.score for each in found])
        torch.testing.assert_close(scores, expected.sequences_scores, atol=1e-3, rtol=1e-4)


@pytest.fixture(scope="module")
def driver(assets: Path) -> Iterator[Driver]:
    driver = Driver()
    driver.engine.start()
    driver.load(assets / "models" / "stories260K")
    yield driver
    driver.engine.stop()


SAMPLING = SamplingParams(beams=4, max_new_tokens=40)


def test_a_decoder_shows_its_beams_and_records_the_best(driver: Driver) -> None:
    prompt = Prompt(text="Once upon a time")
    events = driver.run(Generate(prompt, SAMPLING, CaptureParams(candidates=8)))
    result, started = one(events, Generated), one(events, Started)
    assert isinstance(events[-1], Done) and events[-1].reason == result.finish
    assert all_of(events, Beams)[-1].beams[0].ids == result.ids and started.prompt_ids == result.prompt_ids
    (tokens,) = all_of(events, Tokens)
    assert [record.id for record in tokens.records] == list(result.ids) and text_of(events) == result.text
    again = driver.run(Generate(prompt, SAMPLING))
    assert one(again, Generated).ids == result.ids and one(again, Started).reused == len(result.prompt_ids) - 1
    greedy = one(driver.run(Generate(prompt, SamplingParams.neutral(temperature=0, max_new_tokens=40))), Generated)
    more = one(driver.run(Generate(Prompt(text="Once upon a time", answer_ids=result.ids[:5]), SAMPLING)), Generated)
    assert more.prompt_ids == result.prompt_ids and greedy.ids

    def score(ids: tuple[int, ...]) -> float:
        return sum(r.logprob for r in tokens.records) if ids == result.ids else 0.0

    assert score(result.ids) / len(result.ids) == pytest.approx(all_of(events, Beams)[-1].beams[0].score, abs=1e-3)


def test_beams_keep_to_bans_and_forms_and_stop_when_asked(driver: Driver) -> None:
    prompt = Prompt(text="Once upon a time")
    plain = one(driver.run(Generate(prompt, SAMPLING)), Generated)
    assert "Lily" in plain.text
    banned = one(driver.run(Generate(prompt, SAMPLING.replace(banned_words=("Lily",)))), Generated)
    assert "Lily" not in banned.text
    form = one(driver.run(Generate(prompt, SAMPLING.replace(regex="[a-c]{3} was (big|small)"))), Generated)
    assert form.finish == "eos" and form.text.strip()[3:] in (" was big", " was small")
    run: Run = driver.submit(Generate(prompt, SAMPLING.replace(max_new_tokens=400)))
    driver.wait(lambda log: any(isinstance(event, Beams) and event.run == run.id for event in log))
    run.cancel()
    events = driver.finish(run)
    assert isinstance(events[-1], Done) and events[-1].reason == "cancelled" and one(events, Generated).ids
