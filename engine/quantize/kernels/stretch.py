"""Several blocks of a decoder for a few tokens in one native call: small models then wait for memory, not for Python.

Threads go through the blocks together. What is short (norms, activations, quantising the input of a product) each does
for itself, on numbers of its own; rows of products and heads of attention are shared out by counters; five times a
block all wait for each other. Who does what changes no bit of the result, nor do the other tokens of a call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from engine.quantize.kernels import lowrank
from engine.quantize.kernels.activations import BLOCK, quantiser
from engine.quantize.kernels.arithmetic import LANES, add, each, get, number, put, rms_norm, rotate, silu_times
from engine.quantize.kernels.attending import attention
from engine.quantize.kernels.cached import Form
from engine.quantize.kernels.emit import F32, I8, I32, I64, POINTER, VOID, Emitter, Value, count
from engine.quantize.kernels.entry import PARALLEL
from engine.quantize.kernels.sharing import field, matrices_of, planned, share_out

CALL = (
    "layers", "count", "rows", "shown", "x", "many", "cosines", "sines", "position", "stride", "splits", "shared",
    "own", "own_bytes", "ranks", "counters", "parallel", "team_size", "give_way", "threads", "workers", "arrived",
    "round",
)  # fmt: skip
"""A call: 64-bit integers in this order. count: of layers. many: tokens, the first of them at `position`.
rows: for each layer the addresses of its keys, values and their scales; heads lie `stride` positions apart.
shown: for each layer where its attention goes, float32 [H, many, position + many], or 0. splits: parts that the query
heads of a group are shared out in. own: scratch of own_bytes for each thread; shared: for all. ranks: of the largest
low-rank addition. team_size, give_way: addresses of omp_get_num_threads and sched_yield. The last three are the call's
own."""

LAYER = (
    "norm", "qkv", "qkv_bias", "q_norm", "k_norm", "out", "out_bias", "next_norm", "gate_up", "down",
)  # fmt: skip
"""A layer: addresses in this order, of plans and of float32; 0 for a bias or norm that it does not have."""

PHASES = 5
"""Counters of a layer: of its four products and its attention."""

MOST_TOGETHER = 3
"""Matrices that have one input: queries, keys and values."""

PATIENCE = 2000
"""Looks at the others before a waiting thread lets another process have its core."""


@dataclass(frozen=True)
class Dimensions:
    """C, H, K, D and the width of the feed-forward part; epsilon of the norms and the scale of attention."""

    width: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    epsilon: float
    scale: float

    @property
    def projected(self) -> int:
        """Rows of queries, keys and values."""
        return (self.heads + 2 * self.kv_heads) * self.head_dim

    @property
    def widest(self) -> int:
        """The widest input of a product."""
        return max(self.width, self.heads * self.head_dim, self.hidden)

    @property
    def blocks(self) -> int:
        """Blocks of the widest input of a product, at most."""
        return -(-self.widest // 128) * 128 // BLOCK

    def shared_floats(self, many: int) -> int:
        """Numbers in the scratch of all for so many tokens: what products and attention give."""
        return many * (self.projected + self.heads * self.head_dim + 2 * self.width + 2 * self.hidden)

    def own_floats(self, many: int, positions: int, ranks: int) -> int:
        """Numbers in a thread's scratch for so many tokens and keys: states, inputs as bytes, heads and scores."""
        group = self.heads // self.kv_heads
        return (
            many * (MOST_TOGETHER * ranks + self.width + self.widest + self.blocks * (BLOCK // 4 + 2))
            + 64
            + self.heads * self.head_dim
            + group * (positions + 2 * 8)
        )


class Stretch:
    """Writes `stretch(call)` for a decoder of these dimensions, its keys and values kept in that form."""

    def __init__(self, module: ir.Module, dimensions: Dimensions, form: Form) -> None:
        self.module, self.d, self.form = module, dimensions, form
        quantiser(module)
        attention(module, form, dimensions.head_dim)
        self._wait()
        self._product()
        self._heads()
        work = self._work()
        f = Emitter(module, "stretch", [POINTER])
        [call] = f.arguments
        threads = self._read(f, call, "threads")
        with f.b.if_else(f.b.icmp_signed(">", threads, count(1))) as (several, alone):
            with several:
                start = f.b.inttoptr(self._read(f, call, "parallel"), PARALLEL.as_pointer())
                f.b.call(start, [work, call, f.b.trunc(threads, I32), ir.Constant(I32, 0)])
            with alone:
                f.b.call(work, [call])
        f.b.ret_void()

    # --- threads ------------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        """`wait(call, team)`: until all threads of the team are here."""
        f = Emitter(self.module, "wait", [POINTER, I64], internal=True)
        call, team = f.arguments
        arrived, round_ = f.at(call, CALL.index("arrived"), I64), f.at(call, CALL.index("round"), I64)
        before = f.b.load_atomic(round_, "acquire", 8, typ=I64)
        here = f.b.add(f.b.atomic_rmw("add", arrived, count(1), "acq_rel"), count(1))
        with f.b.if_else(f.b.icmp_signed("==", here, team)) as (last, early):
            with last:
                f.b.atomic_rmw("xchg", arrived, count(0), "monotonic")
                f.b.atomic_rmw("add", round_, count(1), "release")
            with early:
                self._look(f, call, round_, before)
        f.b.ret_void()

    def _look(self, f: Emitter, call: Value, round_: Value, before: Value) -> None:
        looks = f.b.alloca(I64)
        f.b.store(count(0), looks)
        again, after = f.b.append_basic_block("again"), f.b.append_basic_block("on")
        f.b.branch(again)
        f.b.position_at_end(again)
        f.call("llvm.x86.sse2.pause", VOID)
        tried = f.b.add(f.b.load(looks, typ=I64), count(1))
        f.b.store(tried, looks)
        with f.b.if_then(f.b.icmp_signed(">", tried, count(PATIENCE))):
            give_way = f.b.inttoptr(self._read(f, call, "give_way"), ir.FunctionType(I32, []).as_pointer())
            f.b.call(give_way, [])
        same = f.b.icmp_signed("==", f.b.load_atomic(round_, "acquire", 8, typ=I64), before)
        f.b.cbranch(same, again, after)
        f.b.position_at_end(after)

    def _together(self, f: Emitter) -> None:
        with f.b.if_then(f.b.icmp_signed(">", self.team, count(1))):
            f.b.call(self.module.globals["wait"], [self.call, self.team])

    # --- parts --------------------------------------------------------------------------------------------------------

    def _product(self) -> None:
        """`product(plan, x, codes, step, shift, y, counter, lowered, many, team, ranks)`: a thread's part of it.

        x: so many rows, quantised before; y: those of each matrix's results, one matrix behind the other; lowered: room
        for what additions make of x.
        """
        f = Emitter(self.module, "product", [POINTER] * 8 + [I64] * 3, internal=True)
        plan, x, codes, step, shift, y, counter, lowered, many, team, ranks = f.arguments
        width, blocks = planned(f, plan, "width"), planned(f, plan, "blocks")

        def quantised(row: Value) -> None:
            begin = f.b.mul(row, blocks)
            places = (f.at(codes, f.b.mul(begin, count(BLOCK)), I8), f.at(step, begin, F32), f.at(shift, begin, F32))
            source = f.at(x, f.b.mul(row, width), F32)
            f.b.call(self.module.globals["quantise"], [source, width, blocks, *places])

        _rows(f, many, quantised)

        def added(index: Value, matrix: Value, body: Callable[[Value, Value], None]) -> None:
            record = field(f, matrix, "added")
            with f.b.if_then(f.b.icmp_signed("!=", record, count(0))):
                body(f.b.inttoptr(record, POINTER), f.at(lowered, f.b.mul(index, f.b.mul(many, ranks)), F32))

        def lower_all(index: Value, matrix: Value) -> None:
            added(index, matrix, lambda record, h: lowrank.lower(f, record, x, width, many, h))

        def raise_part(index: Value, matrix: Value, results: Value, begin: Value, end: Value) -> None:
            N = field(f, matrix, "rows")
            added(index, matrix, lambda record, h: lowrank.add(f, record, h, many, N, begin, end, results))

        with f.b.if_then(f.b.icmp_signed(">", ranks, count(0))):
            matrices_of(f, plan, lower_all)
        share_out(f, plan, (codes, step, shift), y, many, counter, team, raise_part)
        f.b.ret_void()

    def _heads(self) -> None:
        """`heads(call, layer, qkv, y, room, unit, index)`: one share of a layer's attention.

        A share is a part of the query heads of one group, for all tokens in turn. Each rotates the new key and writes
        it where it belongs; where a group is shared out, all write the same.
        """
        d = self.d
        D, group = d.head_dim, d.heads // d.kv_heads
        f = Emitter(self.module, "heads", [POINTER] * 5 + [I64, I64], internal=True)
        call, layer, qkv, y, room, unit, index = f.arguments
        cosines, sines = (self._read(f, call, name, POINTER) for name in ("cosines", "sines"))
        many_tokens, splits = self._read(f, call, "many"), self._read(f, call, "splits")
        head, part = f.b.sdiv(unit, splits), f.b.srem(unit, splits)
        begin = f.b.sdiv(f.b.mul(part, count(group)), splits)
        many = f.b.sub(f.b.sdiv(f.b.mul(f.b.add(part, count(1)), count(group)), splits), begin)
        rows = f.at(self._read(f, call, "rows", POINTER), f.b.mul(index, count(4)), I64)
        away = f.b.mul(head, self._read(f, call, "stride"))
        keys, values, key_scales, value_scales = (f.load(POINTER, rows, place, I64, 8) for place in range(4))
        keys, values = (f.at(base, f.b.mul(away, count(D)), self.form.element) for base in (keys, values))
        key_scales, value_scales = (f.at(base, away, F32) for base in (key_scales, value_scales))
        given, turned = f.room(F32, D), f.room(F32, D)
        first = f.b.add(f.b.mul(head, count(group)), begin)
        scores = f.at(room, d.heads * D, F32)
        shown = f.load(I64, self._read(f, call, "shown", POINTER), index, I64, 8)
        width = f.b.add(self._read(f, call, "position"), many_tokens)

        def token(row: Value) -> None:
            position = f.b.add(self._read(f, call, "position"), row)
            here, table = f.b.mul(position, count(D)), f.b.mul(row, count(D))
            turn = f.at(cosines, table, F32), f.at(sines, table, F32)

            def ready(norm: str, before: int, heads: int, index: Value, target: Value) -> None:
                """Of the projection with so many heads, behind those with `before` heads."""
                own = f.b.add(f.b.mul(many_tokens, count(before)), f.b.add(f.b.mul(row, count(heads)), index))
                source = f.at(qkv, f.b.mul(own, count(D)), F32)
                self._ready(f, layer, norm, source, f.b.add(index, count(before)), target)

            ready("k_norm", d.heads, d.kv_heads, head, given)
            rotate(f, given, *turn, turned, D)
            self.form.write(f, turned, f.at(keys, here, self.form.element), f.at(key_scales, position, F32), D)
            ready("", d.heads + d.kv_heads, d.kv_heads, head, given)
            self.form.write(f, given, f.at(values, here, self.form.element), f.at(value_scales, position, F32), D)

            def query(at: Value) -> None:
                ready("q_norm", 0, d.heads, f.b.add(first, at), given)
                each(f, D, lambda place: put(f, f.b.fmul(get(f, given, place), number(d.scale)), given, place))
                rotate(f, given, *turn, f.at(room, f.b.mul(at, count(D)), F32), D)

            _rows(f, many, query)
            results = f.at(y, f.b.mul(f.b.add(f.b.mul(row, count(d.heads)), first), count(D)), F32)
            seen = f.b.add(position, count(1))
            f.b.call(
                self.module.globals["attend"],
                [room, many, keys, values, key_scales, value_scales, seen, scores, results],
            )

            def show(at: Value) -> None:
                own = f.at(scores, f.b.mul(at, f.b.add(f.b.and_(seen, count(-LANES)), count(LANES))), F32)
                target = f.b.mul(f.b.add(f.b.mul(f.b.add(first, at), many_tokens), row), width)
                target = f.at(f.b.inttoptr(shown, POINTER), target, F32)
                f.b.call(self.module.globals["show"], [own, seen, target])

            with f.b.if_then(f.b.icmp_signed("!=", shown, count(0))):
                _rows(f, many, show)

        _rows(f, many_tokens, token)
        f.b.ret_void()

    def _ready(self, f: Emitter, layer: Value, norm: str, x: Value, head: Value, y: Value) -> None:
        """A head's query, key or value with its bias, normed where the layer has a norm of that name.

        head: its number among all of them.
        """
        D = self.d.head_dim
        begin = f.b.mul(head, count(D))
        each(f, D, lambda place: put(f, get(f, x, place), y, place))
        self._add_given(f, layer, "qkv_bias", y, begin, D)
        if norm:
            weight = f.load(I64, layer, LAYER.index(norm), I64, 8)
            with f.b.if_then(f.b.icmp_signed("!=", weight, count(0))):
                rms_norm(f, y, f.b.inttoptr(weight, POINTER), y, D, self.d.epsilon)

    # --- the way through ----------------------------------------------------------------------------------------------

    def _work(self) -> ir.Function:
        """A thread's way through the blocks."""
        d = self.d
        f = Emitter(self.module, "work", [POINTER], internal=True)
        [call] = f.arguments
        self.call = call
        self.team = self._team(f)
        worker = f.b.atomic_rmw("add", f.at(call, CALL.index("workers"), I64), count(1), "monotonic")
        shared, own = self._read(f, call, "shared", POINTER), self._read(f, call, "own", POINTER)
        own = f.at(own, f.b.mul(worker, self._read(f, call, "own_bytes")), I8)
        many = self._read(f, call, "many")

        def behind(base: Value, length: int, kind: ir.Type = F32) -> Value:
            """Behind so much for each token."""
            return f.at(base, f.b.mul(many, count(length)), kind)

        def row_of(base: Value, row: Value, length: int) -> Value:
            return f.at(base, f.b.mul(row, count(length)), F32)

        qkv, y = shared, behind(shared, d.projected)
        out = behind(y, d.heads * d.head_dim)
        down = behind(out, d.width)
        gate_up = behind(down, d.width)
        ranks = self._read(f, call, "ranks")
        lowered, x = own, f.at(own, f.b.mul(many, f.b.mul(ranks, count(MOST_TOGETHER))), F32)
        n = behind(x, d.width)
        codes = behind(n, d.widest)
        step = behind(codes, d.blocks * BLOCK, I8)
        shift = behind(step, d.blocks)
        room = f.at(behind(shift, d.blocks), 64, F32)
        begin = self._read(f, call, "x", POINTER)

        def copied(source: Value, target: Value) -> None:
            def one(row: Value) -> None:
                a, b = row_of(source, row, d.width), row_of(target, row, d.width)
                each(f, d.width, lambda place: put(f, get(f, a, place), b, place))

            _rows(f, many, one)

        copied(begin, x)

        def layer(index: Value, _: object) -> list[Value]:
            record = f.at(self._read(f, call, "layers", POINTER), f.b.mul(index, count(len(LAYER))), I64)
            counters = f.at(self._read(f, call, "counters", POINTER), f.b.mul(index, count(PHASES)), I64)

            def named(name: str) -> Value:
                return f.load(POINTER, record, LAYER.index(name), I64, 8)

            def multiply(plan: str, source: Value, target: Value, phase: int) -> None:
                counter = f.at(counters, phase, I64)
                arguments = [named(plan), source, codes, step, shift, target, counter, lowered, many, self.team, ranks]
                f.b.call(self.module.globals["product"], arguments)
                self._together(f)

            def normed(row: Value, weight: str) -> None:
                own = row_of(x, row, d.width)
                rms_norm(f, own, named(weight), row_of(n, row, d.width), d.width, d.epsilon)

            def attended(row: Value) -> None:
                own = row_of(x, row, d.width)
                add(f, own, row_of(out, row, d.width), d.width)
                self._add_given(f, record, "out_bias", own, count(0), d.width)
                normed(row, "next_norm")

            def gated(row: Value) -> None:
                gate, up = row_of(gate_up, row, d.hidden), row_of(behind(gate_up, d.hidden), row, d.hidden)
                silu_times(f, gate, up, row_of(n, row, d.hidden), d.hidden)

            _rows(f, many, lambda row: normed(row, "norm"))
            multiply("qkv", n, qkv, 0)
            self._attend(f, record, index, qkv, y, room, f.at(counters, 1, I64))
            multiply("out", y, out, 2)
            _rows(f, many, attended)
            multiply("gate_up", n, gate_up, 3)
            _rows(f, many, gated)
            multiply("down", n, down, 4)
            _rows(f, many, lambda row: add(f, row_of(x, row, d.width), row_of(down, row, d.width), d.width))
            return []

        f.loop(count(0), self._read(f, call, "count"), 1, [], layer)
        with f.b.if_then(f.b.icmp_signed("==", worker, count(0))):
            copied(x, begin)
        f.b.ret_void()
        return f.function

    def _attend(
        self, f: Emitter, record: Value, index: Value, qkv: Value, y: Value, room: Value, counter: Value
    ) -> None:
        units = f.b.mul(count(self.d.kv_heads), self._read(f, self.call, "splits"))

        def unit(at: Value) -> None:
            f.b.call(self.module.globals["heads"], [self.call, record, qkv, y, room, at, index])

        f.drain(lambda: f.b.atomic_rmw("add", counter, count(1), "monotonic"), units, unit)
        self._together(f)

    def _add_given(self, f: Emitter, layer: Value, name: str, x: Value, place: Value, length: int) -> None:
        """Add what the layer has under that name, from a place on; nothing where it has none."""
        bias = f.load(I64, layer, LAYER.index(name), I64, 8)
        with f.b.if_then(f.b.icmp_signed("!=", bias, count(0))):
            add(f, x, f.at(f.b.inttoptr(bias, POINTER), place, F32), length)

    def _team(self, f: Emitter) -> Value:
        """Threads that really came."""
        team = f.b.alloca(I64)
        f.b.store(count(1), team)
        address = self._read(f, f.arguments[0], "team_size")
        with f.b.if_then(f.b.icmp_signed(">", self._read(f, f.arguments[0], "threads"), count(1))):
            size = f.b.call(f.b.inttoptr(address, ir.FunctionType(I32, []).as_pointer()), [])
            f.b.store(f.b.sext(size, I64), team)
        return f.b.load(team, typ=I64)

    def _read(self, f: Emitter, call: Value, name: str, kind: ir.Type = I64) -> Value:
        return f.load(kind, call, CALL.index(name), I64, 8)


def _rows(f: Emitter, many: Value, body: Callable[[Value], None]) -> None:
    """body(row) for so many rows."""

    def one(row: Value, _: object) -> list[Value]:
        body(row)
        return []

    f.loop(count(0), many, 1, [], one)
