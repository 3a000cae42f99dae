"""Tokens in print: blanks that can be seen, and short enough for a bar or an axis."""

from __future__ import annotations

from functools import lru_cache
from unicodedata import bidirectional

from engine import TokenRecord

SIGNS = str.maketrans({" ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍", "\u00a0": "⍽"})
UNFINISHED = "◌"  # a token that is only a part of a character


@lru_cache(maxsize=4096)
def visible(piece: str, longest: int = 24) -> str:
    """A piece with visible blanks, cut in the middle where it is longer than `longest` characters."""
    text = piece.translate(SIGNS) or UNFINISHED
    if len(text) > longest:
        half = (longest - 1) // 2
        text = f"{text[:half]}…{text[-half:]}"
    return text


def worded(piece: str, longest: int = 24) -> str:
    """The same inside a sentence: one written from right to left must not turn the words around it."""
    text = visible(piece, longest)
    if any(bidirectional(letter) in ("R", "AL", "AN") for letter in text):
        return f"\N{FIRST STRONG ISOLATE}{text}\N{POP DIRECTIONAL ISOLATE}"
    return text


def piece_of(record: TokenRecord) -> str:
    """What a token adds to the text, or its own name where that is nothing, as with a mark of the end."""
    return record.text or (record.pieces[record.chosen] if record.chosen >= 0 else "")


def percent(probability: float) -> str:
    """A probability with two decimals of a percent; a tiny one is not called zero, and all of it needs none."""
    if 0 < probability < 0.00005:
        return "<0.01 %"
    if probability >= 0.99995:
        return "100 %"
    return f"{probability:.2%}".replace("%", " %")
