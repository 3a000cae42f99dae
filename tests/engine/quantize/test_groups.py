"""The grouped form: codes, scales and zeros, and how the search chooses them."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType

from engine.quantize.groups import GROUPS, Grouped, joined
from engine.quantize.search import to_4_bits, to_8_bits


def random(N: int, K: int, seed: int = 0) -> torch.Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(N, K, generator=source) * (0.1 + torch.rand(N, 1, generator=source))


def test_the_weights_are_what_the_formula_says() -> None:
    codes = torch.arange(64).remainder(16).view(2, 32)
    scale, zero = torch.tensor([[0.5], [-2.0]]).half(), torch.tensor([[0.25], [3.0]]).half()
    grouped = Grouped(4, 32, (2, 32), joined(codes), scale, zero)
    torch.testing.assert_close(grouped.dense(), (codes - 8) * scale.float() + zero.float(), atol=0, rtol=0)
    plain = Grouped(8, 32, (2, 32), (codes - 8).to(torch.int8), scale)
    torch.testing.assert_close(plain.dense(), (codes - 8) * scale.float(), atol=0, rtol=0)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("K", [1, 31, 32, 100, 256])
def test_a_width_that_is_no_multiple_of_the_group_is_filled_up_inside(group: int, K: int) -> None:
    weight = random(5, K)
    for grouped in (to_4_bits(weight, group), to_8_bits(weight, group)):
        width = -(-K // group) * group
        assert grouped.codes.shape == (5, width * grouped.bits // 8)
        assert grouped.scale.shape == (5, width // group)
        assert grouped.dense().shape == (5, K)


@pytest.mark.parametrize("group", GROUPS)
def test_8_bits_are_off_by_half_a_step_at_most(group: int) -> None:
    weight = random(7, 200)
    grouped = to_8_bits(weight, group)
    step = grouped.scale.float().repeat_interleave(group, 1)[:, :200]
    # The largest weight of a group may lie past 127 steps, by the rounding of the scale.
    assert ((grouped.dense() - weight).abs() <= step * (0.5 + 127 * 2**-11)).all()


@pytest.mark.parametrize("group", GROUPS)
def test_4_bits_lose_less_than_rounding_the_range_does(group: int) -> None:
    weight = random(64, 512)
    w = weight.view(64, -1, group)
    low, step = w.amin(-1, keepdim=True), (w.amax(-1, keepdim=True) - w.amin(-1, keepdim=True)) / 15
    rounded = ((w - low) / step).round() * step + low
    loss, plain = (to_4_bits(weight, group).dense() - weight).square().sum(), (rounded - w).square().sum()
    assert loss < 0.85 * plain


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1"])
def test_4_bits_lose_less_than_ggufs(kind: str) -> None:
    weight, number = random(64, 512), GGMLQuantizationType[kind]
    theirs = torch.from_numpy(np.array(gguf.dequantize(gguf.quantize(weight.numpy(), number), number)))
    assert (to_4_bits(weight, 32).dense() - weight).square().sum() < 0.85 * (theirs - weight).square().sum()


def test_weights_that_fit_16_steps_are_kept() -> None:
    codes = torch.randint(0, 16, (8, 64), generator=torch.Generator().manual_seed(3))
    codes[:, 0::32], codes[:, 1::32] = 0, 15  # every group has its whole range
    kept = (codes - 8) * 0.25 + 1.0
    torch.testing.assert_close(to_4_bits(kept, 32).dense(), kept, atol=0, rtol=0)


@pytest.mark.parametrize("value", [0.0, 1.0, -0.3])
def test_a_constant_matrix_stays_constant(value: float) -> None:
    weight = torch.full((3, 64), value)
    for grouped in (to_4_bits(weight, 32), to_8_bits(weight, 32)):
        torch.testing.assert_close(grouped.dense(), weight, atol=0, rtol=2**-11)


def test_inputs_that_matter_more_lose_less() -> None:
    weight, importance = random(64, 256), torch.ones(256)
    importance[::8] = 100.0
    error = [(to_4_bits(weight, 64, given).dense() - weight).square() for given in (None, importance)]
    assert error[1][:, ::8].sum() < 0.6 * error[0][:, ::8].sum()
    assert (error[1] * importance).sum() < (error[0] * importance).sum()


def test_even_importance_changes_nothing() -> None:
    weight = random(16, 128)
    even = to_4_bits(weight, 32, torch.ones(128))
    assert torch.equal(even.codes, to_4_bits(weight, 32).codes)


def test_rows_in_another_order_are_the_same_rows() -> None:
    order = torch.tensor([3, 0, 2, 1, 4])
    for grouped in (to_4_bits(random(5, 64), 32), to_8_bits(random(5, 64), 32)):
        torch.testing.assert_close(grouped.rows(order).dense(), grouped.dense()[order], atol=0, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bit_weights_are_quantised_as_their_values(dtype: torch.dtype) -> None:
    weight = random(8, 64).to(dtype)
    assert torch.equal(to_4_bits(weight, 32).codes, to_4_bits(weight.float(), 32).codes)
