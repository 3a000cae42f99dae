"""Streaming text: whatever ids come, the parts joined are the whole."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.text.tokenizer import Detokenizer, Tokenizer

ROOT = Path(__file__).resolve().parents[3]
BUNDLED = ("companion", "babyllama-361", "stories260K")
REFERENCE = ("gpt2", "llama2", "qwen2", "t5", "bert-base-uncased", "gpt-neox-20b")

TEXTS = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(
    ["  two  spaces ", "😀👩‍👩‍👧é", "你好，世界", " ", "\n\n x", "ﷺ �", "e\u0301"]
)


@lru_cache
def load(folder: str) -> Tokenizer:
    return Tokenizer.load(folder)


def stream(tokenizer: Tokenizer, ids: list[int], context: list[int] | None = None, skip: bool = True) -> list[str]:
    detokenizer = Detokenizer(tokenizer, context or (), skip_special=skip)
    return [*[detokenizer.push(id) for id in ids], detokenizer.flush()]


def check_any_ids(tokenizer: Tokenizer, draw: st.DataObject) -> None:
    low = st.integers(0, min(300, tokenizer.vocabulary_size))  # bytes and special tokens are mostly down here
    ids = draw.draw(st.lists(low | st.integers(0, tokenizer.vocabulary_size + 3), max_size=16))
    split = draw.draw(st.integers(0, len(ids)))
    skip = draw.draw(st.booleans())
    whole = "".join(stream(tokenizer, ids, skip=skip))
    library = tokenizer._backend.decode(ids, skip_special_tokens=skip)
    assert whole == tokenizer.decode(ids, skip_special=skip)
    assert whole == library or (tokenizer._byte_fallback and "\ufffd" in library)
    before = "".join(stream(tokenizer, ids[:split], skip=skip)[:-1])
    assert before + "".join(stream(tokenizer, ids[split:], ids[:split], skip)) == whole


def check_a_text(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    parts = stream(tokenizer, ids)
    assert "".join(parts) == tokenizer.decode(ids) == tokenizer._backend.decode(ids)
    assert all("\ufffd" not in part for part in parts) or "\ufffd" in text
    if "\ufffd" in text:  # below it stands for half a character
        return
    for split in range(1, len(ids)):
        context, rest = ids[:split], ids[split:]
        continuation = "".join(stream(tokenizer, rest, context))
        assert continuation == tokenizer.decode(ids).removeprefix(tokenizer.decode(context).rstrip("\ufffd"))


@pytest.mark.parametrize("name", BUNDLED)
@given(st.data())
@settings(max_examples=150)
def test_any_ids_stream_to_what_decode_gives(name: str, draw: st.DataObject) -> None:
    check_any_ids(load(str(ROOT / "assets" / "models" / name)), draw)


@pytest.mark.parametrize("name", BUNDLED)
@given(TEXTS)
@settings(max_examples=60)
def test_a_text_streams_without_half_characters(name: str, text: str) -> None:
    check_a_text(load(str(ROOT / "assets" / "models" / name)), text)


@pytest.mark.parametrize("name", REFERENCE)
@given(st.data())
@settings(max_examples=60)
def test_any_ids_of_known_vocabularies_stream_to_what_decode_gives(
    references: Path, name: str, draw: st.DataObject
) -> None:
    check_any_ids(load(str(references / "tokenizers" / name)), draw)


@pytest.mark.parametrize("name", ["gpt2", "llama2", "qwen2", "gpt-neox-20b"])
@given(TEXTS)
@settings(max_examples=40)
def test_a_text_streams_in_known_vocabularies(references: Path, name: str, text: str) -> None:
    check_a_text(load(str(references / "tokenizers" / name)), text)


def test_the_first_word_has_no_space_and_the_next_keeps_its_own() -> None:
    tokenizer = load(str(ROOT / "assets" / "models" / "stories260K"))
    ids = tokenizer.encode("One day", special=False)
    assert "".join(stream(tokenizer, ids)) == "One day"
    assert "".join(stream(tokenizer, ids, context=[1])) == "One day"
    assert "".join(stream(tokenizer, ids, context=tokenizer.encode("Hello"))) == " One day"


def test_a_character_in_bytes_comes_with_its_last_byte() -> None:
    tokenizer = load(str(ROOT / "assets" / "models" / "stories260K"))
    ids = [3 + byte for byte in "😀€".encode()]
    assert stream(tokenizer, ids) == ["", "", "", "😀", "", "", "€", ""]
    assert stream(tokenizer, ids[:2])[-1] == "\ufffd"


def test_bytes_that_never_become_a_character_spoil_no_other() -> None:
    tokenizer = load(str(ROOT / "assets" / "models" / "stories260K"))
    ids = [3 + byte for byte in b"\xf0\x9f\x98\x80\xe2\x9f"] + tokenizer.encode("a", special=False)
    assert tokenizer.decode(ids) == "".join(stream(tokenizer, ids)) == "😀\ufffd a"


def test_special_tokens_are_silent_unless_asked_for() -> None:
    tokenizer = load(str(ROOT / "assets" / "models" / "companion"))
    assert stream(tokenizer, [3, 853, 1]) == ["", "Hello", "", ""]
    assert stream(tokenizer, [3, 853, 1], skip=False) == ["<|user|>", "Hello", "<|end|>", ""]


@pytest.mark.parametrize("name", BUNDLED)
def test_a_push_costs_the_same_late_as_early(name: str) -> None:
    """Ten thousand broken bytes in a row were quadratic in every window that waits for a whole character."""
    tokenizer = load(str(ROOT / "assets" / "models" / name))
    broken = tokenizer.encode("€", special=False)[-1]
    detokenizer = Detokenizer(tokenizer)
    begun = time.process_time()
    for _ in range(10_000):
        detokenizer.push(broken)
    assert time.process_time() - begun < 2.0
