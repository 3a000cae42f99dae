"""The forms in which a cache keeps the rows of a layer's keys or values, and the scratch that they are unpacked into.

A store knows no positions: who owns it says which rows count.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

LARGEST = 65504.0
"""Of half precision; what is larger is kept as that."""


class Scratch:
    """Memory for what is unpacked for one layer at a time."""

    def __init__(self) -> None:
        self._memory = torch.empty(0)

    @property
    def nbytes(self) -> int:
        return self._memory.nbytes

    def of(self, shape: torch.Size, like: Tensor) -> Tensor:
        count = shape.numel()
        if self._memory.numel() < count:
            with torch.inference_mode(False):
                self._memory = torch.empty(count + count // 4, dtype=like.dtype, device=like.device)
        return self._memory[:count].view(shape)


class Store(ABC):
    """rows: [B, K, room, D]. scales: [B, K, room, 1], where the form has some."""

    rows: Tensor
    scales: Tensor | None = None

    @abstractmethod
    def write(self, at: int, x: Tensor) -> None:
        """Put x [B, K, T, D] into the rows from `at` on."""

    @abstractmethod
    def read(self, start: int, end: int) -> Tensor:
        """Rows start to end [B, K, end - start, D], good until the next one of its kind is read."""

    @property
    def room(self) -> int:
        return self.rows.shape[2]

    @property
    def nbytes(self) -> int:
        return self.rows.nbytes + (0 if self.scales is None else self.scales.nbytes)

    def resize(self, room: int, start: int, end: int) -> None:
        """Have so much room, with rows start to end at its beginning."""
        self._become(lambda part: _resized(part, room, start, end))

    def part(self, start: int, end: int) -> Self:
        """Another store with a copy of rows start to end."""
        return copy.copy(self)._become(lambda part: _copied(part[:, :, start:end]))

    def repeated(self, times: int) -> Self:
        """Another store with so many copies of the one sequence here."""
        return copy.copy(self)._become(lambda part: _copied(part.expand(times, *part.shape[1:])))

    def reorder(self, rows: Tensor, end: int) -> None:
        """Let sequence i have what sequence rows[i] has, up to row end."""
        for part in (self.rows, self.scales):
            if part is not None:
                kept = part[:, :, :end]
                kept.copy_(kept.index_select(0, rows))

    def _become(self, changed: Callable[[Tensor], Tensor]) -> Self:
        self.rows = changed(self.rows)
        self.scales = None if self.scales is None else changed(self.scales)
        return self


class Plain(Store):
    """Rows as the model computes them."""

    def __init__(self, empty: Tensor) -> None:
        self.rows = empty

    def write(self, at: int, x: Tensor) -> None:
        self.rows[:, :, at : at + x.shape[2]] = x

    def read(self, start: int, end: int) -> Tensor:
        return self.rows[:, :, start:end]


class Half(Store):
    """Rows in half precision, as native blocks read and write them; others get them widened into scratch."""

    def __init__(self, empty: Tensor, scratch: Scratch) -> None:
        self.rows = empty.to(torch.float16)
        self._like, self._scratch = empty, scratch

    def write(self, at: int, x: Tensor) -> None:
        self.rows[:, :, at : at + x.shape[2]] = x.clamp(-LARGEST, LARGEST)

    def read(self, start: int, end: int) -> Tensor:
        rows = self.rows[:, :, start:end]
        return self._scratch.of(rows.shape, self._like).copy_(rows)


class EightBit(Store):
    """Rows as codes from -127 to 127 with a scale for each head and position, as native blocks read and write them too.

    Others get them unpacked into scratch. No number is off by more than half its row's scale, which is the largest of
    the row over 127.
    """

    scales: Tensor

    def __init__(self, empty: Tensor, scratch: Scratch) -> None:
        self.rows, self.scales = empty.to(torch.int8), empty[..., :1].float()
        self._like, self._scratch = empty, scratch

    def write(self, at: int, x: Tensor) -> None:
        x = x.float()
        largest = x.abs().amax(-1, keepdim=True)
        self.rows[:, :, at : at + x.shape[2]] = (x * torch.where(largest > 0, 127 / largest, 0)).round_()
        self.scales[:, :, at : at + x.shape[2]] = largest / 127

    def read(self, start: int, end: int) -> Tensor:
        codes = self.rows[:, :, start:end]
        rows = self._scratch.of(codes.shape, self._like)
        return torch.mul(codes, self.scales[:, :, start:end], out=rows)


def _copied(rows: Tensor) -> Tensor:
    # Outside inference mode, so that the cache can be written to from inside and outside alike.
    with torch.inference_mode(False), torch.no_grad():
        return rows.clone()


def _resized(rows: Tensor, room: int, start: int, end: int) -> Tensor:
    """Rows [B, K, *, D] with so much room, of which those from start to end are kept, now at the beginning."""
    with torch.inference_mode(False), torch.no_grad():
        kept = rows[:, :, start:end]
        if room == rows.shape[2]:
            rows[:, :, : end - start] = kept.clone() if start < end - start else kept
            return rows
        larger = torch.empty(*rows.shape[:2], room, rows.shape[3], dtype=rows.dtype, device=rows.device)
        larger[:, :, : end - start] = kept
        return larger
