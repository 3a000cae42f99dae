"""The packed form of a matrix: laid out as the kernels of this processor read it fastest.

It is made from the grouped form when a model is loaded and never stored. Products quantise the input to 8 bits for
every 32 values on the way, as llama.cpp's do. Which kernels run is kernels/choice.py's decision.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from engine.quantize.groups import Grouped
from engine.quantize.kernels.choice import laid, library
from engine.quantize.kernels.native import Library
from engine.quantize.kernels.plan import Matrix, Plan, Table
from engine.quantize.kernels.portable import Int4, Int8
from engine.quantize.kernels.products import Kind

AT_ONCE = 4096
"""Rows unpacked together where all are wanted."""


class Packed(ABC):
    """A matrix [N, K] of 4 or 8 bits, ready to be multiplied by.

    error: what packing lost, relative to the grouped form (root mean square); 0 where it kept every code and scale.
    """

    error = 0.0
    _serials = itertools.count()

    def __init__(self, grouped: Grouped) -> None:
        self.bits, self.group, self.shape = grouped.bits, grouped.group, grouped.shape
        # Names this matrix among the plans of another; an id could come again.
        self.serial = next(self._serials)

    @property
    @abstractmethod
    def nbytes(self) -> int: ...

    @abstractmethod
    def multiply(self, x: Tensor) -> Tensor:
        """float32 [..., K], contiguous -> float32 [..., N]."""

    def together(self, x: Tensor, others: Sequence[Packed]) -> tuple[Tensor, ...]:
        """The products with this matrix and with others of its width."""
        return (self.multiply(x), *(each.multiply(x) for each in others))

    @abstractmethod
    def _rows(self, ids: Tensor) -> Tensor: ...

    def rows(self, ids: Tensor) -> Tensor:
        """The rows of those numbers: int64 [...] -> float32 [..., K]. Numbers that are no row's raise IndexError."""
        return self._rows(ids.flatten()).reshape(*ids.shape, self.shape[1])

    def dense(self) -> Tensor:
        """The weights that the codes stand for, float32 [N, K]."""
        weights = torch.empty(self.shape)
        for ids in torch.arange(self.shape[0]).split(AT_ONCE):
            weights[ids[0] : ids[-1] + 1] = self._rows(ids)
        return weights

    def __repr__(self) -> str:
        return f"{self.shape[1]} to {self.shape[0]}, {self.bits} bits in groups of {self.group}"


class Tiled(Packed):
    """A matrix for the native kernels."""

    def __init__(self, grouped: Grouped, library: Library) -> None:
        super().__init__(grouped)
        self._matrix = laid(grouped, library)
        self._plan, self._table = Plan([self._matrix]), Table(self._matrix)
        self._plans: dict[tuple[int, ...], Plan] = {}

    @property
    def matrix(self) -> Matrix:
        """What the native functions multiply by."""
        return self._matrix

    @property
    def nbytes(self) -> int:
        return sum(each.nbytes for each in self._matrix.tensors)

    def multiply(self, x: Tensor) -> Tensor:
        return self._plan(x)[0]

    def together(self, x: Tensor, others: Sequence[Packed]) -> tuple[Tensor, ...]:
        key = tuple([each.serial for each in others])
        plan = self._plans.get(key)
        if plan is None:
            matrices = [each.matrix for each in others if isinstance(each, Tiled)]
            if len(matrices) < len(others):
                return super().together(x, others)
            plan = self._plans[key] = Plan([self._matrix, *matrices])
        return plan(x)

    def _rows(self, ids: Tensor) -> Tensor:
        return self._table(ids)


class Portable(Packed):
    """A matrix for torch's own operators."""

    def __init__(self, grouped: Grouped) -> None:
        super().__init__(grouped)
        self._matrix = Int4(grouped) if grouped.bits == 4 else Int8(grouped)
        self.error = self._matrix.error

    @property
    def nbytes(self) -> int:
        return self._matrix.nbytes

    def multiply(self, x: Tensor) -> Tensor:
        return self._matrix.multiply(x.flatten(0, -2)).view(*x.shape[:-1], self.shape[0])

    def _rows(self, ids: Tensor) -> Tensor:
        return self._matrix.rows(ids)


def pack(grouped: Grouped) -> Packed:
    """Lay a matrix out for the kernels of this processor."""
    native = library(Kind(grouped.bits, grouped.group, grouped.zero is not None))
    return Tiled(grouped, native) if native else Portable(grouped)


def matmul(x: Tensor, *packed: Packed) -> tuple[Tensor, ...]:
    """x W' for each of some matrices of one width: x [..., K] -> float32 [..., N].

    Gradients reach x, not the matrices. NaN and infinities in a row of x make that row of the results NaN.
    """
    if x.requires_grad and torch.is_grad_enabled():
        return tuple(_Product.apply(x, each) for each in packed)
    if x.dtype is not torch.float32 or not x.is_contiguous():
        x = x.float().contiguous()
    if len(packed) == 1:
        return (packed[0].multiply(x),)
    return packed[0].together(x, packed[1:])


class _Product(torch.autograd.Function):
    """A product whose gradient is that of the weights that the codes stand for."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: Packed) -> Tensor:
        ctx.packed, ctx.dtype = packed, x.dtype
        return packed.multiply(x.float().contiguous())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return (gradient @ ctx.packed.dense()).to(ctx.dtype), None
