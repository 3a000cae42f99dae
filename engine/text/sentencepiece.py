"""A SentencePiece .model, read from its protobuf and rebuilt as Unigram or BPE.

The wire format is small enough to walk within bounds here: the protobuf package would want the schema compiled, and
the sentencepiece package would be a second tokenizer beside the one that all else uses.
Source: sentencepiece_model.proto of google/sentencepiece, for field numbers and defaults.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import tokenizers

from engine.errors import BadModelFiles, UnsupportedModel
from engine.text.vocabularies import Kind, Piece, Prefix, sentencepiece_bpe, sentencepiece_unigram

VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5
UNIGRAM, BPE = 1, 2


@dataclass(frozen=True, slots=True)
class SentencePieceModel:
    """What a .model says. prefix: a space goes before a text; squeeze: blanks at ends and repeated ones go."""

    pieces: list[Piece]
    algorithm: int
    unknown: int
    charsmap: bytes
    prefix: bool
    squeeze: bool

    def tokenizer(self, prefix: Prefix | None = None) -> tokenizers.Tokenizer:
        """The tokenizer; prefix overrides what the model says of spaces before texts."""
        prefix = prefix or ("always" if self.prefix else "never")
        if self.algorithm == BPE:
            return sentencepiece_bpe(self.pieces, prefix, self.squeeze, self.charsmap)
        return sentencepiece_unigram(self.pieces, self.unknown, prefix, self.squeeze, self.charsmap)


def read(data: bytes, source: str) -> SentencePieceModel:
    """The model in a file's bytes; BadModelFiles names source where they are none."""
    pieces: list[Piece] = []
    trainer: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    try:
        for field, value in _fields(data):
            if field == 1:
                pieces.append(_piece(_bytes(value)))
            elif field == 2:
                trainer = dict(_fields(_bytes(value)))
            elif field == 3:
                normalizer = dict(_fields(_bytes(value)))
        algorithm, unknown = _int(trainer.get(3, UNIGRAM)), _int(trainer.get(40, 0))
        charsmap = _bytes(normalizer.get(2, b""))
        prefix, squeeze = bool(_int(normalizer.get(3, 1))), bool(_int(normalizer.get(4, 1)))
        if unknown >= len(pieces):
            raise ValueError("its unknown token is no piece")
    except ValueError as error:
        raise BadModelFiles(
            f"{source} is damaged or no SentencePiece model: {error}.", "Download the file again."
        ) from error
    if algorithm not in (UNIGRAM, BPE):
        raise UnsupportedModel(
            f"{source} is a SentencePiece model of type {algorithm}, which Vitrine cannot read.",
            "Unigram and BPE can be read; add the model's tokenizer.json to the folder.",
        )
    return SentencePieceModel(pieces, algorithm, unknown, charsmap, prefix, squeeze)


def _piece(data: bytes) -> Piece:
    fields = dict(_fields(data))
    kind = _int(fields.get(3, Kind.NORMAL))
    (score,) = struct.unpack("<f", _bytes(fields.get(2, b"\0\0\0\0")))
    return Piece(_bytes(fields.get(1, b"")).decode("utf-8", "replace"), score, kind)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of every field of a message; ValueError where one does not end within it."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        field, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, at = _varint(data, at)
            yield field, value
            continue
        if wire == LENGTH:
            length, at = _varint(data, at)
        elif wire in (EIGHT_BYTES, FOUR_BYTES):
            length = 8 if wire == EIGHT_BYTES else 4
        else:
            raise ValueError(f"it has a field of wire type {wire}")
        if length > len(data) - at:
            raise ValueError("it ends too early")
        yield field, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("it ends too early")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("it has a number without end")


def _int(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise ValueError("a number is missing")
    return value


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a text is missing")
    return value
