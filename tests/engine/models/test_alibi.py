from __future__ import annotations

import math

import pytest
import torch

from engine.models.layers import alibi, alibi_slopes, causal_mask, fused_heads


def test_slopes_are_those_of_the_paper() -> None:
    assert alibi_slopes(8).tolist() == [2.0**-n for n in range(1, 9)]
    assert alibi_slopes(16).tolist() == pytest.approx([2.0 ** (-n / 2) for n in range(1, 17)])


def test_heads_beyond_a_power_of_two_take_the_slopes_between() -> None:
    assert alibi_slopes(1).tolist() == [2.0**-8]
    assert alibi_slopes(6).tolist() == [2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8, 2.0**-1, 2.0**-3]
    assert alibi_slopes(12)[8:].tolist() == pytest.approx([2.0 ** (-n / 2) for n in (1, 3, 5, 7)])


def test_a_bias_grows_with_the_distance_and_hides_what_is_later() -> None:
    bias = alibi(torch.outer(alibi_slopes(2), torch.arange(5.0)), 5, torch.zeros(1))
    assert bias.shape == (1, 2, 5, 5)
    assert bias[0, 0, 4].tolist() == [-4 / 16, -3 / 16, -2 / 16, -1 / 16, 0.0]
    assert torch.equal(bias[0, 1] == -math.inf, ~causal_mask(5, 5, bias.device))


def test_the_bias_of_a_chunk_is_the_last_rows_of_the_whole() -> None:
    penalties = torch.outer(alibi_slopes(3), torch.arange(9.0))
    like = torch.zeros(1, dtype=torch.bfloat16)
    assert alibi(penalties, 2, like).dtype == torch.bfloat16
    assert torch.equal(alibi(penalties, 2, like), alibi(penalties, 9, like)[:, :, -2:])


@pytest.mark.parametrize(("H", "K"), [(6, 1), (6, 2), (6, 6)])
def test_a_fused_projection_comes_apart_into_the_heads_of_its_groups(H: int, K: int) -> None:
    B, T, D = 2, 3, 4
    q, k, v = torch.randn(B, T, H, D), torch.randn(B, T, K, D), torch.randn(B, T, K, D)
    groups = torch.cat((q.view(B, T, K, H // K, D), k[:, :, :, None], v[:, :, :, None]), 3)
    for ours, expected in zip(fused_heads(groups.flatten(2), K, D), (q, k, v), strict=True):
        assert torch.equal(ours, expected)
