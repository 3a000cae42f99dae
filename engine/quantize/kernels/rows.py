"""Rows of a packed matrix as plain numbers: what an embedding looks up, and what unpacks a whole matrix."""

from __future__ import annotations

from llvmlite import ir

from engine.quantize.kernels.activations import BLOCK
from engine.quantize.kernels.emit import F16, F32, I8, I32, I64, POINTER, Emitter, Value, count, splat, vector
from engine.quantize.kernels.products import TILE, Kind
from engine.quantize.kernels.sharing import FIELDS

CALL = ("matrix", "ids", "many", "y", "wrong")
"""A call: 64-bit integers in this order. y: float32 [many, groups * group]; wrong counts numbers that are no row's."""


class Rows:
    """Writes `rows(call)` for one kind of matrix: weight = (code - 8) * scale + zero in 4 bits, code * scale in 8."""

    def __init__(self, module: ir.Module, kind: Kind) -> None:
        self.kind = kind
        self.f = f = Emitter(module, f"rows_{kind}", [POINTER])
        [call] = f.arguments
        matrix, ids, y = (f.load(POINTER, call, CALL.index(name), I64, 8) for name in ("matrix", "ids", "y"))
        self.codes, self.scale, self.zero = (
            f.load(POINTER, matrix, FIELDS.index(name), I64, 8) for name in ("codes", "scale", "zero")
        )
        N, self.groups = (f.load(I64, matrix, FIELDS.index(name), I64, 8) for name in ("rows", "groups"))
        wrong = f.at(call, CALL.index("wrong"), I64)

        def one(place: Value, _: object) -> list[Value]:
            row = f.load(I64, ids, place, I64, 8)
            with f.b.if_else(f.b.icmp_unsigned("<", row, N)) as (there, missing):
                with there:
                    self._row(row, f.at(y, f.b.mul(place, f.b.mul(self.groups, count(kind.group))), F32))
                with missing:
                    f.b.store(f.b.add(f.b.load(wrong, typ=I64), count(1)), wrong)
            return []

        f.loop(count(0), f.load(I64, call, CALL.index("many"), I64, 8), 1, [], one)
        f.b.ret_void()

    def _row(self, row: Value, y: Value) -> None:
        f, kind = self.f, self.kind
        per = kind.group // BLOCK
        tile, inside = f.b.udiv(row, count(TILE)), f.b.urem(row, count(TILE))
        begin = f.b.mul(tile, f.b.mul(self.groups, count(per * kind.block_bytes)))
        codes = f.at(self.codes, f.b.add(begin, f.b.mul(inside, count(4))), I8)
        first = f.b.add(f.b.mul(tile, f.b.mul(self.groups, count(TILE))), inside)

        def group(index: Value, _: object) -> list[Value]:
            place = f.b.add(first, f.b.mul(index, count(TILE)))
            scale, zero = (self._number(base, place) for base in (self.scale, self.zero if kind.zero else self.scale))

            def block(own: Value, _: object) -> list[Value]:
                number = f.b.add(f.b.mul(index, count(per)), own)
                source = f.at(codes, f.b.mul(number, count(kind.block_bytes)), I8)
                target = f.at(y, f.b.mul(number, count(BLOCK)), F32)
                for column, four in self._codes(source):
                    weights = f.b.fmul(four, scale)
                    weights = f.b.fadd(weights, zero) if kind.zero else weights
                    f.store(weights, target, column, F32, 4)
                return []

            f.loop(count(0), count(per), 1, [], block)
            return []

        f.loop(count(0), self.groups, 1, [], group)

    def _number(self, base: Value, place: Value) -> Value:
        """A scale or zero, four times."""
        f = self.f
        return f.broadcast(f.b.fpext(f.load(F16, base, place, F16, 2), F32), 4)

    def _codes(self, source: Value) -> list[tuple[int, Value]]:
        """The codes of a block's columns, four at a time, as float32."""
        f, wide = self.f, vector(I32, 4)
        found = []
        for four in range(self.kind.bits):
            raw = f.load(vector(I8, 4), source, 4 * TILE * four, I8, 4)
            if self.kind.bits == 8:
                found.append((4 * four, f.b.sext(raw, wide)))
            else:
                both = f.b.zext(raw, wide)
                halves = f.b.and_(both, splat(I32, 4, 15)), f.b.lshr(both, splat(I32, 4, 4))
                found += [(4 * four + BLOCK // 2 * high, f.b.sub(halves[high], splat(I32, 4, 8))) for high in (0, 1)]
        return [(column, f.b.sitofp(codes, vector(F32, 4))) for column, codes in found]
