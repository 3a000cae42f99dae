"""Token records survive packing exactly, whatever is in them, and a blob that is not whole is refused."""

from __future__ import annotations

import dataclasses
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.errors import EngineError
from engine.memory.records import MARK, pack, unpack
from engine.messages import TokenRecord

ARRAYS = {"candidate_ids": np.int32, "logits": np.float32, "after": np.float32, "cut": np.int8}
FLOATS = st.floats(allow_nan=True, allow_infinity=True)
TEXTS = st.text(max_size=8)  # hypothesis includes lone surrogates only where asked
RAW = st.text(st.characters(), max_size=4)


@st.composite
def token_records(draw: st.DrawFn) -> TokenRecord:
    count = draw(st.integers(0, 6))
    return TokenRecord(
        position=draw(st.integers(0, 2**40)),
        id=draw(st.integers(0, 2**31)),
        text=draw(st.one_of(TEXTS, RAW)),
        logprob=draw(FLOATS),
        rank=draw(st.integers(0, 2**31)),
        entropy=draw(FLOATS),
        lse=draw(FLOATS),
        std=draw(FLOATS),
        candidate_ids=draw(arrays(np.int32, count)),
        logits=draw(arrays(np.float32, count)),
        pieces=tuple(draw(st.lists(RAW, min_size=count, max_size=count))),
        after=draw(arrays(np.float32, count)),
        cut=draw(arrays(np.int8, count)),
        steps=tuple(draw(st.lists(TEXTS, max_size=3))),
    )


def assert_same(a: TokenRecord, b: TokenRecord) -> None:
    for item in dataclasses.fields(TokenRecord):
        left, right = getattr(a, item.name), getattr(b, item.name)
        if item.name in ARRAYS:
            assert left.dtype == right.dtype == ARRAYS[item.name]
            assert left.tobytes() == right.tobytes(), item.name
        elif isinstance(left, float):
            assert np.float64(left).tobytes() == np.float64(right).tobytes() or (left != left and right != right)
        else:
            assert left == right and type(left) is type(right), item.name


@given(st.lists(token_records(), max_size=5))
@settings(max_examples=60)
def test_records_come_back_bit_for_bit(records: list[TokenRecord]) -> None:
    again = unpack(pack(records))
    assert len(again) == len(records)
    for before, after in zip(records, again):
        assert_same(before, after)


def test_a_lone_surrogate_in_a_piece_survives() -> None:
    record = _record(pieces=("\udc80", "a"))
    assert unpack(pack([record]))[0].pieces == ("\udc80", "a")


def test_one_id_may_have_two_pieces() -> None:
    first, second = _record(pieces=("a", "b")), _record(pieces=("c", "d"))
    assert [r.pieces for r in unpack(pack([first, second]))] == [("a", "b"), ("c", "d")]


@given(st.data())
@settings(max_examples=60)
def test_a_blob_cut_or_changed_anywhere_is_refused_in_a_sentence_or_read_as_it_was(data: st.DataObject) -> None:
    records = [_record(), _record()]
    blob = bytearray(pack(records))
    if data.draw(st.booleans()):
        blob = blob[: data.draw(st.integers(0, len(blob) - 1))]
    else:
        blob[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        again = unpack(bytes(blob))  # a few bits of the compressed stream are padding
    except EngineError as error:
        assert "cannot be read" in error.message
    else:
        assert len(again) == len(records)
        for before, after in zip(records, again):
            assert_same(before, after)


def test_a_head_that_claims_more_than_there_is_is_refused() -> None:
    head = b'{"texts":[],"pieces":[],"steps":[],"lengths":{"position":999999999}}'
    with pytest.raises(EngineError, match="cannot be read"):
        unpack(MARK + zlib.compress(len(head).to_bytes(4, "little") + head))


def _record(pieces: tuple[str, ...] = ("a", "b")) -> TokenRecord:
    count = len(pieces)
    ids, numbers = np.arange(count, dtype=np.int32), np.ones(count, np.float32)
    return TokenRecord(
        7, 1, "a", -1.0, 0, 1.0, 2.0, 3.0, ids, numbers, pieces, numbers, ids.astype(np.int8), ("top_k",)
    )
