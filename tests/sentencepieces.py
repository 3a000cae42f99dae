"""SentencePiece models written for tests, and their Unigram search as its paper says it, in a few slow lines.

Source: Kudo, "Subword Regularization" (2018); sentencepiece_model.proto for the fields.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4
SPACE = "▁"
UNKNOWN_PENALTY = 10.0

Row = tuple[str, float, int]


def sentencepiece_model(rows: Sequence[Row], algorithm: int = 1) -> bytes:
    """The bytes of a .model with these pieces (text, score, kind); no rules rewrite its characters."""
    pieces = b"".join(_field(1, _piece(*row)) for row in rows)
    unknown = next(id for id, row in enumerate(rows) if row[2] == UNKNOWN)
    return pieces + _field(2, bytes([0x18, algorithm, 0xC0, 0x02, unknown]))


def cut(text: str, rows: Sequence[Row]) -> list[str]:
    """A text's pieces: those whose scores have the highest sum; what no piece begins is one, together, as it stands."""
    scores = {row[0]: row[1] for row in rows if row[2] == NORMAL}
    lost = min(scores.values()) - UNKNOWN_PENALTY
    line = SPACE + " ".join(text.split()).replace(" ", SPACE) if text.split() else ""
    best: list[tuple[float, int, bool]] = [(0.0, 0, True)]
    for end in range(1, len(line) + 1):
        ways = [(best[a][0] + scores[line[a:end]], a, True) for a in range(end) if line[a:end] in scores]
        if line[end - 1] not in scores:
            ways.append((best[end - 1][0] + lost, end - 1, False))
        best.append(max(ways, default=(-math.inf, end - 1, False)))
    found: list[tuple[str, bool]] = []
    end = len(line)
    while end:
        _, start, known = best[end]
        if found and not known and not found[-1][1]:
            found[-1] = (line[start:end] + found[-1][0], False)
        else:
            found.append((line[start:end], known))
        end = start
    return [piece for piece, _ in reversed(found)]


def _piece(text: str, score: float, kind: int) -> bytes:
    return _field(1, text.encode()) + b"\x15" + struct.pack("<f", score) + bytes([0x18, kind])


def _field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2, *_varint(len(value))]) + value


def _varint(value: int) -> bytes:
    return bytes([value & 127 | 128]) + _varint(value >> 7) if value > 127 else bytes([value])
