"""Where no native kernel fits the processor: torch's own packed operators, in bf16.

4 bits: torch's int4 operator, weight = (q - 8) * scale + zero with scale and zero rounded to bf16. 8 bits: its operator
has one scale a row, so codes are rounded once more; `error` says how much that costs.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional

from engine.quantize.groups import Grouped

ROWS = 64
"""Rows that torch lays out together, at most; matrices are filled up to a multiple."""


class Int4:
    """A 4-bit matrix as torch's int4 operator wants it."""

    error = 0.0

    def __init__(self, grouped: Grouped) -> None:
        self.shape, self.group = grouped.shape, grouped.group
        codes = _filled(torch.stack((grouped.codes & 15, grouped.codes >> 4), -1).flatten(1))
        self._width = codes.shape[1]
        self._codes = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes.int(), 1)
        scale = grouped.scale
        zero = torch.zeros_like(scale) if grouped.zero is None else grouped.zero
        self._scale = _filled(torch.stack((scale, zero), -1)).transpose(0, 1).to(torch.bfloat16).contiguous()

    @property
    def nbytes(self) -> int:
        return self._codes.nbytes + self._scale.nbytes

    def multiply(self, x: Tensor) -> Tensor:
        """float32 [M, K] -> float32 [M, N]."""
        wide = functional.pad(x, (0, self._width - x.shape[1])).to(torch.bfloat16)
        y = torch.ops.aten._weight_int4pack_mm_for_cpu(wide, self._codes, self.group, self._scale)
        return y[:, : self.shape[0]].float().contiguous()

    def rows(self, ids: Tensor) -> Tensor:
        """Rows of the matrix as it is multiplied, float32 [n, K]."""
        nibbles = self._codes.view(-1, ROWS * self._width // 2)[ids // ROWS]
        places = _places(self._width)[ids % ROWS]
        codes = (nibbles.gather(1, places >> 1) >> ((places & 1) * 4).to(torch.uint8)) & 15
        scale, zero = self._scale[:, ids].float().permute(2, 1, 0).unsqueeze(-1)
        weights = (codes.view(len(ids), -1, self.group).float() - 8) * scale + zero
        return weights.flatten(1)[:, : self.shape[1]].contiguous()


class Int8:
    """An 8-bit matrix with one scale a row, as torch's int8 operator wants it."""

    def __init__(self, grouped: Grouped) -> None:
        self.shape = N, K = grouped.shape
        weight = grouped.dense()
        scale = (weight.abs().amax(1) / 127).clamp(min=torch.finfo(torch.bfloat16).tiny).to(torch.bfloat16)
        codes = (weight / scale.float()[:, None]).round().clamp(-128, 127).to(torch.int8)
        # The operator reads whole vectors, past the end of a matrix of other widths.
        self._codes = _filled(functional.pad(codes, (0, -K % ROWS))).contiguous()
        self._scale = _filled(scale)
        lost = torch.linalg.vector_norm(self.rows(torch.arange(N)) - weight)
        self.error = float(lost / torch.linalg.vector_norm(weight).clamp(min=1e-30))

    @property
    def nbytes(self) -> int:
        return self._codes.nbytes + self._scale.nbytes

    def multiply(self, x: Tensor) -> Tensor:
        """float32 [M, K] -> float32 [M, N]."""
        wide = functional.pad(x, (0, self._codes.shape[1] - x.shape[1])).to(torch.bfloat16)
        y = torch.ops.aten._weight_int8pack_mm(wide, self._codes, self._scale)
        return y[:, : self.shape[0]].float().contiguous()

    def rows(self, ids: Tensor) -> Tensor:
        """Rows of the matrix as it is multiplied, float32 [n, K]."""
        return self._codes[ids, : self.shape[1]].float() * self._scale[ids].float()[:, None]


def _filled(given: Tensor) -> Tensor:
    """Rows of zeros up to a multiple of ROWS."""
    return functional.pad(given, (0, 0) * (given.dim() - 1) + (0, -given.shape[0] % ROWS))


@functools.cache
def _places(width: int) -> Tensor:
    """Where the 4-bit codes of 64 rows lie once torch has packed them: int64 [64, width], counted in half bytes.

    The layout differs between processors and is nowhere promised, so it is found: matrices whose codes are the digits
    of each code's own number are packed, and the numbers read off.
    """
    total = ROWS * width
    numbers = torch.arange(total, dtype=torch.int32).view(ROWS, width)
    found = torch.zeros(total, dtype=torch.int64)
    for shift in range(0, total.bit_length(), 4):
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu((numbers >> shift) & 15, 1).flatten()
        found |= torch.stack((packed & 15, packed >> 4), 1).flatten().long() << shift
    places = torch.empty(total, dtype=torch.int64)
    places[found] = torch.arange(total)
    return places.view(ROWS, width)
