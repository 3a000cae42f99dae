"""How the native kernels want a matrix in memory: sixteen rows side by side, four columns of each at a time.

Codes: [tiles, blocks, fours, 16, 4] bytes; a block is 32 columns. In 8 bits a four is 4 columns, in 4 bits it is 4
columns in the low halves of the bytes and the 4 that lie 16 columns on in the high halves. Scales and zeros: float16
[tiles, groups, 16]. Rows past the last are zeros. No instruction set has a layout of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from engine.quantize.groups import Grouped
from engine.quantize.kernels.products import TILE


def codes(grouped: Grouped) -> Tensor:
    """The codes of a grouped matrix, laid out in tiles."""
    given = _filled(grouped.codes)
    tiles = given.shape[0] // TILE
    if grouped.bits == 8:
        return given.view(tiles, TILE, -1, 8, 4).permute(0, 2, 3, 1, 4).contiguous()
    pairs = given.view(tiles, TILE, -1, 2, 4, 2)  # two columns a byte, the even one below; a half block is 8 bytes
    low, high = pairs[:, :, :, 0], pairs[:, :, :, 1]
    even = (low & 15) | (high << 4)
    odd = (low >> 4) | (high & 0xF0)
    return torch.stack((even, odd), -1).flatten(-2).permute(0, 2, 3, 1, 4).contiguous()


def numbers(given: Tensor) -> Tensor:
    """Scales or zeros [N, G], laid out in tiles."""
    return _filled(given.half()).view(-1, TILE, given.shape[1]).transpose(1, 2).contiguous()


def _filled(given: Tensor) -> Tensor:
    """Rows of zeros up to a whole tile."""
    missing = -given.shape[0] % TILE
    return functional.pad(given, (0, 0, 0, missing)) if missing else given.contiguous()
