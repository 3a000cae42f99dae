"""Sharing the products of one input out to threads: a plan says what there is, a counter how much of it is taken.

Whichever thread runs takes the next tiles, so one that the system holds back does little. It takes long stretches while
much is left, since memory is read fastest from end to end, and short ones in the end, so that all finish together.
Who does a tile changes no bit of it.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from engine.quantize.kernels.emit import F32, I64, POINTER, VOID, Emitter, Value, count

PLAN = ("width", "blocks", "tiles", "matrices", "least")
"""What a call multiplies by: 64-bit integers in this order, then each matrix's FIELDS. blocks: of an input row; tiles:
of all matrices; least: tiles that a thread takes at once at least."""

FIELDS = ("product", "codes", "scale", "zero", "rows", "groups", "tiles", "offset", "first", "added")
"""A matrix as the native side sees it: 64-bit integers in this order. offset: of its results, in rows of all matrices;
first: the number of its first tile among all; added: the address of a low-rank addition (lowrank.py), or 0."""

PRODUCT = ir.FunctionType(VOID, [POINTER] * 4 + [I64, POINTER] + [I64] * 3)
"""A kind's function: product(matrix, codes, step, shift, blocks, y, M, first tile, last tile)."""


def planned(f: Emitter, plan: Value, name: str) -> Value:
    """One of PLAN's numbers."""
    return f.load(I64, plan, PLAN.index(name), I64, 8)


def matrices_of(f: Emitter, plan: Value, body: Callable[[Value, Value], None]) -> None:
    """body(index, matrix) for each matrix of a plan."""
    first = f.at(plan, len(PLAN), I64)

    def one(index: Value, _: object) -> list[Value]:
        body(index, f.at(first, f.b.mul(index, count(len(FIELDS))), I64))
        return []

    f.loop(count(0), planned(f, plan, "matrices"), 1, [], one)


def field(f: Emitter, matrix: Value, name: str) -> Value:
    """One of a matrix's FIELDS."""
    return f.load(I64, matrix, FIELDS.index(name), I64, 8)


def share_out(
    f: Emitter,
    plan: Value,
    x: tuple[Value, Value, Value],
    y: Value,
    M: Value,
    counter: Value,
    team: Value,
    then: Callable[[Value, Value, Value, Value, Value], None] = lambda *_: None,
) -> None:
    """A thread's part of the plan's products with M input rows, given as bytes, steps and shifts.

    y: one matrix's results behind the other's; counter: of tiles taken, 0 at first; team: how many threads there are;
    then(index, matrix, its results, begin, end): once those tiles of a matrix are done.
    """
    blocks = planned(f, plan, "blocks")

    def stretch(first: Value, last: Value) -> None:
        def part(index: Value, matrix: Value) -> None:
            before, tiles = field(f, matrix, "first"), field(f, matrix, "tiles")
            begin, end = f.larger(f.b.sub(first, before), count(0)), f.smaller(f.b.sub(last, before), tiles)
            with f.b.if_then(f.b.icmp_signed("<", begin, end)):
                product = f.b.inttoptr(field(f, matrix, "product"), PRODUCT.as_pointer())
                results = f.at(y, f.b.mul(field(f, matrix, "offset"), M), F32)
                f.b.call(product, [matrix, *x, blocks, results, M, begin, end])
                then(index, matrix, results, begin, end)

        matrices_of(f, plan, part)

    alone = f.b.icmp_signed("==", team, count(1))
    parts = f.b.select(alone, team, f.b.mul(team, count(2)))
    _in_stretches(f, counter, planned(f, plan, "tiles"), parts, planned(f, plan, "least"), stretch)


def _in_stretches(
    f: Emitter, counter: Value, total: Value, parts: Value, least: Value, body: Callable[[Value, Value], None]
) -> None:
    """body(first, last) for stretches up to a total that no other thread takes: of what is left one of so many parts.

    Source: guided self-scheduling, Polychronopoulos and Kuck, IEEE Transactions on Computers C-36(12), 1987.
    """
    head, claim, inside, after = (f.b.append_basic_block(name) for name in ("look", "claim", "inside", "after"))
    f.b.branch(head)
    f.b.position_at_end(head)
    first = f.b.load_atomic(counter, "monotonic", 8, typ=I64)
    left = f.b.sub(total, first)
    f.b.cbranch(f.b.icmp_signed(">", left, count(0)), claim, after)
    f.b.position_at_end(claim)
    last = f.b.add(first, f.smaller(f.larger(f.b.sdiv(left, parts), least), left))
    swapped = f.b.cmpxchg(counter, first, last, "monotonic", "monotonic")
    f.b.cbranch(f.b.extract_value(swapped, 1), inside, head)
    f.b.position_at_end(inside)
    body(first, last)
    f.b.branch(head)
    f.b.position_at_end(after)
