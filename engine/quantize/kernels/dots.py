"""The instruction sets: how four bytes of a weight row meet four bytes of the input, in each lane of a vector.

A lane is a row of the matrix. Sums of 32 products are exact integers in every set, so all sets give the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from llvmlite import ir

from engine.quantize.kernels.emit import I8, I16, I32, Emitter, Value, splat, vector


class Dots(Protocol):
    """An instruction set. Codes of 4 bits come as bytes 0 to 15, those of 8 bits as they are, -128 to 127."""

    @property
    def name(self) -> str: ...

    @property
    def features(self) -> tuple[str, ...]:
        """What a processor must have, in LLVM's words."""
        ...

    @property
    def lanes(self) -> int: ...

    @property
    def shifted(self) -> int:
        """What 8-bit codes are increased by before they are multiplied, in eights."""
        ...

    def add4(self, f: Emitter, sums: Value | None, codes: Value, x: Value) -> Value: ...

    def add8(self, f: Emitter, sums: Value | None, codes: Value, x: Value) -> Value: ...

    def total4(self, f: Emitter, sums: Value) -> Value:
        """32-bit integers, one a lane, of what add4 summed over at most 32 places."""
        ...


class Avx2:
    """256 bits, bytes multiplied in pairs into 16 bits: 32 products of 4-bit codes fit, 8-bit ones are widened."""

    name = "AVX2"
    features = ("avx2", "fma", "f16c")
    lanes = 8
    shifted = 0

    def add4(self, f: Emitter, sums: Value | None, codes: Value, x: Value) -> Value:
        # Eight pairs in a 16-bit place, each at most 2 * 15 * 127: 30480, below 32767.
        products = f.call("llvm.x86.avx2.pmadd.ub.sw", vector(I16, 16), codes, x)
        return products if sums is None else f.b.add(sums, products)

    def total4(self, f: Emitter, sums: Value) -> Value:
        return f.call("llvm.x86.avx2.pmadd.wd", vector(I32, 8), sums, splat(I16, 16, 1))

    def add8(self, f: Emitter, sums: Value | None, codes: Value, x: Value) -> Value:
        # |code| is at most 128 and x takes the sign: a pair is at most 2 * 128 * 127 = 32512, which saturates nothing.
        size = f.call("llvm.abs.v32i8", vector(I8, 32), codes, ir.Constant(ir.IntType(1), 0))
        signed = f.call("llvm.x86.avx2.psign.b", vector(I8, 32), x, codes)
        products = self.total4(f, f.call("llvm.x86.avx2.pmadd.ub.sw", vector(I16, 16), size, signed))
        return products if sums is None else f.b.add(sums, products)


@dataclass(frozen=True)
class Vnni:
    """One instruction multiplies four bytes and adds them up in 32 bits; the codes' side is unsigned."""

    name: str
    features: tuple[str, ...]
    lanes: int
    intrinsic: str
    shifted: int = 16

    def add4(self, f: Emitter, sums: Value | None, codes: Value, x: Value) -> Value:
        start = splat(I32, self.lanes, 0) if sums is None else sums
        return f.call(self.intrinsic, vector(I32, self.lanes), start, codes, x)

    def total4(self, f: Emitter, sums: Value) -> Value:
        return sums

    def add8(self, f: Emitter, sums: Value | None, codes: Value, x: Value) -> Value:
        return self.add4(f, sums, f.b.xor(codes, splat(I8, 4 * self.lanes, -128)), x)


SETS: tuple[Dots, ...] = (
    Vnni("AVX-512 VNNI", ("avx512vnni", "avx512f", "avx512bw", "avx512vl", "fma", "f16c"), 16,
         "llvm.x86.avx512.vpdpbusd.512"),
    Vnni("AVX-VNNI", ("avxvnni", "avx2", "fma", "f16c"), 8, "llvm.x86.avx512.vpdpbusd.256"),
    Avx2(),
)  # fmt: skip
"""From the widest to the plainest."""
