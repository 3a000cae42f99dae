"""Blenderbot-small's tokenizer from vocab.json and merges.txt, against transformers' own class on the same files."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.text.tokenizer import Detokenizer, Tokenizer

WORDS = ["hello", "there", "how", "are", "doing", "today", "i'm", "the", "quick", "brown", "can't", "lower", "lowest",
         "newest", "__newln__", "3", "12", "é"]  # fmt: skip
PARTS = [*"helorwnst.,!?()' \n\t\r@_-3éß1İ\u3000\x85\x1c", "\n\n", "...", " 'm ", "HELLO ", "__end__", "__newln__"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocabulary that lacks some of what its merges make on the way."""
    words = {word: [*word[:-1], f"{word[-1]}</w>"] for word in WORDS}
    merges: list[tuple[str, str]] = []
    for _ in range(30):
        counts = Counter(pair for symbols in words.values() for pair in pairwise(symbols))
        merges.append(max(counts, key=lambda pair: (counts[pair], pair)))
        for word, symbols in words.items():
            words[word] = joined(symbols, merges[-1])
    left = {symbol for symbols in words.values() for symbol in symbols}
    letters = {letter for word in WORDS for letter in word} - set("12é")
    tokens = {symbol.removesuffix("</w>") if symbol.endswith("</w>") else f"{symbol}@@" for symbol in left}
    tokens |= letters | {f"{letter}@@" for letter in letters} | set(".,!?()")
    names = ["__null__", "__start__", "__end__", "__unk__", *sorted(tokens)]
    place = tmp_path_factory.mktemp("blenderbot-small")
    (place / "vocab.json").write_text(json.dumps({name: id for id, name in enumerate(names)}), "utf-8")
    (place / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges), "utf-8")
    (place / "config.json").write_text('{"model_type": "blenderbot-small"}', "utf-8")
    return place


def joined(symbols: list[str], pair: tuple[str, str]) -> list[str]:
    done: list[str] = []
    for symbol in symbols:
        if done and (done[-1], symbol) == pair:
            done[-1] += symbol
        else:
            done.append(symbol)
    return done


@pytest.fixture(scope="module")
def ours(folder: Path) -> Tokenizer:
    return Tokenizer.load(str(folder))


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.BlenderbotSmallTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))


@pytest.mark.parity
@given(text=st.lists(st.sampled_from(PARTS)).map("".join))
def test_ids_and_texts_are_those_of_transformers(ours: Tokenizer, theirs: Any, text: str) -> None:
    ids = theirs(text)["input_ids"]
    assert ours.encode(text) == ids
    # The mark of a word that was left unfinished is a piece's spelling, no text.
    for skip in (True, False):
        assert ours.decode(ids, skip) == theirs.decode(ids, skip_special_tokens=skip).removesuffix("@@")


@given(text=st.lists(st.sampled_from(PARTS)).map("".join))
def test_text_arrives_piece_by_piece_as_it_is_read_whole(ours: Tokenizer, text: str) -> None:
    ids = ours.encode(text)
    stream = Detokenizer(ours)
    assert "".join([stream.push(id) for id in ids]) + stream.flush() == ours.decode(ids)


def test_joins_that_are_no_tokens_read_as_unknown(folder: Path, ours: Tokenizer) -> None:
    names = json.loads((folder / "vocab.json").read_text("utf-8"))
    merges = [tuple(line.split()) for line in (folder / "merges.txt").read_text("utf-8").splitlines()[1:]]
    symbol = next(a + b for a, b in merges if not b.endswith("</w>") and f"{a + b}@@" not in names)
    first, last = ours.encode(f"{symbol}Z")
    assert first == last == names["__unk__"] and ours.vocabulary_size == len(names)
    assert ours.token(len(names)) is None and ours.piece(len(names)) == f"<id {len(names)}>"


def test_pieces_say_where_a_word_ends_and_marks_are_named(ours: Tokenizer) -> None:
    assert "".join(ours.piece(id) for id in ours.encode("Hello there!")) == "hello there ! "
    assert (ours.bos_id, ours.eos_id, ours.special_ids) == (1, 2, {0, 1, 2, 3})
    assert [ours.piece(id) for id in ours.encode("__start__ i")] == ["__start__", "i "]
