"""GGUF's blocks as groups, held to gguf's own dequantisation."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType

from engine.quantize.blocks import BITS, from_blocks


def blocks(kind: str, N: int = 24, K: int = 512) -> tuple[torch.Tensor, torch.Tensor]:
    """Random rows in a format, and what gguf makes of them. gguf cannot write Q4_K, so its bytes are drawn."""
    number, random = GGMLQuantizationType[kind], np.random.default_rng(0)
    if kind == "Q4_K":
        raw = random.integers(0, 256, (N, K // 256, 144), dtype=np.uint8)
        raw[..., :4] = (random.random((N, K // 256, 2)) * 0.02).astype(np.float16).view(np.uint8)
        raw = raw.reshape(N, -1)
    else:
        raw = gguf.quantize(random.standard_normal((N, K)).astype(np.float32), number)
    return torch.from_numpy(raw), torch.from_numpy(np.array(gguf.dequantize(raw, number)))


@pytest.mark.parametrize("kind", ["Q4_0", "Q8_0"])
def test_what_stores_a_scale_alone_stays_the_same_numbers(kind: str) -> None:
    raw, expected = blocks(kind)
    grouped = from_blocks(raw, kind, expected.shape[1])
    assert grouped is not None
    assert (grouped.bits, grouped.zero) == (BITS[kind], None)
    torch.testing.assert_close(grouped.dense(), expected, atol=0, rtol=0)


@pytest.mark.parametrize("kind", ["Q4_1", "Q4_K"])
def test_what_stores_a_minimum_is_off_by_the_rounding_of_scale_and_zero_at_most(kind: str) -> None:
    raw, expected = blocks(kind)
    grouped = from_blocks(raw, kind, expected.shape[1])
    assert grouped is not None
    assert grouped.zero is not None
    bound = 2**-11 * (8 * grouped.scale.float().abs() + grouped.zero.float().abs()) * 1.001 + 2**-24
    off = (grouped.dense() - expected).abs()
    assert (off <= bound.repeat_interleave(32, 1)).all()
    assert off.amax() < 2**-10 * expected.abs().amax()


def test_a_scale_that_is_no_number_is_refused() -> None:
    raw, _ = blocks("Q4_0")
    raw[3, :2] = torch.from_numpy(np.array([np.inf], np.float16).view(np.uint8))
    assert from_blocks(raw, "Q4_0", 512) is None
