"""How keys and values lie in the cache, for native code: rows in half precision, or in 8 bits with a scale for each.

Both are what engine/decoding/cache.py writes and reads, to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from llvmlite import ir

from engine.quantize.kernels.arithmetic import EIGHT, LANES, each, get, larger, largest, number, put, total
from engine.quantize.kernels.emit import F16, F32, I8, I32, Emitter, Value, count, vector

LARGEST = 65504.0
"""Of half precision; what is larger is kept as that."""

STEPS = 127.0
"""To each side of zero, in 8 bits."""


class Form(Protocol):
    """A form of rows of one width."""

    @property
    def name(self) -> str: ...

    @property
    def element(self) -> ir.Type:
        """Of a row."""
        ...

    def write(self, f: Emitter, x: Value, row: Value, scale: Value, width: int) -> None:
        """Keep x, float32 [width], as the row at that address, and its scale at the other."""
        ...

    def widen(self, f: Emitter, rows: Value, scales: Value, y: Value, many: int, width: int) -> None:
        """The rows from an address on become float32 [many, width]."""
        ...


class Half:
    """Half precision; there are no scales."""

    name = "half"
    element = F16

    def write(self, f: Emitter, x: Value, row: Value, scale: Value, width: int) -> None:
        def one(place: Value) -> None:
            value = get(f, x, place)
            for sign, bound in (("<", -LARGEST), (">", LARGEST)):
                value = f.b.select(f.b.fcmp_ordered(sign, value, number(bound)), number(bound), value)
            f.store(f.b.fptrunc(value, vector(F16, LANES)), row, place, F16, 2)

        each(f, width, one)

    def widen(self, f: Emitter, rows: Value, scales: Value, y: Value, many: int, width: int) -> None:
        for place in range(0, many * width, LANES):
            put(f, f.b.fpext(f.load(vector(F16, LANES), rows, place, F16, 2), EIGHT), y, place)


class Bytes:
    """Codes from -127 to 127; a row's scale is float32, its largest number over 127, NaN where it has one."""

    name = "bytes"
    element = I8

    def write(self, f: Emitter, x: Value, row: Value, scale: Value, width: int) -> None:
        def look(place: Value, found: Sequence[Value]) -> list[Value]:
            value = get(f, x, place)
            top = larger(f, found[0], f.call("llvm.fabs.v8f32", EIGHT, value))
            # 0 for numbers, NaN for NaN and infinities, which comparisons may lose.
            return [top, f.fma(value, number(0.0), found[1])]

        top, spoiled = f.loop(count(0), count(width), LANES, [number(0.0), number(0.0)], look)
        top = f.b.extract_element(largest(f, top), ir.Constant(I32, 0))
        there = f.b.fcmp_ordered(">", top, ir.Constant(F32, 0.0))
        steps, nothing = ir.Constant(F32, STEPS), ir.Constant(F32, 0.0)
        inverse = f.broadcast(f.b.select(there, f.b.fdiv(steps, top), nothing), LANES)
        f.store(f.b.fadd(f.b.fdiv(top, steps), total(f, spoiled)), scale, 0, F32, 4)

        def one(place: Value) -> None:
            codes = f.call("llvm.x86.avx.cvt.ps2dq.256", vector(I32, LANES), f.b.fmul(get(f, x, place), inverse))
            f.store(f.b.trunc(codes, vector(I8, LANES)), row, place, I8, 1)

        each(f, width, one)

    def widen(self, f: Emitter, rows: Value, scales: Value, y: Value, many: int, width: int) -> None:
        for index in range(many):
            scale = f.broadcast(f.load(F32, scales, index, F32, 4), LANES)
            for place in range(index * width, (index + 1) * width, LANES):
                codes = f.b.sext(f.load(vector(I8, LANES), rows, place, I8, 1), vector(I32, LANES))
                put(f, f.b.fmul(f.b.sitofp(codes, EIGHT), scale), y, place)
