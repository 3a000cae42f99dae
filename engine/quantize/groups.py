"""A matrix in groups of few bits: the canonical form, which is cached on disk and which GGUF's blocks become.

Each row is cut into groups of 32, 64 or 128 weights that share a scale, and in 4 bits often a zero. How a processor
wants these numbers laid out is the packed form's business, and which scales are good is search.py's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

GROUPS = (32, 64, 128)
LARGEST_SCALE = torch.finfo(torch.float16).max


@dataclass(frozen=True, slots=True)
class Grouped:
    """A matrix [N, K]; inside, K is filled up to whole groups, G of them a row.

    codes: 4 bits: uint8 [N, G * group / 2], element 2i in the low nibble, weight = (q - 8) * scale + zero, q 0 to 15;
    8 bits: int8 [N, G * group], weight = q * scale. scale, zero: float16 [N, G].
    """

    bits: int
    group: int
    shape: tuple[int, int]
    codes: Tensor
    scale: Tensor
    zero: Tensor | None = None

    @property
    def nbytes(self) -> int:
        return self.codes.nbytes + self.scale.nbytes + (0 if self.zero is None else self.zero.nbytes)

    def dense(self) -> Tensor:
        """The weights that the codes stand for, float32 [N, K]."""
        N, K = self.shape
        codes = self.codes if self.bits == 8 else torch.stack((self.codes & 15, self.codes >> 4), -1).flatten(1)
        weights = codes.view(N, -1, self.group).float()
        if self.bits == 4:
            weights -= 8
        weights *= self.scale.float()[..., None]
        if self.zero is not None:
            weights += self.zero.float()[..., None]
        return weights.view(N, -1)[:, :K].contiguous()

    def rows(self, order: Tensor) -> Grouped:
        """The same rows in another order."""
        zero = None if self.zero is None else self.zero[order]
        return Grouped(self.bits, self.group, self.shape, self.codes[order], self.scale[order], zero)


def stacked(parts: Sequence[Grouped]) -> Grouped:
    """Matrices of one form and width, one below the other."""
    first = parts[0]
    if len(parts) == 1:
        return first
    shape = (sum(part.shape[0] for part in parts), first.shape[1])
    codes, scale = torch.cat([part.codes for part in parts]), torch.cat([part.scale for part in parts])
    zeros = [part.zero for part in parts if part.zero is not None]
    return Grouped(first.bits, first.group, shape, codes, scale, torch.cat(zeros) if zeros else None)


def empty_like(part: Grouped, N: int) -> Grouped:
    """Room for N rows of the same form."""
    tensors = (None if t is None else t.new_empty(N, t.shape[1]) for t in (part.codes, part.scale, part.zero))
    codes, scale, zero = tensors
    assert codes is not None
    assert scale is not None
    return Grouped(part.bits, part.group, (N, part.shape[1]), codes, scale, zero)


def put_rows(whole: Grouped, at: int, part: Grouped) -> None:
    """Copy the rows of part into a larger matrix of the same form, the first to row `at`."""
    rows = slice(at, at + part.shape[0])
    whole.codes[rows], whole.scale[rows] = part.codes, part.scale
    if whole.zero is not None and part.zero is not None:
        whole.zero[rows] = part.zero


def joined(codes: Tensor) -> Tensor:
    """4-bit codes, one a byte [..., K], two a byte: uint8 [..., K / 2]."""
    codes = codes.to(torch.uint8)
    return codes[..., 0::2] | (codes[..., 1::2] << 4)


def in_groups(weight: Tensor, group: int) -> Tensor:
    """[N, K] in float32 as [N, G, group], filled up with zeros."""
    N, K = weight.shape
    weight = weight.float()
    return (functional.pad(weight, (0, -K % group)) if K % group else weight).view(N, -1, group)


def fits(scale: Tensor) -> bool:
    """Whether scales are numbers that float16 can hold."""
    return bool(scale.isfinite().all()) and bool(scale.abs().amax() <= LARGEST_SCALE)
