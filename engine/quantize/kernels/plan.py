"""Calling the native kernels: which matrices a call multiplies by is written down once, as numbers, and used again.

A call costs a few microseconds of Python, so whatever does not depend on the input is in the plan.
"""

from __future__ import annotations

import array
import ctypes
import functools
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from engine.quantize.kernels.entry import scratch_bytes
from engine.quantize.kernels.native import Library
from engine.quantize.kernels.products import MANY, Kind
from engine.quantize.kernels.team import team

LEAST = 1 << 14
"""Bytes of codes that a thread takes at once at least, about."""

KEPT = 1 << 18
"""Bytes of scratch that are kept from call to call."""


@dataclass(frozen=True, eq=False)
class Matrix:
    """A matrix [rows, width] laid out in tiles (tiles.py), and the native functions that are right for it."""

    library: Library
    kind: Kind
    rows: int
    width: int
    codes: Tensor
    scale: Tensor
    zero: Tensor | None

    @property
    def tensors(self) -> list[Tensor]:
        return [each for each in (self.codes, self.scale, self.zero) if each is not None]

    def record(self, offset: int = 0, first: int = 0, added: int = 0) -> list[int]:
        """FIELDS of this matrix."""
        addresses = [each.data_ptr() for each in (self.codes, self.scale)]
        zero = 0 if self.zero is None else self.zero.data_ptr()
        tiles, groups = self.scale.shape[:2]
        return [self.library.product(self.kind), *addresses, zero, self.rows, groups, tiles, offset, first, added]


class Plan:
    """The products of one input with some matrices of the same width.

    added: of each, the address of its low-rank addition or 0, which only fused blocks look at.
    """

    def __init__(self, matrices: Sequence[Matrix], added: Sequence[int] = ()) -> None:
        self._run = matrices[0].library.run
        self._matrices = tuple(matrices)  # whose memory the addresses below are of
        self._parallel = parallel()
        self.width = matrices[0].width
        self._rows = [matrix.rows for matrix in matrices]
        self._total = sum(self._rows)
        self._blocks = max(matrix.codes.shape[1] for matrix in matrices)
        records: list[int] = []
        offset = tiles = 0
        for matrix, addition in zip(matrices, added or [0] * len(matrices), strict=True):
            records += matrix.record(offset, tiles, addition)
            offset += matrix.rows
            tiles += matrix.scale.shape[0]
        least = max(1, LEAST // max(matrix.codes[0].nbytes for matrix in matrices))
        self._most = -(-tiles // least)
        self._numbers = array.array("q", [self.width, self._blocks, tiles, len(matrices), least, *records])
        self._address = self._numbers.buffer_info()[0]

    @property
    def address(self) -> int:
        """Where the native side finds it, as long as it lives."""
        return self._address

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        """x: float32 [..., width], contiguous; one float32 [..., rows] for each matrix."""
        *shape, width = x.shape
        M = x.numel() // width
        threads = team.size if M < MANY else torch.get_num_threads()
        threads = min(threads, self._most) if self._parallel else 1
        y = torch.empty((*shape, self._total), dtype=torch.float32, device="cpu")
        scratch = _room(scratch_bytes(M, self._blocks, threads))
        self._run(self._address, x.data_ptr(), y.data_ptr(), scratch.data_ptr(), M, threads, self._parallel)
        if len(self._rows) == 1:
            return (y,)
        if M == 1:
            return y.split(self._rows, -1)
        pieces = y.view(-1).split([M * rows for rows in self._rows])
        return tuple(piece.view(*shape, rows) for piece, rows in zip(pieces, self._rows))


class Table:
    """The rows of a matrix, to look up."""

    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix  # whose memory the addresses below are of
        self._run = matrix.library.rows(matrix.kind)
        self._record = array.array("q", matrix.record())
        self._padded = matrix.scale.shape[1] * matrix.kind.group

    def __call__(self, ids: Tensor) -> Tensor:
        """The rows of those numbers: [n] -> float32 [n, width]; IndexError for one that is no row's."""
        ids = ids.to(torch.int64).contiguous()
        y = torch.empty((len(ids), self._padded), dtype=torch.float32, device="cpu")
        call = array.array("q", (self._record.buffer_info()[0], ids.data_ptr(), len(ids), y.data_ptr(), 0))
        self._run(call.buffer_info()[0])
        if call[-1]:
            raise IndexError(f"the numbers of rows lie from 0 to {self._matrix.rows - 1}")
        return y[:, : self._matrix.width]


class _Kept(threading.local):
    """Each thread's scratch for calls with few rows: most calls are of one."""

    def __init__(self) -> None:
        self.room = torch.empty(KEPT, dtype=torch.uint8, device="cpu")


def _room(size: int) -> Tensor:
    """Scratch of so many bytes, at least."""
    return _kept.room if size <= KEPT else torch.empty(size, dtype=torch.uint8, device="cpu")


_kept = _Kept()


@functools.cache
def parallel() -> int:
    """The address of GOMP_parallel in the OpenMP library that torch runs its own threads with; 0 where it has another.

    The same pool then serves both: two would fight for the processors.
    """
    for path in (Path(torch.__file__).parent / "lib").glob("libgomp*.so*"):
        try:
            return ctypes.cast(ctypes.CDLL(str(path)).GOMP_parallel, ctypes.c_void_p).value or 0
        except (OSError, AttributeError):
            continue
    return 0
