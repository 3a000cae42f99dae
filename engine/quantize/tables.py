"""What bitsandbytes's codes stand for: numbers of a table times the largest of a block, or bytes times a row's scale.

Source: bitsandbytes's functional.py (dequantize_4bit, dequantize_blockwise, int8_vectorwise_dequant).
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.quantize.groups import Grouped
from engine.quantize.scheme import group_of_8

Nested = tuple[Tensor, Tensor, int, float]
"""How the largest of the blocks are kept where they are codes too: float32 [256] values, float32 largest of their
blocks, these blocks' length, and what is added behind."""


def from_table(
    codes: Tensor, values: Tensor, largest: Tensor, block: int, shape: tuple[int, ...], nested: Nested | None = None
) -> Tensor:
    """Codes of 4 bits, two a byte with the first in the high half, as float32 of that shape.

    values: float32 [16]; largest: of each block of so many weights in reading order, float32, or uint8 where nested.
    """
    if nested is not None:
        inner_values, inner_largest, length, offset = nested
        largest = _blocks(inner_values[largest.int()], inner_largest, length) + offset
    codes = codes.flatten()
    size = torch.Size(shape).numel()
    weights = torch.stack((values[(codes >> 4).int()], values[(codes & 15).int()]), -1).flatten()[:size]
    return _blocks(weights.float(), largest, block).view(shape)


def _blocks(weights: Tensor, largest: Tensor, length: int) -> Tensor:
    """Each block of a vector times its number, float32."""
    whole = len(weights) // length * length
    scaled = weights[:whole].view(-1, length) * largest[: whole // length, None]
    return torch.cat((scaled.flatten(), weights[whole:] * largest[-1]))


def from_rows(codes: Tensor, largest: Tensor) -> Grouped:
    """Bytes [N, K], whose 127 stands for the largest of their row, float32 [N]: the codes as they are, in groups."""
    N, K = codes.shape
    group = group_of_8(K)
    scale = (largest.float() / 127).half()[:, None].expand(N, -(-K // group)).contiguous()
    return Grouped(8, group, (N, K), torch.nn.functional.pad(codes, (0, -K % group)), scale)
