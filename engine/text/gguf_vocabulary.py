"""The vocabulary inside a GGUF file, as a tokenizer: SentencePiece, byte-level BPE, WordPiece or Unigram.

A file that holds nothing but a vocabulary is served too, whatever model it belongs to.
Source: llama.cpp's llama-vocab.cpp, for what a key that is absent means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tokenizers

from engine.errors import UnsupportedModel
from engine.gguf import GGUF
from engine.text.splitting import splitting
from engine.text.vocabularies import (
    SPACE,
    Kind,
    Piece,
    Prefix,
    add_tokens,
    byte_level_bpe,
    framed,
    ids_of,
    sentencepiece_bpe,
    sentencepiece_unigram,
    text_bpe,
    word_bpe,
    word_pieces,
)

PREFIX = "tokenizer.ggml."
NAMED = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "sep_token": "seperator_token_id",
    "pad_token": "padding_token_id",
    "cls_token": "cls_token_id",
    "mask_token": "mask_token_id",
}
Built = tuple[tokenizers.Tokenizer, dict[str, Any]]


def vocabulary(file: GGUF) -> Built:
    """The tokenizer and its settings, in the words of a tokenizer_config.json."""
    kind = file.take(f"{PREFIX}model", str, "")
    if kind not in BUILDERS:
        raise UnsupportedModel(
            f"{file.name} has a vocabulary of the type {kind!r}, which Vitrine cannot read yet.",
            f"These types can be read: {', '.join(BUILDERS)}.",
        )
    pieces = _pieces(file)
    settings: dict[str, Any] = {}
    for name, key in NAMED.items():
        id = file.take(PREFIX + key, int, -1)
        if 0 <= id < len(pieces):
            settings[name] = pieces[id].text
    return BUILDERS[kind](file, pieces, settings)


def _sentencepiece(file: GGUF, pieces: list[Piece], settings: dict[str, Any]) -> Built:
    return sentencepiece_bpe(pieces, _prefix(file)), _ends(file, settings, bos=True, eos=False)


def _byte_pairs(file: GGUF, pieces: list[Piece], settings: dict[str, Any]) -> Built:
    name = file.take(f"{PREFIX}pre", str, "default")
    cuts = splitting("gemma4" if file.take(f"{PREFIX}model", str, "") == "gemma4" else name, file.name)
    merges = _merges(file)
    if cuts.raw:
        backend = text_bpe(pieces, merges, cuts.patterns, whole_lines=cuts.whole_words)
    else:
        backend = byte_level_bpe(ids_of(pieces), merges, cuts.patterns, cuts.whole_words)
        add_tokens(backend, pieces)
    return backend, _ends(file, settings, bos=cuts.bos, eos=False)


def _words(file: GGUF, pieces: list[Piece], settings: dict[str, Any]) -> Built:
    """llama.cpp's type and splitting of one name: whitespace."""
    backend = word_bpe(pieces, _merges(file), file.take(f"{PREFIX}normalizer.lowercase", bool, False))
    return backend, _ends(file, settings, bos=False, eos=False)


def _merges(file: GGUF) -> list[tuple[str, str]]:
    rows = [text.partition(" ") for text in file.texts(f"{PREFIX}merges")]
    return [(left, right) for left, _, right in rows]


def _word_pieces(file: GGUF, pieces: list[Piece], settings: dict[str, Any]) -> Built:
    """The converter writes a word's start as SentencePiece does, and what continues a word without BERT's ##."""
    restored = [
        piece if piece.kind == Kind.CONTROL or _bracketed(piece.text)
        else Piece(piece.text[1:] if piece.text[:1] == SPACE else f"##{piece.text}", piece.score, piece.kind)
        for piece in pieces
    ]  # fmt: skip
    unknown = settings.get("unk_token", "[UNK]")
    # Older files do not say whether capitals count; a vocabulary without one capital has none to tell apart.
    capitals = any(piece.text[:1].isupper() and piece.text.isascii() for piece in restored)
    lower = file.take(f"{PREFIX}normalizer.lowercase", bool, not capitals)
    accents = not file.take(f"{PREFIX}normalizer.strip_accents", bool, lower)
    backend = word_pieces(ids_of(restored), unknown, lower, accents)
    add_tokens(backend, restored)
    before, after = settings.get("cls_token") or settings.get("bos_token", ""), settings.get("sep_token", "")
    if before or after:
        framed(backend, before, after)
    return backend, settings


def _unigram(file: GGUF, pieces: list[Piece], settings: dict[str, Any]) -> Built:
    unknown = next((id for id, piece in enumerate(pieces) if piece.kind == Kind.UNKNOWN), None)
    if unknown is None:
        raise file.damaged("its vocabulary has no unknown token")
    charsmap = file.numbers(f"{PREFIX}precompiled_charsmap")
    backend = sentencepiece_unigram(
        pieces,
        unknown,
        _prefix(file),
        squeeze=file.take(f"{PREFIX}remove_extra_whitespaces", bool, True),
        charsmap=b"" if charsmap is None else charsmap.tobytes(),
    )
    return backend, _ends(file, settings, bos=False, eos=True)


BUILDERS: dict[str, Callable[[GGUF, list[Piece], dict[str, Any]], Built]] = {
    "llama": _sentencepiece,
    "gpt2": _byte_pairs,
    "gemma4": _byte_pairs,
    "whitespace": _words,
    "bert": _word_pieces,
    "t5": _unigram,
}


def _pieces(file: GGUF) -> list[Piece]:
    texts = file.texts(f"{PREFIX}tokens")
    scores, kinds = file.numbers(f"{PREFIX}scores"), file.numbers(f"{PREFIX}token_type")
    for values in (scores, kinds):
        if values is not None and len(values) != len(texts):
            raise file.damaged(f"it has {len(texts)} tokens and {len(values)} values for them")
    rows = zip(
        texts,
        [0.0] * len(texts) if scores is None else scores.tolist(),
        [int(Kind.NORMAL)] * len(texts) if kinds is None else kinds.tolist(),
    )
    return [Piece(text or f"[EMPTY_{id}]", score, kind) for id, (text, score, kind) in enumerate(rows)]


def _ends(file: GGUF, settings: dict[str, Any], bos: bool, eos: bool) -> dict[str, Any]:
    return settings | {
        "add_bos_token": file.take(f"{PREFIX}add_bos_token", bool, bos),
        "add_eos_token": file.take(f"{PREFIX}add_eos_token", bool, eos),
    }


def _prefix(file: GGUF) -> Prefix:
    return "always" if file.take(f"{PREFIX}add_space_prefix", bool, True) else "never"


def _bracketed(text: str) -> bool:
    return text[:1] == "[" and text[-1:] == "]"
