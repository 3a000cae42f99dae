"""Low-rank additions to the products of fused blocks: y += B (A x), in float32 beside a matrix of few bits.

Each thread makes all of A x for itself, since it is little, and adds B's part for the tiles that it takes. What is
added to a row depends neither on the rows beside it nor on the threads. Source: LoRA (Hu et al., 2021).
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.quantize.kernels.arithmetic import LANES, get, number, put, total
from engine.quantize.kernels.emit import F32, I64, POINTER, Emitter, Value, count
from engine.quantize.kernels.products import TILE

RECORD = ("ranks", "A", "B")
"""An addition: 64-bit integers in this order; A: float32 [ranks, K], B: float32 [ranks, N], K and N eights."""

AT_ONCE = 4
"""Rows of A that one input row is multiplied by at once; what ranks are a multiple of."""


def lower(f: Emitter, record: Value, x: Value, width: Value, many: Value, h: Value) -> None:
    """h [many, ranks] = x A', for x [many, width]."""
    ranks = f.load(I64, record, RECORD.index("ranks"), I64, 8)
    A = f.load(POINTER, record, RECORD.index("A"), I64, 8)

    def one(row: Value, _: object) -> list[Value]:
        source, target = f.at(x, f.b.mul(row, width), F32), f.at(h, f.b.mul(row, ranks), F32)

        def several(rank: Value, _: object) -> list[Value]:
            lines = [f.at(A, f.b.mul(f.b.add(rank, count(each)), width), F32) for each in range(AT_ONCE)]

            def part(place: Value, sums: Sequence[Value]) -> list[Value]:
                piece = get(f, source, place)
                return [f.fma(piece, get(f, line, place), each) for line, each in zip(lines, sums)]

            sums = f.loop(count(0), width, LANES, [number(0.0)] * AT_ONCE, part)
            for each, found in enumerate(sums):
                f.store(total(f, found), target, f.b.add(rank, count(each)), F32, 4)
            return []

        f.loop(count(0), ranks, AT_ONCE, [], several)
        return []

    f.loop(count(0), many, 1, [], one)


def add(f: Emitter, record: Value, h: Value, many: Value, N: Value, begin: Value, end: Value, y: Value) -> None:
    """y [many, N] += h B, for the rows of the matrix in the tiles from begin to end."""
    ranks = f.load(I64, record, RECORD.index("ranks"), I64, 8)
    B = f.load(POINTER, record, RECORD.index("B"), I64, 8)
    first, last = f.b.mul(begin, count(TILE)), f.smaller(f.b.mul(end, count(TILE)), N)

    def one(row: Value, _: object) -> list[Value]:
        source, target = f.at(h, f.b.mul(row, ranks), F32), f.at(y, f.b.mul(row, N), F32)

        def rank(index: Value, _: object) -> list[Value]:
            factor, line = f.broadcast(f.load(F32, source, index, F32, 4), LANES), f.at(B, f.b.mul(index, N), F32)

            def part(place: Value, _: object) -> list[Value]:
                put(f, f.fma(factor, get(f, line, place), get(f, target, place)), target, place)
                return []

            f.loop(first, last, LANES, [], part)
            return []

        f.loop(count(0), ranks, 1, [], rank)
        return []

    f.loop(count(0), many, 1, [], one)
