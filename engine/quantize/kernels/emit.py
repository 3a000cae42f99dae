"""Writing LLVM's instructions from Python: a function under construction, with loops and vectors.

It knows nothing of what the kernels compute. Loops carry their values from round to round (phi nodes), as the SSA form
wants; Python's own loops unroll.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from llvmlite import ir

VOID = ir.VoidType()
I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
F16, F32 = ir.HalfType(), ir.FloatType()
POINTER = ir.PointerType()

Value: TypeAlias = Any
"""What an instruction gives; llvmlite ships no types."""


def vector(element: ir.Type, count: int) -> ir.Type:
    """The type of count elements side by side."""
    return ir.VectorType(element, count)


def splat(element: ir.Type, count: int, number: float) -> Value:
    """The same constant in every place of a vector."""
    return ir.Constant(vector(element, count), [number] * count)


def count(number: int) -> Value:
    """A 64-bit constant."""
    return ir.Constant(I64, number)


class Emitter:
    """One function being written; `b` is LLVM's builder, at the place where the next instruction goes."""

    def __init__(self, module: ir.Module, name: str, arguments: Sequence[ir.Type], internal: bool = False) -> None:
        self.module = module
        self.function = ir.Function(module, ir.FunctionType(VOID, arguments), name)
        if internal:
            self.function.linkage = "internal"
        self.arguments: Sequence[Value] = self.function.args
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))

    def at(self, base: Value, index: Value | int, element: ir.Type) -> Value:
        """The address of the element of that index."""
        return self.b.gep(base, [count(index) if isinstance(index, int) else index], source_etype=element)

    def load(self, kind: ir.Type, base: Value, index: Value | int, element: ir.Type, align: int) -> Value:
        """A value of a type, from the place of that element; align: what the address is a multiple of, in bytes."""
        return self.b.load(self.at(base, index, element), align=align, typ=kind)

    def store(self, value: Value, base: Value, index: Value | int, element: ir.Type, align: int) -> None:
        self.b.store(value, self.at(base, index, element), align=align)

    def room(self, element: ir.Type, size: int) -> Value:
        """Space on the stack for so many elements, aligned for any vector."""
        space = self.b.alloca(ir.ArrayType(element, size))
        space.align = 64
        space.type = POINTER
        return space

    def broadcast(self, scalar: Value, lanes: int) -> Value:
        """A number in every place of a vector."""
        kind = vector(scalar.type, lanes)
        nothing = ir.Constant(kind, ir.Undefined)
        one = self.b.insert_element(nothing, scalar, ir.Constant(I32, 0))
        return self.b.shuffle_vector(one, nothing, splat(I32, lanes, 0))

    def call(self, name: str, result: ir.Type, *arguments: Value) -> Value:
        """Call an intrinsic, or a function of this module or of the process, by its name."""
        callee = self.module.globals.get(name)
        if callee is None:
            callee = ir.Function(self.module, ir.FunctionType(result, [each.type for each in arguments]), name)
        return self.b.call(callee, arguments)

    def prefetch(self, base: Value, offset: int) -> None:
        """Ask memory for the line at an address, in bytes from the base; any address will do, also one of nothing."""
        soon = [ir.Constant(I32, number) for number in (0, 3, 1)]  # to read, to keep near, data
        self.call("llvm.prefetch.p0", VOID, self.at(base, offset, I8), *soon)

    def larger(self, a: Value, b: Value) -> Value:
        """The larger of two whole numbers."""
        return self.b.select(self.b.icmp_signed(">", a, b), a, b)

    def smaller(self, a: Value, b: Value) -> Value:
        """The smaller of two whole numbers."""
        return self.b.select(self.b.icmp_signed("<", a, b), a, b)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c, rounded once, for vectors of float32."""
        return self.call(f"llvm.fma.v{a.type.count}f32", a.type, a, b, c)

    def loop(
        self,
        start: Value,
        stop: Value,
        step: int,
        carried: Sequence[Value],
        body: Callable[[Value, Sequence[Value]], Sequence[Value]],
    ) -> list[Value]:
        """for index in range(start, stop, step): carried = body(index, carried); returns what was carried last."""
        before, head, after = self.b.block, self.b.append_basic_block("loop"), self.b.append_basic_block("after")
        self.b.cbranch(self.b.icmp_signed("<", start, stop), head, after)
        self.b.position_at_end(head)
        index = self._phi(start, before)
        entering = [self._phi(each, before) for each in carried]
        leaving = list(body(index, entering))
        following = self.b.add(index, count(step))
        last = self.b.block
        for phi, value in zip([index, *entering], [following, *leaving], strict=True):
            phi.add_incoming(value, last)
        self.b.cbranch(self.b.icmp_signed("<", following, stop), head, after)
        self.b.position_at_end(after)
        results = [self._phi(each, before) for each in carried]
        for phi, value in zip(results, leaving, strict=True):
            phi.add_incoming(value, last)
        return results

    def drain(self, take: Callable[[], Value], stop: Value, body: Callable[[Value], None]) -> None:
        """body(number) for each number that take() gives, until one is not below stop."""
        head, inside, after = (self.b.append_basic_block(name) for name in ("take", "inside", "after"))
        self.b.branch(head)
        self.b.position_at_end(head)
        number = take()
        self.b.cbranch(self.b.icmp_signed("<", number, stop), inside, after)
        self.b.position_at_end(inside)
        body(number)
        self.b.branch(head)
        self.b.position_at_end(after)

    def _phi(self, value: Value, before: ir.Block) -> ir.PhiInstr:
        phi = self.b.phi(value.type)
        phi.add_incoming(value, before)
        return phi
