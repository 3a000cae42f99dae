"""Token records, and what they were drawn with, as compact blobs and back, exactly.

It knows neither files nor SQLite. A blob is a version mark and a zlib stream: a JSON head with every string and every
length, then plain little-endian arrays. No pickle, so reading a blob can run nothing. Arrays are stored byte plane by
byte plane (all first bytes, then all second bytes, ...): neighbouring floats share their high bytes, and zlib finds
that. A candidate's id and piece are written once per blob however many tokens considered it.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import EngineError
from engine.messages import Drawing, TokenRecord
from engine.params import SamplingParams

MARK = b"VTR1"
LEVEL = 1  # level 6 takes half as long again for 3 to 8 percent

_FORMATS = {
    # one per token
    "position": "<i8", "id": "<i8", "rank": "<i8", "steps": "<i4", "count": "<i4",
    "logprob": "<f8", "entropy": "<f8", "lse": "<f8", "std": "<f8",
    # one per candidate; `pair` is an index into the (id, piece) pairs
    "pair": "<i4", "logits": "<f4", "after": "<f4", "cut": "<i1",
    # one per pair
    "pair_id": "<i4",
}  # fmt: skip


def pack(records: Sequence[TokenRecord]) -> bytes:
    """Records to a blob. Candidate arrays are kept as int32, float32 and int8, scalars as 64 bits."""
    pairs: dict[tuple[int, str], int] = {}
    steps: dict[tuple[str, ...], int] = {}
    pair = [pairs.setdefault(key, len(pairs)) for r in records for key in zip(r.candidate_ids.tolist(), r.pieces)]
    columns: dict[str, Sequence[float] | npt.NDArray[Any]] = {
        "position": [r.position for r in records],
        "id": [r.id for r in records],
        "rank": [r.rank for r in records],
        "steps": [steps.setdefault(r.steps, len(steps)) for r in records],
        "count": [len(r.candidate_ids) for r in records],
        "logprob": [r.logprob for r in records],
        "entropy": [r.entropy for r in records],
        "lse": [r.lse for r in records],
        "std": [r.std for r in records],
        "pair": pair,
        "logits": _flat([r.logits for r in records]),
        "after": _flat([r.after for r in records]),
        "cut": _flat([r.cut for r in records]),
        "pair_id": [number for number, _ in pairs],
    }
    head = {
        "texts": [r.text for r in records],
        "pieces": [piece for _, piece in pairs],
        "steps": list(steps),
        "lengths": {name: len(column) for name, column in columns.items()},
    }
    planes = [_planes(np.asarray(column, _FORMATS[name])) for name, column in columns.items()]
    written = json.dumps(head, separators=(",", ":")).encode()
    return MARK + zlib.compress(b"".join([struct.pack("<I", len(written)), written, *planes]), LEVEL)


def unpack(blob: bytes) -> tuple[TokenRecord, ...]:
    """A blob back to records; raises EngineError where it is not whole."""
    try:
        if blob[: len(MARK)] != MARK:
            raise ValueError("unknown mark")
        data = zlib.decompress(blob[len(MARK) :])
        (size,) = struct.unpack_from("<I", data)
        head = json.loads(data[4 : 4 + size])
        return _records(head, _columns(head["lengths"], data, 4 + size))
    except (ValueError, KeyError, IndexError, TypeError, struct.error, zlib.error) as error:
        raise EngineError(
            f"The token records of this message cannot be read: {error}.", "The message itself is whole."
        ) from error


def pack_drawing(drawing: Drawing) -> bytes:
    """A drawing to a blob: ids as int32, as prompts are long."""
    head = {
        "seed": drawing.seed,
        "prompt": drawing.prompt,
        "vocabulary": drawing.vocabulary,
        "sampling": drawing.sampling.to_dict(),
        "breakers": drawing.breakers,
        "forced": drawing.forced,
    }
    written = json.dumps(head).encode()
    ids = _planes(np.asarray(drawing.ids, "<i4"))
    return MARK + zlib.compress(b"".join([struct.pack("<I", len(written)), written, ids]), LEVEL)


def unpack_drawing(blob: bytes) -> Drawing:
    """A blob back to a drawing; raises EngineError where it is not whole."""
    try:
        if blob[: len(MARK)] != MARK:
            raise ValueError("unknown mark")
        data = zlib.decompress(blob[len(MARK) :])
        (size,) = struct.unpack_from("<I", data)
        head = json.loads(data[4 : 4 + size])
        count = (len(data) - 4 - size) // 4
        (ids,) = _columns({"ids": count}, data, 4 + size, {"ids": "<i4"}).values()
        sampling, breakers = SamplingParams.from_dict(head["sampling"])[0], tuple(head["breakers"])
        numbers = head["prompt"], head["vocabulary"]
        return Drawing(head["seed"], tuple(ids.tolist()), *numbers, sampling, breakers, head["forced"])
    except (ValueError, KeyError, IndexError, TypeError, struct.error, zlib.error) as error:
        raise EngineError(
            f"What this message was drawn with cannot be read: {error}.", "The message itself is whole."
        ) from error


def _records(head: dict[str, list[str]], columns: dict[str, npt.NDArray[Any]]) -> tuple[TokenRecord, ...]:
    pieces = head["pieces"]
    steps = [tuple(names) for names in head["steps"]]
    pair = columns["pair"]
    candidate_ids = columns["pair_id"][pair]
    words = [pieces[index] for index in pair.tolist()]
    scalars = zip(
        head["texts"],
        *(columns[name].tolist() for name in ("position", "id", "logprob", "rank", "entropy", "lse", "std", "steps")),
        np.cumsum(columns["count"], dtype=np.int64).tolist(),
    )
    records = []
    start = 0
    for text, position, number, logprob, rank, entropy, lse, std, order, end in scalars:
        records.append(
            TokenRecord(
                position, number, text, logprob, rank, entropy, lse, std,
                candidate_ids[start:end], columns["logits"][start:end], tuple(words[start:end]),
                columns["after"][start:end], columns["cut"][start:end], steps[order],
            )
        )  # fmt: skip
        start = end
    return tuple(records)


def _flat(arrays: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return np.concatenate(arrays) if arrays else np.empty(0)


def _planes(column: npt.NDArray[Any]) -> bytes:
    return column.view(np.uint8).reshape(-1, column.itemsize).T.tobytes()


def _columns(
    lengths: dict[str, int], data: bytes, start: int, formats: dict[str, str] = _FORMATS
) -> dict[str, npt.NDArray[Any]]:
    columns = {}
    for name, format in formats.items():
        size = np.dtype(format).itemsize
        count = lengths[name] * size
        planes = np.frombuffer(data, np.uint8, count, start).reshape(size, lengths[name])
        columns[name] = np.ascontiguousarray(planes.T).view(format).reshape(-1)
        start += count
    return columns
