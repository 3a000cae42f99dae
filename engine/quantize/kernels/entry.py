"""The one native function that Python calls: quantise the input, then share the products out to threads."""

from __future__ import annotations

from llvmlite import ir

from engine.quantize.kernels.activations import BLOCK, quantiser
from engine.quantize.kernels.emit import F32, I8, I32, I64, POINTER, VOID, Emitter, Value, count
from engine.quantize.kernels.products import MANY
from engine.quantize.kernels.sharing import planned, share_out

STATE = ("plan", "x", "y", "scratch", "M", "threads", "next", "workers", "rows")
"""A call under way: 64-bit integers in this order; the last three are counters."""

PARALLEL = ir.FunctionType(VOID, [POINTER, POINTER, I32, I32])
"""GOMP_parallel(function, data, threads, flags)."""

TOGETHER = 4
"""Input rows that a thread quantises in one go."""


def scratch_bytes(rows: int, blocks: int, threads: int) -> int:
    """What a call needs for its quantised input: few rows are quantised by each thread for itself."""
    return (threads if rows < MANY else 1) * ((rows * blocks * (BLOCK + 8) + 63) & -64)


class Call:
    """Writes `run(plan, x, y, scratch, M, threads, parallel)`; parallel is GOMP_parallel's address, or 0."""

    def __init__(self, module: ir.Module) -> None:
        self.module = module
        quantiser(module)
        quantise, work = self._quantise_many(), self._work()
        f = Emitter(module, "run", [POINTER] * 4 + [I64] * 3)
        plan, x, y, scratch, M, threads, parallel = f.arguments
        state = f.room(I64, len(STATE))
        for number, value in enumerate((plan, x, y, scratch, M, threads, *[count(0)] * 3)):
            f.store(value, state, number, I64, 8)
        many = f.b.icmp_signed(">=", M, count(MANY))
        with f.b.if_else(f.b.icmp_signed(">", threads, count(1))) as (several, alone):
            with several:
                start = f.b.inttoptr(parallel, PARALLEL.as_pointer())
                crew = [f.b.trunc(threads, I32), ir.Constant(I32, 0)]
                with f.b.if_then(many):
                    f.b.call(start, [quantise, state, *crew])
                f.b.call(start, [work, state, *crew])
            with alone:
                with f.b.if_then(many):
                    f.b.call(quantise, [state])
                f.b.call(work, [state])
        f.b.ret_void()

    def _quantise_many(self) -> ir.Function:
        """A thread's part in quantising the input that all threads read."""
        f = Emitter(self.module, "quantise_many", [POINTER], internal=True)
        [state] = f.arguments
        M = self._read(f, state, "M")
        scratch = self._read(f, state, "scratch", POINTER)
        jobs = f.b.sdiv(f.b.add(M, count(TOGETHER - 1)), count(TOGETHER))

        def rows(job: Value) -> None:
            first = f.b.mul(job, count(TOGETHER))
            end = f.b.add(first, count(TOGETHER))
            self._quantise(f, state, scratch, first, f.b.select(f.b.icmp_signed("<", end, M), end, M))

        f.drain(lambda: self._next(f, state, "rows"), jobs, rows)
        f.b.ret_void()
        return f.function

    def _work(self) -> ir.Function:
        """A thread's part in the product."""
        f = Emitter(self.module, "work", [POINTER], internal=True)
        [state] = f.arguments
        plan, y = self._read(f, state, "plan", POINTER), self._read(f, state, "y", POINTER)
        M = self._read(f, state, "M")
        few = f.b.icmp_signed("<", M, count(MANY))
        blocks = planned(f, plan, "blocks")
        own = f.b.and_(f.b.add(f.b.mul(f.b.mul(M, blocks), count(BLOCK + 8)), count(63)), count(-64))
        worker = f.b.select(few, self._next(f, state, "workers"), count(0))
        scratch = f.at(self._read(f, state, "scratch", POINTER), f.b.mul(worker, own), I8)
        with f.b.if_then(few):
            self._quantise(f, state, scratch, count(0), M)
        x = self._parts(f, scratch, f.b.mul(M, blocks))
        share_out(f, plan, x, y, M, f.at(state, STATE.index("next"), I64), self._read(f, state, "threads"))
        f.b.ret_void()
        return f.function

    def _quantise(self, f: Emitter, state: Value, scratch: Value, first: Value, last: Value) -> None:
        """Rows first to last of the input, into where their bytes, steps and shifts belong in scratch."""
        plan, x = self._read(f, state, "plan", POINTER), self._read(f, state, "x", POINTER)
        width, blocks = planned(f, plan, "width"), planned(f, plan, "blocks")
        codes, step, shift = self._parts(f, scratch, f.b.mul(self._read(f, state, "M"), blocks))

        def one(row: Value, _: object) -> list[Value]:
            begin = f.b.mul(row, blocks)
            source = f.at(x, f.b.mul(row, width), F32)
            places = (f.at(codes, f.b.mul(begin, count(BLOCK)), I8), f.at(step, begin, F32), f.at(shift, begin, F32))
            f.b.call(self.module.globals["quantise"], [source, width, blocks, *places])
            return []

        f.loop(first, last, 1, [], one)

    def _parts(self, f: Emitter, scratch: Value, blocks: Value) -> tuple[Value, Value, Value]:
        """Where the bytes, the steps and the shifts of so many blocks lie in scratch."""
        step = f.at(scratch, f.b.mul(blocks, count(BLOCK)), I8)
        return scratch, step, f.at(step, blocks, F32)

    def _read(self, f: Emitter, state: Value, name: str, kind: ir.Type = I64) -> Value:
        return f.load(kind, state, STATE.index(name), I64, 8)

    def _next(self, f: Emitter, state: Value, name: str) -> Value:
        """A counter as it was; it is one more now."""
        return f.b.atomic_rmw("add", f.at(state, STATE.index(name), I64), count(1), "monotonic")
