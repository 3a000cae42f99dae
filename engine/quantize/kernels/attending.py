"""Attention of one query position: some query heads with the keys and values of the head that serves them.

Keys lie as rows, so eight of them are taken at once and their sums turned into one vector; scores wait in memory until
the largest is known. Lengths of heads are known when the code is written, the number of keys is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from engine.quantize.kernels.arithmetic import LANES, eight_totals, exp, get, larger, largest, number, put, total
from engine.quantize.kernels.emit import F32, I64, POINTER, Emitter, Value, count

AT_ONCE = 8
"""Vectors of a head's result that are summed at once: with the weight and a value they fit into 16 registers."""

NOTHING = -1e30
"""A score that weighs nothing, in the places behind the last key."""


def attention(module: ir.Module, width: int) -> None:
    """Write `attend(q, heads, keys, values, S, scores, y)`: softmax(q k) v for heads of that width.

    q: float32 [heads, width], scaled; keys, values: [S, width]; scores: room for S + 8 floats; y: [heads, width].
    """
    f = Emitter(module, "attend", [POINTER, I64, POINTER, POINTER, I64, POINTER, POINTER], internal=True)
    q, heads, keys, values, S, scores, y = f.arguments
    whole = f.b.and_(S, count(-LANES))
    # One head's scores follow another's.
    row = f.b.add(whole, count(LANES))

    def per_head(body: Callable[[Value, Value], None]) -> None:
        def one(head: Value, _: object) -> list[Value]:
            body(f.b.mul(head, count(width)), f.at(scores, f.b.mul(head, row), F32))
            return []

        f.loop(count(0), heads, 1, [], one)

    per_head(lambda _, own: put(f, number(NOTHING), own, whole))

    def eight(first: Value, _: object) -> list[Value]:
        rows = [f.at(keys, f.b.mul(f.b.add(first, count(k)), count(width)), F32) for k in range(LANES)]

        def scored(place: Value, own: Value) -> None:
            query, sums = f.at(q, place, F32), [number(0.0)] * LANES
            for part in range(0, width, LANES):
                piece = get(f, query, part)
                sums = [f.fma(piece, get(f, key, part), so_far) for key, so_far in zip(rows, sums)]
            put(f, eight_totals(f, sums), own, first)

        per_head(scored)
        return []

    def single(at: Value, _: object) -> list[Value]:
        key = f.at(keys, f.b.mul(at, count(width)), F32)

        def scored(place: Value, own: Value) -> None:
            query, sums = f.at(q, place, F32), number(0.0)
            for part in range(0, width, LANES):
                sums = f.fma(get(f, query, part), get(f, key, part), sums)
            f.store(total(f, sums), own, at, F32, 4)

        per_head(scored)
        return []

    f.loop(count(0), whole, LANES, [], eight)
    f.loop(whole, S, 1, [], single)
    per_head(lambda place, own: _weigh(f, own, row, S, values, f.at(y, place, F32), width))
    f.b.ret_void()
    _showing(module)


def _showing(module: ir.Module) -> None:
    """Write `show(scores, S, y)`: a head's softmax as `attend` left it in its scores, to y [S]."""
    f = Emitter(module, "show", [POINTER, I64, POINTER], internal=True)
    scores, S, y = f.arguments
    row = f.b.add(f.b.and_(S, count(-LANES)), count(LANES))
    [sums] = f.loop(
        count(0), row, LANES, [number(0.0)], lambda place, found: [f.b.fadd(found[0], get(f, scores, place))]
    )
    share = f.b.fdiv(ir.Constant(F32, 1.0), total(f, sums))

    def one(place: Value, _: object) -> list[Value]:
        f.store(f.b.fmul(f.load(F32, scores, place, F32, 4), share), y, place, F32, 4)
        return []

    f.loop(count(0), S, 1, [], one)
    f.b.ret_void()


def _weigh(f: Emitter, scores: Value, row: Value, S: Value, values: Value, y: Value, width: int) -> None:
    """The values weighted by the softmax of the scores."""

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
    for begin in range(0, width, LANES * AT_ONCE):
        parts = range(begin, min(begin + LANES * AT_ONCE, width), LANES)

        def value(at: Value, sums: Sequence[Value], parts: range = parts) -> list[Value]:
            own = f.at(values, f.b.mul(at, count(width)), F32)
            p = f.broadcast(f.load(F32, scores, at, F32, 4), LANES)
            return [f.fma(p, get(f, own, part), so_far) for part, so_far in zip(parts, sums)]

        results = f.loop(count(0), S, 1, [number(0.0)] * len(parts), value)
        for part, result in zip(parts, results):
            put(f, f.b.fmul(result, share), y, part)
