"""Guidance through the engine's door: in a chat, from the last token alone, and of an encoder-decoder's source."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from driver import Driver, all_of, one
from engine import CaptureParams, Done, Generate, Generated, Message, Prompt, SamplingParams, Tokens

GREEDY = SamplingParams.neutral(temperature=0, max_new_tokens=24)


def written(driver: Driver, prompt: Prompt, sampling: SamplingParams) -> tuple[Generated, list]:
    events = driver.run(Generate(prompt, sampling, CaptureParams(candidates=8)))
    assert isinstance(events[-1], Done), events[-1]
    records = [record for event in all_of(events, Tokens) for record in event.records]
    return one(events, Generated), records


def test_a_chat_keeps_away_from_another_system_prompt_and_says_so_in_its_records(assets: Path) -> None:
    driver = Driver()
    driver.engine.start()
    try:
        driver.load(assets / "models" / "companion")
        prompt = Prompt(messages=(Message("user", "Tell me a story about a cat."),))
        plain, _ = written(driver, prompt, GREEDY)
        for negative in ("", "You only speak of cats."):
            guided = GREEDY.replace(guidance=-0.5, negative_prompt=negative)
            away, records = written(driver, prompt, guided)
            assert away.ids != plain.ids and all(record.steps[0] == "guidance" for record in records)
            again, _ = written(driver, prompt, guided.replace(speculation="off"))
            assert again.ids == away.ids
    finally:
        driver.engine.stop()


@pytest.mark.parity
def test_an_encoder_decoder_keeps_away_from_another_source(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(3)
    words = ["<pad>", "</s>", *["the", "cat", "sat", "on", "a", "mat", "dog"]]
    config = transformers.T5Config(
        vocab_size=len(words), d_model=24, d_kv=7, d_ff=31, num_layers=2, num_heads=3, pad_token_id=0, eos_token_id=1,
        decoder_start_token_id=0,
    )  # fmt: skip
    transformers.T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    tokenizer = Tokenizer(models.WordLevel({word: id for id, word in enumerate(words)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    driver = Driver()
    driver.engine.start()
    try:
        driver.load(tmp_path)
        prompt = Prompt(source="the cat sat on a mat")
        plain, _ = written(driver, prompt, GREEDY)
        same, _ = written(driver, prompt, GREEDY.replace(guidance=2.0, negative_prompt="the cat sat on a mat"))
        assert same.ids == plain.ids, "u + g (c - u) is c where both are alike"
        _, records = written(driver, prompt, GREEDY.replace(guidance=2.0, negative_prompt="a dog"))
        assert records and all(record.steps[0] == "guidance" for record in records)
    finally:
        driver.engine.stop()
