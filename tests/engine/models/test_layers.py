from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from engine.models.layers import (
    Mixture,
    Rotary,
    RotaryConfig,
    ShiftedRMSNorm,
    attention,
    causal,
    causal_mask,
    rotate,
    soft_capped,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("H", "K"), [(3, 1), (4, 4), (6, 2)])
@pytest.mark.parametrize(("T", "S"), [(1, 1), (1, 9), (5, 5), (4, 9)])
def test_attention_is_the_textbook_formula_with_and_without_a_tap(H: int, K: int, T: int, S: int) -> None:
    q, k, v = random(2, H, T, 10), random(2, K, S, 10, seed=1), random(2, K, S, 10, seed=2)
    scores = q @ k.repeat_interleave(H // K, 1).transpose(-1, -2) * 0.3
    weights = scores.masked_fill(~causal_mask(T, S, q.device), -math.inf).softmax(-1)
    expected = weights @ v.repeat_interleave(H // K, 1)
    shown: list[torch.Tensor] = []
    mask = causal(T, S, q.device)
    torch.testing.assert_close(attention(q, k, v, mask, 0.3), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(attention(q, k, v, mask, 0.3, shown.append), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(shown[0], weights, atol=1e-6, rtol=0)


def test_shown_weights_are_float32_rows_that_add_up_to_one_and_see_nothing_later() -> None:
    q, k = random(1, 4, 5, 8).bfloat16(), random(1, 2, 7, 8, seed=1).bfloat16()
    shown: list[torch.Tensor] = []
    y = attention(q, k, k, causal(5, 7, q.device), 1.0, shown.append)
    assert y.dtype == torch.bfloat16 and shown[0].dtype == torch.float32
    torch.testing.assert_close(shown[0].sum(-1), torch.ones(1, 4, 5))
    assert bool((shown[0][:, :, ~causal_mask(5, 7, q.device)] == 0).all())


def test_without_a_mask_every_query_sees_every_key() -> None:
    q, k = random(1, 2, 3, 4), random(1, 2, 5, 4, seed=1)
    torch.testing.assert_close(
        attention(q, k, k, None, 0.5, lambda weights: None),
        functional.scaled_dot_product_attention(q, k, k, scale=0.5),
    )


def test_a_rotated_dot_product_depends_on_the_distance_only() -> None:
    rotary, q, k = Rotary(RotaryConfig(100.0), 10), random(1, 1, 1, 10), random(1, 1, 1, 10, seed=1)

    def product(at: int, other: int) -> float:
        return float((rotate(q, rotary.at(at, 1, q)) * rotate(k, rotary.at(other, 1, k))).sum())

    assert product(3, 1) == pytest.approx(product(302, 300), abs=1e-4)
    assert product(3, 1) != pytest.approx(product(3, 2), abs=1e-4)


def test_a_rotary_table_that_has_grown_says_what_a_fresh_one_says() -> None:
    like = torch.zeros(1)
    grown, fresh = Rotary(RotaryConfig(1e4), 6), Rotary(RotaryConfig(1e4), 6)
    early = grown.at(0, 4, like)
    late = grown.at(1000, 4, like)
    assert all(torch.equal(a, b) for a, b in zip(late, fresh.at(1000, 4, like)))
    assert all(torch.equal(a, b) for a, b in zip(early, grown.at(0, 4, like)))


def test_a_rotary_table_made_while_inferring_still_serves_training() -> None:
    rotary, x = Rotary(RotaryConfig(1e4), 6), random(1, 2, 1, 6).requires_grad_()
    with torch.inference_mode():
        rotate(x, rotary.at(0, 2, x))
    rotate(x, rotary.at(0, 2, x)).sum().backward()
    assert x.grad is not None


def test_llama3_scaling_leaves_short_wavelengths_and_divides_long_ones() -> None:
    plain = RotaryConfig(10000.0).frequencies(64)
    scaled = RotaryConfig(10000.0, "llama3", 8.0, 1.0, 4.0, 256).frequencies(64)
    wavelengths = 2 * math.pi / plain
    assert torch.equal(scaled[wavelengths < 64], plain[wavelengths < 64])
    torch.testing.assert_close(scaled[wavelengths > 256], plain[wavelengths > 256] / 8)
    between = (wavelengths > 64) & (wavelengths < 256)
    assert bool(between.any()) and bool(((scaled < plain) & (scaled > plain / 8))[between].all())


@pytest.mark.parametrize("window", [1, 3, 7, 50])
@pytest.mark.parametrize(("T", "S"), [(1, 1), (1, 9), (5, 5), (4, 9)])
def test_a_window_shows_each_query_itself_and_the_few_before_it(window: int, T: int, S: int) -> None:
    expected = [[at - window < key <= at for key in range(S)] for at in range(S - T, S)]
    assert causal_mask(T, S, torch.device("cpu"), window).tolist() == expected
    q, k, v = random(1, 6, T, 8), random(1, 2, S, 8, seed=1), random(1, 2, S, 8, seed=2)
    mask = torch.tensor(expected)
    torch.testing.assert_close(
        attention(q, k, v, causal(T, S, q.device, window), 0.4), attention(q, k, v, mask, 0.4, lambda weights: None)
    )


def test_a_window_that_holds_everything_costs_no_mask() -> None:
    assert causal(6, 6, torch.device("cpu"), window=6) == "causal"
    assert causal(1, 6, torch.device("cpu"), window=6) is None


@pytest.mark.parametrize("tapped", [False, True])
def test_scores_are_capped_before_the_mask_and_the_softmax(tapped: bool) -> None:
    q, k, v = 9 * random(2, 6, 4, 10), random(2, 2, 9, 10, seed=1), random(2, 2, 9, 10, seed=2)
    scores = soft_capped(q @ k.repeat_interleave(3, 1).transpose(-1, -2) * 0.3, 2.0)
    assert scores.abs().max() <= 2.0
    weights = scores.masked_fill(~causal_mask(4, 9, q.device), -math.inf).softmax(-1)
    shown: list[torch.Tensor] = []
    y = attention(q, k, v, causal(4, 9, q.device), 0.3, shown.append if tapped else None, softcap=2.0)
    torch.testing.assert_close(y, weights @ v.repeat_interleave(3, 1), atol=1e-5, rtol=0)
    if tapped:
        torch.testing.assert_close(shown[0], weights, atol=1e-6, rtol=0)


def test_a_narrow_table_turns_the_first_channels_only() -> None:
    x, rotary = random(1, 3, 2, 10), Rotary(RotaryConfig(100.0, fraction=0.6), 10)
    turned = rotate(x, rotary.at(5, 3, x))
    assert torch.equal(turned[..., 6:], x[..., 6:])
    assert torch.equal(turned[..., :6], rotate(x[..., :6], Rotary(RotaryConfig(100.0), 6).at(5, 3, x)))


def test_yarn_leaves_short_wavelengths_and_divides_long_ones() -> None:
    plain = RotaryConfig(10000.0).frequencies(64)
    scaled = RotaryConfig(10000.0, "yarn", 8.0, 1.0, 32.0, 256).frequencies(64)
    assert bool((scaled <= plain).all() and (scaled >= plain / 8 * 0.999).all())
    torch.testing.assert_close(scaled[0], plain[0])
    torch.testing.assert_close(scaled[-1], plain[-1] / 8)
    assert bool((scaled.diff() < 0).all())


def test_the_scale_of_rotary_positions_lengthens_what_is_turned() -> None:
    x, rotary = random(1, 3, 2, 10), Rotary(RotaryConfig(100.0, scale=1.5), 10)
    torch.testing.assert_close(rotate(x, rotary.at(4, 3, x)).norm(dim=-1), 1.5 * x.norm(dim=-1))


def test_the_weight_of_a_shifted_norm_is_added_to_one() -> None:
    norm, x = ShiftedRMSNorm(10, 1e-5), random(2, 3, 10)
    torch.nn.init.zeros_(norm.weight)
    torch.testing.assert_close(norm(x), functional.rms_norm(x, (10,), None, 1e-5))
    torch.nn.init.constant_(norm.weight, 0.5)
    torch.testing.assert_close(norm(x), 1.5 * functional.rms_norm(x, (10,), None, 1e-5))


@pytest.mark.parametrize("normed", [False, True])
def test_a_mixture_is_the_weighted_sum_of_the_likeliest_experts(normed: bool) -> None:
    torch.manual_seed(0)
    mixture, x = Mixture(10, 7, experts=5, chosen=2, normed=normed, activation="silu"), random(2, 3, 10)
    with torch.no_grad():
        expected = torch.zeros_like(x)
        for b, t in torch.cartesian_prod(torch.arange(2), torch.arange(3)).tolist():
            shares = mixture.gate(x[b, t]).softmax(-1)
            best = shares.argsort(descending=True)[:2]
            whole = shares[best].sum() if normed else torch.tensor(1.0)
            for index in best.tolist():
                expected[b, t] += mixture.experts[index](x[b, t]) * shares[index] / whole
        torch.testing.assert_close(mixture(x), expected)


def test_training_reaches_the_gate_and_the_experts_that_were_chosen() -> None:
    torch.manual_seed(0)
    mixture = Mixture(10, 7, experts=4, chosen=1, normed=False, activation="silu")
    mixture(random(1, 2, 10)).sum().backward()
    reached = [expert.up_proj.weight.grad is not None for expert in mixture.experts]
    assert mixture.gate.weight.grad is not None and any(reached) and not all(reached)
