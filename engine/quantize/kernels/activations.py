"""The input's side of a product: rows of float32 become bytes with a scale for every 32 of them, as llama.cpp does.

For block b of a row: x = q * step[b], q from -127 to 127, and shift[b] = -8 * step[b] * sum(q), which takes the 8 back
out of 4-bit codes (they stand for q - 8). A row that holds NaN or an infinity has NaN as that block's step: it reaches
the result.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from engine.quantize.kernels.emit import F32, I8, I32, I64, POINTER, Emitter, Value, count, splat, vector

BLOCK = 32
"""Values that share a step."""

TINY = 1e-30
"""Blocks that are nowhere larger are zeros: 127 divided by less would not be a float."""


def quantiser(module: ir.Module) -> None:
    """Write `quantise(x, width, blocks, bytes, step, shift)`: one row of `width` floats into `blocks` blocks."""
    f = Emitter(module, "quantise", [POINTER, I64, I64, POINTER, POINTER, POINTER], internal=True)
    x, width, blocks, codes, step, shift = f.arguments
    rest = f.room(F32, BLOCK)

    def block(source: Value, index: Value) -> None:
        _block(
            f, source, f.at(codes, f.b.mul(index, count(BLOCK)), I8), f.at(step, index, F32), f.at(shift, index, F32)
        )

    whole = f.b.sdiv(width, count(BLOCK))

    def full(index: Value, _: object) -> list[Value]:
        block(f.at(x, f.b.mul(index, count(BLOCK)), F32), index)
        return []

    def partial(index: Value, _: object) -> list[Value]:
        for part in range(4):
            f.store(splat(F32, 8, 0.0), rest, 8 * part, F32, 32)
        first = f.b.mul(index, count(BLOCK))

        def copy(place: Value, _: object) -> list[Value]:
            f.store(f.load(F32, x, place, F32, 4), rest, f.b.sub(place, first), F32, 4)
            return []

        f.loop(first, width, 1, [], copy)
        block(rest, index)
        return []

    f.loop(count(0), whole, 1, [], full)
    f.loop(whole, blocks, 1, [], partial)
    f.b.ret_void()


def _block(f: Emitter, x: Value, codes: Value, step: Value, shift: Value) -> None:
    parts = [f.load(vector(F32, 8), x, 8 * part, F32, 4) for part in range(4)]
    sizes = [f.call("llvm.fabs.v8f32", vector(F32, 8), part) for part in parts]
    largest = _larger(f, _larger(f, sizes[0], sizes[1]), _larger(f, sizes[2], sizes[3]))
    # 0 for numbers, NaN for NaN and infinities, which the comparisons above may have lost.
    nothing = f.b.fmul(parts[0], splat(F32, 8, 0.0))
    for part in parts[1:]:
        nothing = f.fma(part, splat(F32, 8, 0.0), nothing)
    top = _across(f, largest, _larger)
    spoiled = _across(f, nothing, _sum)
    there = f.b.fcmp_ordered(">", top, ir.Constant(F32, TINY))
    inverse = f.b.select(there, f.b.fdiv(ir.Constant(F32, 127.0), top), ir.Constant(F32, 0.0))
    size = f.b.fadd(f.b.fdiv(top, ir.Constant(F32, 127.0)), spoiled)
    f.b.store(size, step, align=4)
    many = f.broadcast(inverse, 8)
    whole = [f.call("llvm.x86.avx.cvt.ps2dq.256", vector(I32, 8), f.b.fmul(part, many)) for part in parts]
    for part, numbers in enumerate(whole):
        f.store(f.b.trunc(numbers, vector(I8, 8)), codes, 8 * part, I8, 8)
    total = f.b.add(f.b.add(whole[0], whole[1]), f.b.add(whole[2], whole[3]))
    total = f.call("llvm.vector.reduce.add.v8i32", I32, total)
    minus = f.b.fmul(f.b.sitofp(total, F32), ir.Constant(F32, -8.0))
    f.b.store(f.b.fmul(minus, size), shift, align=4)


def _larger(f: Emitter, a: Value, b: Value) -> Value:
    return f.b.select(f.b.fcmp_ordered(">", a, b), a, b)


def _sum(f: Emitter, a: Value, b: Value) -> Value:
    return f.b.fadd(a, b)


def _across(f: Emitter, value: Value, join: Callable[[Emitter, Value, Value], Value]) -> Value:
    """The eight numbers of a vector joined into one, half with half."""
    for half in (4, 2, 1):
        other = ir.Constant(vector(I32, 8), [(place + half) % 8 for place in range(8)])
        value = join(f, value, f.b.shuffle_vector(value, value, other))
    return f.b.extract_element(value, ir.Constant(I32, 0))
