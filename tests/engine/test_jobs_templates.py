"""A model whose files lost their chat template takes turns in the format it was tuned to, and the events say so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkpoints import write_tiny
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from driver import Driver, one
from engine import Failed, Generate, Generated, Load, Loaded, LoadParams, Message, Prompt, SamplingParams, Started

NAMES = ["a", "</s>", "<|im_start|>", "<|im_end|>", "\n", "H", "i"]
HI = Prompt(messages=(Message("user", "Hi"),))
SHORT = SamplingParams.neutral(temperature=0.0, max_new_tokens=3)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    driver = Driver(tmp_path / "home")
    driver.engine.start()
    yield driver
    assert driver.engine.stop()


def write(folder: Path, end: int) -> Path:
    write_tiny(folder, eos_token_id=end)
    tokenizer = Tokenizer(models.WordLevel({name: id for id, name in enumerate(NAMES)}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in NAMES[1:4]])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": NAMES[end]}), "utf-8")
    return folder


def test_a_tuned_model_without_a_template_takes_turns_in_its_format(driver: Driver, tmp_path: Path) -> None:
    events = driver.run(Load(str(write(tmp_path / "tuned", 3)), LoadParams(precision="fp32", threads=1)))
    info = one(events, Loaded).info
    assert (info.chat_template, info.chat_format) == (True, "ChatML")
    assert info.note == "Its files hold no chat template: ChatML's is used, as its special tokens show."
    events = driver.run(Generate(HI, SHORT))
    # The role's own letters are unknown here, all but its a.
    assert one(events, Started).prompt_ids == (2, 0, 0, 0, 0, 4, 5, 6, 3, 4, 2, *[0] * 3, 6, *[0] * 5, 4)
    assert one(events, Generated).ids


def test_a_base_model_with_the_same_marks_continues_a_text(driver: Driver, tmp_path: Path) -> None:
    events = driver.run(Load(str(write(tmp_path / "base", 1)), LoadParams(precision="fp32", threads=1)))
    info = one(events, Loaded).info
    assert (info.chat_template, info.chat_format) == (False, "")
    assert info.note == "This is a base model without a chat template: it continues a text."
    assert "has no chat template" in one(driver.run(Generate(HI, SHORT)), Failed).message
    assert one(driver.run(Generate(Prompt(text="Hi"), SHORT)), Generated).ids
