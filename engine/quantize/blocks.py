"""GGUF's blocks as groups: the codes stay what they are, only a scale or a zero that was not stored may be rounded.

Q4_0 and Q8_0 are the same numbers here. Q4_1 stores the weight of code 0, where a group stores that of code 8; Q4_K
stores scale and minimum as products of two numbers. There scale and zero are rounded to float16, so that a weight is
off by 2^-11 * (8 * |scale| + |zero|) at most. Source: ggml's ggml-common.h and gguf's quants.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.quantize.groups import Grouped, fits, joined

BITS = {"Q4_0": 4, "Q4_1": 4, "Q4_K": 4, "Q8_0": 8}
"""The formats that become groups of 32, and their bits."""


def from_blocks(raw: Tensor, kind: str, K: int) -> Grouped | None:
    """Rows of blocks, uint8 [N, bytes], as groups of 32; None where a scale is no number that float16 can hold."""
    N = len(raw)
    codes, scale, zero = _READERS[kind](raw.view(-1))
    scale = scale.half().view(N, -1)
    zero = None if zero is None else zero.half().view(N, -1)
    if not fits(scale) or (zero is not None and not fits(zero)):
        return None
    bits = BITS[kind]
    codes = codes.reshape(N, -1)
    return Grouped(bits, 32, (N, K), joined(codes) if bits == 4 else codes, scale, zero)


def _floats(part: Tensor) -> Tensor:
    """Pairs of bytes as float16, in float32."""
    return part.contiguous().view(torch.float16).float()


def _nibbles(part: Tensor) -> Tensor:
    """Bytes [..., n] as codes [..., 2 n]: first all low halves, then all high ones."""
    return torch.cat((part & 15, part >> 4), -1)


def _q4_0(raw: Tensor) -> tuple[Tensor, Tensor, None]:
    blocks = raw.view(-1, 18)
    return _nibbles(blocks[:, 2:]), _floats(blocks[:, :2]), None


def _q4_1(raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    blocks = raw.view(-1, 20)
    scale, least = _floats(blocks[:, :2]), _floats(blocks[:, 2:4])
    return _nibbles(blocks[:, 4:]), scale, least + 8 * scale


def _q4_k(raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """256 weights: two float16, eight scales and eight minima of 6 bits, and the codes, two groups after each other."""
    blocks = raw.view(-1, 144)
    packed = blocks[:, 4:16].int()
    first, second, third = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = torch.cat((first & 63, (third & 15) | ((first >> 6) << 4)), -1)
    minima = torch.cat((second & 63, (third >> 4) | ((second >> 6) << 4)), -1)
    scale = _floats(blocks[:, :2]) * scales
    zero = 8 * scale - _floats(blocks[:, 2:4]) * minima
    return _nibbles(blocks[:, 16:].reshape(-1, 4, 32)), scale, zero


def _q8_0(raw: Tensor) -> tuple[Tensor, Tensor, None]:
    blocks = raw.view(-1, 34)
    return blocks[:, 2:].view(torch.int8), _floats(blocks[:, :2]), None


_READERS = {"Q4_0": _q4_0, "Q4_1": _q4_1, "Q4_K": _q4_k, "Q8_0": _q8_0}
