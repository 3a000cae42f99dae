"""The draw: the right distribution, and nothing but (seed, position, id) behind it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import EngineError
from engine.sampling.choosers import draw, gumbel

DRAWS = 20_000


def chi_square(observed: np.ndarray, expected: np.ndarray) -> float:
    """The statistic in standard deviations above its mean."""
    value = float(((observed - expected) ** 2 / expected).sum())
    freedom = len(expected) - 1
    return (value - freedom) / (2 * freedom) ** 0.5


@pytest.mark.parametrize("along", ["positions", "seeds"])
def test_draws_follow_the_probabilities(along: str) -> None:
    logits = torch.tensor([1.0, -torch.inf, 0.0, 2.0, -1.5, 0.5, -torch.inf, 1.0])
    counts = np.zeros(8)
    for n in range(DRAWS):
        counts[draw(logits, *((7, n) if along == "positions" else (n, 7)))] += 1
    p = logits.softmax(0).numpy()
    assert counts[p == 0].sum() == 0
    assert chi_square(counts[p > 0], DRAWS * p[p > 0]) < 4


def test_neighbouring_positions_and_seeds_are_independent() -> None:
    logits = torch.zeros(4)
    for step in ((0, 1), (1, 0), (1, 1), (1, -1)):
        pairs = np.zeros((4, 4))
        for n in range(4000):
            pairs[draw(logits, 100 + n, 5000), draw(logits, 100 + n + step[0], 5000 + step[1])] += 1
        assert chi_square(pairs.flatten(), np.full(16, 250.0)) < 4, step


def test_the_noise_is_gumbels() -> None:
    noise = np.sort(gumbel(1, 2, np.arange(100_000)))
    expected = np.exp(-np.exp(-noise))
    steps = (np.arange(100_000) + 0.5) / 100_000
    assert np.abs(expected - steps).max() < 1.95 / np.sqrt(100_000)  # Kolmogorov-Smirnov at 0.001


def test_the_noise_never_changes() -> None:
    """A stored seed must give the same answer in every later version."""
    expected = [-0.5950797353473457, 2.4168028488990494, 0.8865629858508369]
    np.testing.assert_allclose(gumbel(42, 10, np.array([0, 1, 150_000])), expected, rtol=1e-12)


def test_the_noise_comes_from_splitmix64() -> None:
    """The generator as published, in whole numbers: its n-th output from state s mixes s + (n + 1) times gamma."""

    def mix(z: int) -> int:
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        return z ^ z >> 31

    gamma = 0x9E3779B97F4A7C15
    assert mix(1234567 + gamma) == 6457827717110365317  # the published first output for this seed
    for seed, position, id in [(0, 0, 0), (42, 10, 150_000), (2**31 - 1, 8191, 7), (-1, 3, 2)]:
        state = mix(mix((seed + gamma) % 2**64) ^ (position + 1) * gamma % 2**64)
        uniform = ((mix((state + (id + 1) * gamma) % 2**64) >> 11) + 0.5) / 2**53
        assert gumbel(seed, position, np.array([id]))[0] == pytest.approx(-math.log(-math.log(uniform)), rel=1e-12)


@given(st.integers(-1, 2**63), st.integers(0, 2**31), st.lists(st.integers(0, 2**31), min_size=1, unique=True))
def test_a_tokens_noise_does_not_depend_on_its_neighbours(seed: int, position: int, ids: list[int]) -> None:
    together = gumbel(seed, position, np.array(ids))
    assert np.isfinite(together).all()
    assert [gumbel(seed, position, np.array([id]))[0] for id in ids] == together.tolist()


@given(st.integers(0, 2**31 - 1), st.integers(0, 10_000), st.integers(0, 49))
def test_the_same_draw_stays_when_others_are_cut(seed: int, position: int, cut: int) -> None:
    logits = torch.linspace(-1, 1, 50)
    first = draw(logits, seed, position)
    assert draw(logits, seed, position) == first
    if cut != first:
        logits[cut] = -torch.inf
        assert draw(logits, seed, position) == first


def test_the_draw_does_not_depend_on_threads() -> None:
    logits = torch.randn(150_000, generator=torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    drawn = set()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            drawn.add(draw(logits, 3, 4))
    finally:
        torch.set_num_threads(threads)
    assert len(drawn) == 1


@pytest.mark.parametrize("value", [float("nan"), -float("inf")])
def test_unusable_logits_are_an_error_in_one_sentence(value: float) -> None:
    with pytest.raises(EngineError, match="no usable number"):
        draw(torch.full((9,), value), 1, 1)
