"""Attention of one query position: some query heads with the keys and values of the head that serves them.

Keys and values lie in one of cached.py's forms. Eight rows at a time are widened once for all query heads; a head's
eight sums are turned into one vector. Scores wait in memory until the largest is known. Lengths of heads are
known when the code is written, the number of keys is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from engine.quantize.kernels.arithmetic import LANES, eight_totals, exp, get, larger, largest, number, put, total
from engine.quantize.kernels.cached import Form
from engine.quantize.kernels.emit import F32, I64, POINTER, Emitter, Value, count

AT_ONCE = 8
"""Vectors of a head's result that are summed at once: with the weight and a value they fit into 16 registers."""

NOTHING = -1e30
"""A score that weighs nothing, in the places behind the last key."""


def attention(module: ir.Module, form: Form, width: int) -> None:
    """Write `attend(q, heads, keys, values, key_scales, value_scales, S, scores, y)`: softmax(q k) v.

    q: float32 [heads, width], scaled; keys, values: [S, width] in that form; scores: room for S + 8 floats a head;
    y: float32 [heads, width].
    """
    f = Emitter(module, "attend", [POINTER, I64] + [POINTER] * 4 + [I64, POINTER, POINTER], internal=True)
    q, heads, keys, values, key_scales, value_scales, S, scores, y = f.arguments
    wide = f.room(F32, LANES * width)
    whole = f.b.and_(S, count(-LANES))
    # One head's scores follow another's.
    row = f.b.add(whole, count(LANES))

    def per_head(body: Callable[[Value, Value], None]) -> None:
        def one(head: Value, _: object) -> list[Value]:
            body(f.b.mul(head, count(width)), f.at(scores, f.b.mul(head, row), F32))
            return []

        f.loop(count(0), heads, 1, [], one)

    def in_tiles(rows: Value, scales: Value, body: Callable[[Value, int], None]) -> None:
        """body(first, many) for eight rows at a time, then for those that are left; `wide` then holds them."""

        def tile(many: int) -> Callable[[Value, object], list[Value]]:
            def one(first: Value, _: object) -> list[Value]:
                begin = f.at(rows, f.b.mul(first, count(width)), form.element)
                form.widen(f, begin, f.at(scales, first, F32), wide, many, width)
                body(first, many)
                return []

            return one

        f.loop(count(0), whole, LANES, [], tile(LANES))
        f.loop(whole, S, 1, [], tile(1))

    def score(first: Value, many: int) -> None:
        def scored(place: Value, own: Value) -> None:
            query, sums = f.at(q, place, F32), [number(0.0)] * many
            for part in range(0, width, LANES):
                piece = get(f, query, part)
                sums = [f.fma(piece, get(f, wide, k * width + part), so_far) for k, so_far in enumerate(sums)]
            if many == 1:
                f.store(total(f, sums[0]), own, first, F32, 4)
            else:
                put(f, eight_totals(f, sums), own, first)

        per_head(scored)

    def weigh(first: Value, many: int) -> None:
        def weighed(place: Value, own: Value) -> None:
            target = f.at(y, place, F32)
            for begin in range(0, width, LANES * AT_ONCE):
                parts = range(begin, min(begin + LANES * AT_ONCE, width), LANES)
                sums = [get(f, target, part) for part in parts]
                for k in range(many):
                    p = f.broadcast(f.load(F32, own, f.b.add(first, count(k)), F32, 4), LANES)
                    sums = [f.fma(p, get(f, wide, k * width + part), each) for part, each in zip(parts, sums)]
                for part, each in zip(parts, sums):
                    put(f, each, target, part)

        per_head(weighed)

    per_head(lambda _, own: put(f, number(NOTHING), own, whole))
    in_tiles(keys, key_scales, score)
    per_head(lambda place, own: _softmax(f, own, row, f.at(y, place, F32), width))
    in_tiles(values, value_scales, weigh)
    f.b.ret_void()
    _showing(module)


def _softmax(f: Emitter, scores: Value, row: Value, y: Value, width: int) -> None:
    """Scores become their softmax; y zeros."""

    def most(place: Value, found: Sequence[Value]) -> list[Value]:
        return [larger(f, found[0], get(f, scores, place))]

    [found] = f.loop(count(0), row, LANES, [number(NOTHING)], most)
    top = largest(f, found)

    def weight(place: Value, sums: Sequence[Value]) -> list[Value]:
        p = exp(f, f.b.fsub(get(f, scores, place), top))
        put(f, p, scores, place)
        return [f.b.fadd(sums[0], p)]

    [sums] = f.loop(count(0), row, LANES, [number(0.0)], weight)
    share = f.broadcast(f.b.fdiv(ir.Constant(F32, 1.0), total(f, sums)), LANES)

    def scale(place: Value, _: object) -> list[Value]:
        put(f, f.b.fmul(get(f, scores, place), share), scores, place)
        return []

    f.loop(count(0), row, LANES, [], scale)
    for part in range(0, width, LANES):
        put(f, number(0.0), y, part)


def _showing(module: ir.Module) -> None:
    """Write `show(scores, S, y)`: a head's softmax as `attend` leaves it in its scores, to y [S]."""
    f = Emitter(module, "show", [POINTER, I64, POINTER], internal=True)
    scores, S, y = f.arguments

    def one(place: Value, _: object) -> list[Value]:
        f.store(f.load(F32, scores, place, F32, 4), y, place, F32, 4)
        return []

    f.loop(count(0), S, 1, [], one)
    f.b.ret_void()
