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

from engine.quantize.groups import Grouped
from engine.quantize.kernels import tiles
from engine.quantize.kernels.activations import BLOCK
from engine.quantize.kernels.native import Library, usable
from engine.quantize.kernels.plan import Matrix, Plan
from engine.quantize.kernels.portable import Int4
from engine.quantize.kernels.products import Kind

COMMON = Kind(4, 32, zero=False)
"""The kind that instruction sets are compared on."""

TIMED = (256, 2048)
"""Rows and columns of the matrix that is timed: enough to tell kernels apart, few enough to pack at every start."""

PASSES = 7

NEAR = 1e-5
"""How far a right answer may be from the known one, by the largest number in it: only the order of adding differs."""


@dataclass(frozen=True)
class Choice:
    """What runs, why, and how many GB of codes and scales it reads in a second for one row of input."""

    name: str
    why: str
    speed: float


@functools.cache
def chosen() -> Choice:
    """The kernels that this processor runs 4-bit matrices with."""
    best, others = _ranked()[0], _ranked()[1:]
    if len(others) == 0:
        return Choice(best.name, "this processor has no instructions that another is written for", best.speed)
    behind = ", ".join(f"{each.name} {each.speed:.1f} GB/s" for each in others)
    return Choice(best.name, f"the fastest with right answers: {best.speed:.1f} GB/s; {behind}", best.speed)


@functools.cache
def library(kind: Kind) -> Library | None:
    """The fastest native functions that are right for a kind of matrix; None where torch's operators serve it."""
    for each in _ranked():
        if each.library is None or right(each.library, kind):
            return each.library
    return None


def right(candidate: Library, kind: Kind) -> bool:
    """Whether native functions give the known answer for few rows and for many, and for a matrix of odd shape."""
    grouped = sample(kind, 40, 200)
    matrix = laid(grouped, candidate)
    x = torch.randn(11, 200, generator=torch.Generator().manual_seed(1))
    x[3, :40] = 0
    expected = functional.linear(rounded(x).double(), grouped.dense().double())
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
    zero = None if grouped.zero is None else tiles.numbers(grouped.zero)
    kind = Kind(grouped.bits, grouped.group, zero is not None)
    return Matrix(library, kind, *grouped.shape, tiles.codes(grouped), tiles.numbers(grouped.scale), zero)


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
    """Everything that runs here and is right, the fastest first."""
    grouped = sample(COMMON, *TIMED)
    x = torch.randn(1, TIMED[1], generator=torch.Generator().manual_seed(2))
    size = grouped.nbytes
    ready = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        portable = Int4(grouped)
        found = [_Candidate("torch", None, size / _seconds(lambda: portable.multiply(x)))]
        for dots in usable():
            candidate = Library(dots)
            if right(candidate, COMMON):
                plan = Plan([laid(grouped, candidate)])
                found.append(_Candidate(dots.name, candidate, size / _seconds(lambda plan=plan: plan(x))))  # type: ignore[misc]
    finally:
        torch.set_num_threads(ready)
    return sorted(found, key=lambda each: each.speed, reverse=True)


def _seconds(call: Callable[[], object]) -> float:
    """The shortest of a few calls, in billionths: GB/s is then bytes over this."""
    times = []
    for _ in range(PASSES):
        begun = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - begun)
    return float(min(times))
