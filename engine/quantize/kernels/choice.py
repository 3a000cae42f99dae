"""Which kernels run on this processor: each that could is held to a known answer and timed, the fastest right one runs.

A kernel that answers wrongly is never taken. That is asked for each kind of matrix: where an instruction set fails on
one, the next set serves that kind, and torch's own operators where none is left.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from engine.errors import EngineError
from engine.quantize.groups import Grouped
from engine.quantize.kernels import tiles
from engine.quantize.kernels.activations import BLOCK
from engine.quantize.kernels.dots import Dots
from engine.quantize.kernels.native import Library, usable
from engine.quantize.kernels.pages import pages
from engine.quantize.kernels.plan import Matrix, Plan, Table
from engine.quantize.kernels.portable import Int4, Int8
from engine.quantize.kernels.products import Kind

COMMON = Kind(4, 32, zero=False)
"""The kind that instruction sets are compared on."""

TIMED = (512, 2048)
"""Rows and columns of the matrix that is timed: enough to tell kernels apart, few enough to pack at every start."""

PASSES = 7

NEAR = 1e-5
"""How far a right answer may be from the known one, by the largest number in it: only the order of adding differs."""

PORTABLE_NEAR = 2**-6
"""The same for torch's operators, by the sum of the sizes of the products: they round all numbers to bf16."""


@dataclass(frozen=True)
class Choice:
    """What runs, why, and how many GB of codes and scales it reads in a second for one row of input."""

    name: str
    why: str
    speed: float


@functools.cache
def chosen() -> Choice:
    """The kernels that this processor runs 4-bit matrices with."""
    best, *others = _ranked()
    if not others:
        return Choice(best.name, f"nothing else gives right answers here: {best.speed:.1f} GB/s", best.speed)
    behind = ", ".join(f"{each.name} {each.speed:.1f} GB/s" for each in others)
    return Choice(best.name, f"the fastest with right answers: {best.speed:.1f} GB/s; {behind}", best.speed)


@functools.cache
def library(kind: Kind) -> Library | None:
    """The fastest native functions that are right for a kind of matrix; None where torch's operators serve it.

    EngineError where those are not right either.
    """
    for each in _ranked():
        if each.library is None or right(each.library, kind):
            return each.library
    raise _nothing()


def right(candidate: Library, kind: Kind) -> bool:
    """Whether native functions give the known answers: for few rows and for many, with a matrix of odd shape."""
    grouped = sample(kind, 40, 200)
    matrix = laid(grouped, candidate)
    x = torch.randn(11, 200, generator=torch.Generator().manual_seed(1))
    x[3, :40] = 0
    weight = grouped.dense()
    if not torch.equal(Table(matrix)(torch.arange(40)), weight):
        return False
    expected = functional.linear(rounded(x).double(), weight.double())
    plan = Plan([matrix, matrix])
    for rows in (1, 2, 7, 11):
        for answer in plan(x[:rows]):
            if not (answer - expected[:rows]).abs().amax() <= NEAR * expected.abs().amax():
                return False
    return True


def sample(kind: Kind, rows: int, width: int) -> Grouped:
    """A matrix of a kind, full of all codes."""
    random = torch.Generator().manual_seed(0)
    groups = -(-width // kind.group)
    low, high = (0, 256) if kind.bits == 4 else (-128, 128)
    shape = (rows, groups * kind.group * kind.bits // 8)
    dtype = torch.uint8 if kind.bits == 4 else torch.int8
    codes = torch.randint(low, high, shape, generator=random, dtype=dtype)
    scale = (torch.rand(rows, groups, generator=random) + 0.1).half()
    zero = torch.randn(rows, groups, generator=random).half() if kind.zero else None
    return Grouped(kind.bits, kind.group, (rows, width), codes, scale, zero)


def laid(grouped: Grouped, library: Library) -> Matrix:
    """A grouped matrix as the native kernels read it."""
    zero = None if grouped.zero is None else pages.moved(tiles.numbers(grouped.zero))
    kind = Kind(grouped.bits, grouped.group, zero is not None)
    codes, scale = pages.moved(tiles.codes(grouped)), pages.moved(tiles.numbers(grouped.scale))
    return Matrix(library, kind, *grouped.shape, codes, scale, zero)


def rounded(x: Tensor) -> Tensor:
    """An input [..., K] as the native kernels see it: 127 steps to each side for every 32 values."""
    blocks = functional.pad(x, (0, -x.shape[-1] % BLOCK)).unflatten(-1, (-1, BLOCK))
    top = blocks.abs().amax(-1, keepdim=True)
    codes = (blocks * torch.where(top > 0, 127 / top, 0)).round()
    return (codes * (top / 127)).flatten(-2)[..., : x.shape[-1]]


@dataclass(frozen=True)
class _Candidate:
    name: str
    library: Library | None
    speed: float


@functools.cache
def _ranked() -> list[_Candidate]:
    """Everything that runs here and is right, the fastest first; EngineError where nothing is."""
    grouped = sample(COMMON, *TIMED)
    x = torch.randn(1, TIMED[1], generator=torch.Generator().manual_seed(2))
    found = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if portable_right():
            portable = Int4(grouped)
            found.append(_Candidate("torch", None, grouped.nbytes / _nanoseconds(lambda: portable.multiply(x))))
        for dots in usable():
            candidate = _made(dots)
            if candidate is not None and right(candidate, COMMON):
                plan = Plan([laid(grouped, candidate)])
                found.append(
                    _Candidate(dots.name, candidate, grouped.nbytes / _nanoseconds(functools.partial(plan, x)))
                )
    finally:
        torch.set_num_threads(threads)
    if not found:
        raise _nothing()
    return sorted(found, key=lambda each: each.speed, reverse=True)


def portable_right() -> bool:
    """Whether torch's own operators run here, and multiply by what was packed within bf16's rounding."""
    x = torch.randn(3, 200, generator=torch.Generator().manual_seed(1))
    try:
        for packer, bits in ((Int4, 4), (Int8, 8)):
            grouped = sample(Kind(bits, 64, zero=bits == 4), 40, 200)
            packed, weight = packer(grouped), grouped.dense()
            for answer in (packed.multiply(x), functional.linear(x, packed.rows(torch.arange(40)))):
                if not ((answer - x @ weight.T).abs() <= PORTABLE_NEAR * (x.abs() @ weight.abs().T)).all():
                    return False
    except RuntimeError:
        return False
    return True


def _nothing() -> EngineError:
    return EngineError(
        "No way to multiply by quantised matrices gives right answers on this processor.",
        "Choose the precision fp32 or bf16.",
    )


def _made(dots: Dots) -> Library | None:
    """The native functions in an instruction set; None where LLVM cannot make them, or the system lets no code in."""
    try:
        return Library(dots)
    except RuntimeError:
        return None


def _nanoseconds(call: Callable[[], object]) -> float:
    """The shortest of a few calls; bytes over this are GB/s."""
    times = []
    for _ in range(PASSES):
        begun = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - begun)
    return float(min(times))
