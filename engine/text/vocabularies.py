"""Vocabularies of other formats, rebuilt as the `tokenizers` library's models.

Each function takes what every format says in its own words (pieces, scores, merges) and gives the tokenizer that turns
text into the same ids as the program that the format comes from. It reads no file; the readers are its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
"""SentencePiece's sign for a space, as it stands in every piece."""

Prefix = Literal["always", "first", "never"]
"""Whether a space goes before a text: also after each special token in it, at its beginning only, or not at all."""


class Kind(IntEnum):
    """What a piece is for; SentencePiece's numbers, which GGUF took over."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of a vocabulary; its place in the list is its id."""

    text: str
    score: float = 0.0
    kind: int = Kind.NORMAL


def sentencepiece_bpe(
    pieces: Sequence[Piece], prefix: Prefix, squeeze: bool = False, charsmap: bytes = b""
) -> tokenizers.Tokenizer:
    """SentencePiece's BPE: of all neighbours, those whose joined piece has the highest score are joined first.

    squeeze: no space at a text's ends, one between its words. charsmap: compiled rules that rewrite characters first.
    """
    byte_fallback = any(piece.kind == Kind.BYTE for piece in pieces)
    unknown = next((piece.text for piece in pieces if piece.kind == Kind.UNKNOWN), None)
    merges = merges_by_score(pieces)
    model = models.BPE(ids_of(pieces), merges, unk_token=unknown, fuse_unk=True, byte_fallback=byte_fallback)
    backend = tokenizers.Tokenizer(model)
    steps = _cleaned(squeeze, charsmap)
    if prefix == "first":
        # A pre-tokenizer knows where the text begins, a normalizer does not.
        backend.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, "first", split=False)
    else:
        steps += [normalizers.Prepend(SPACE)] if prefix == "always" else []
        steps += [normalizers.Replace(" ", SPACE)]
    if steps:
        backend.normalizer = normalizers.Sequence(steps)
    backend.decoder = _sentencepiece_decoder(byte_fallback, prefix)
    add_tokens(backend, pieces)
    return backend


def sentencepiece_unigram(
    pieces: Sequence[Piece], unknown: int, prefix: Prefix, squeeze: bool, charsmap: bytes
) -> tokenizers.Tokenizer:
    """SentencePiece's Unigram: of all ways to cut a text, the one whose pieces' scores have the highest sum."""
    byte_fallback = any(piece.kind == Kind.BYTE for piece in pieces)
    model = models.Unigram([(piece.text, piece.score) for piece in pieces], unknown, byte_fallback)
    backend = tokenizers.Tokenizer(model)
    steps = _cleaned(squeeze, charsmap)
    if steps:
        backend.normalizer = normalizers.Sequence(steps)
    backend.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, prefix)
    backend.decoder = _sentencepiece_decoder(byte_fallback, prefix)
    add_tokens(backend, pieces)
    return backend


def byte_level_bpe(
    vocabulary: dict[str, int],
    merges: list[tuple[str, str]],
    splitting: Sequence[str] | None,
    whole_words: bool = False,
    prefix: bool = False,
) -> tokenizers.Tokenizer:
    """GPT-2's BPE over bytes. splitting: patterns that cut a text in turn before it, None for GPT-2's own.

    whole_words: a word that is a piece is taken as it is, whatever its merges would give. prefix: a space goes first.
    """
    backend = tokenizers.Tokenizer(models.BPE(vocabulary, merges, ignore_merges=whole_words))
    cuts = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in splitting or ()]
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=splitting is None)
    backend.pre_tokenizer = pre_tokenizers.Sequence([*cuts, to_bytes])
    backend.decoder = decoders.ByteLevel()
    return backend


def text_bpe(
    pieces: Sequence[Piece], merges: list[tuple[str, str]], splitting: Sequence[str], whole_lines: bool
) -> tokenizers.Tokenizer:
    """BPE over characters, spaces as SentencePiece writes them, bytes for characters that are no pieces.

    whole_lines: line ends that together are a piece are taken as it is, whatever the merges would give.
    """
    backend = _text_bpe(pieces, merges)
    backend.normalizer = normalizers.Replace(" ", SPACE)
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in splitting]
    )
    if whole_lines:
        ends = sorted((piece.text for piece in pieces if piece.text.strip("\n") == "" and piece.text), key=len)
        backend.add_tokens([AddedToken(text, normalized=False) for text in ends])
    return backend


def word_bpe(pieces: Sequence[Piece], merges: list[tuple[str, str]], lower: bool) -> tokenizers.Tokenizer:
    """BPE over the characters of each word; blanks only part them. lower: capitals do not count."""
    backend = _text_bpe(pieces, merges)
    if lower:
        backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return backend


def word_pieces(
    vocabulary: dict[str, int], unknown: str, lower: bool, accents: bool | None = None, chinese: bool = True
) -> tokenizers.Tokenizer:
    """BERT's WordPiece: words cut at blanks and signs, each then into its longest pieces from the left.

    lower: capitals do not count. accents: they do; None is where capitals do. chinese: each such sign is a word.
    """
    backend = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token=unknown, max_input_chars_per_word=100))
    strip = None if accents is None else not accents
    backend.normalizer = normalizers.BertNormalizer(lowercase=lower, strip_accents=strip, handle_chinese_chars=chinese)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return backend


def framed(backend: tokenizers.Tokenizer, before: str, after: str) -> None:
    """Let every encoded text stand between two special tokens; "" for none."""
    ends = [(text, backend.token_to_id(text)) for text in (before, after) if text]
    template = f"{before}:0 $A:0 {after}:0" if before and after else f"$A:0 {after}:0" if after else f"{before}:0 $A:0"
    backend.post_processor = processors.TemplateProcessing(single=template, special_tokens=ends)


def merges_by_score(pieces: Sequence[Piece]) -> list[tuple[str, str]]:
    """The merges that a scored vocabulary implies: each way to cut a piece in two pieces, best piece first."""
    usable = {piece.text for piece in pieces if piece.kind in (Kind.NORMAL, Kind.USER_DEFINED, Kind.UNUSED)}
    order = {piece.text: id for id, piece in enumerate(pieces)}
    found = [
        (-piece.score, order[piece.text[:cut]], order[piece.text[cut:]], piece.text[:cut], piece.text[cut:])
        for piece in pieces
        if piece.kind == Kind.NORMAL
        for cut in range(1, len(piece.text))
        if piece.text[:cut] in usable and piece.text[cut:] in usable
    ]
    return [(left, right) for _, _, _, left, right in sorted(found)]


def add_tokens(backend: tokenizers.Tokenizer, pieces: Iterable[Piece]) -> None:
    """Let control pieces be special, and user-defined ones be found in a text before it is cut."""
    listed = [piece for piece in pieces if piece.text]
    backend.add_special_tokens(
        [AddedToken(piece.text, normalized=False) for piece in listed if piece.kind in (Kind.CONTROL, Kind.UNKNOWN)]
    )
    backend.add_tokens(
        [AddedToken(piece.text, normalized=False) for piece in listed if piece.kind == Kind.USER_DEFINED]
    )


def ids_of(pieces: Sequence[Piece]) -> dict[str, int]:
    """Text to id; of two pieces with one text the first counts."""
    ids: dict[str, int] = {}
    for id, piece in enumerate(pieces):
        ids.setdefault(piece.text, id)
    return ids


def _text_bpe(pieces: Sequence[Piece], merges: list[tuple[str, str]]) -> tokenizers.Tokenizer:
    byte_fallback = any(piece.kind == Kind.BYTE for piece in pieces)
    backend = tokenizers.Tokenizer(models.BPE(ids_of(pieces), merges, byte_fallback=byte_fallback))
    backend.decoder = _sentencepiece_decoder(byte_fallback, "never")
    add_tokens(backend, pieces)
    return backend


def _cleaned(squeeze: bool, charsmap: bytes) -> list[normalizers.Normalizer]:
    steps: list[normalizers.Normalizer] = [normalizers.Precompiled(charsmap)] if charsmap else []
    if squeeze:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    return steps


def _sentencepiece_decoder(byte_fallback: bool, prefix: Prefix) -> decoders.Decoder:
    steps: list[decoders.Decoder] = [decoders.Replace(SPACE, " ")]
    steps += [decoders.ByteFallback()] if byte_fallback else []
    steps += [decoders.Fuse()]
    steps += [decoders.Strip(" ", 1, 0)] if prefix != "never" else []
    return decoders.Sequence(steps)
