"""The short cut to the draw: whoever wins with everybody's noise wins where only that of a few is worked out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.sampling import choosers
from engine.sampling.choosers import MANY, among
from engine.sampling.noise import _bits, _key, gumbel, roughly
from engine.sampling.search import everyone


def winner(ids: Tensor, logits: Tensor, seed: int, position: int) -> int:
    scores = logits.double().numpy() + gumbel(seed, position, ids.numpy())
    return int(ids[int(scores.argmax())])


def some_logits(seed: int, count: int, spread: float) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed)) * spread


@given(st.integers(-1, 2**62), st.integers(0, 2**20), st.sampled_from([0.0, 0.3, 3.0, 12.0, 500.0]), st.booleans())
@settings(max_examples=60)
def test_the_winner_is_the_same_as_of_everybodys_noise(seed: int, position: int, spread: float, gaps: bool) -> None:
    count = MANY + 3000
    logits = some_logits(position, count, spread)
    ids = everyone(count) * 3 + 1 if gaps else everyone(count)
    assert among(ids, logits, seed, position) == winner(ids, logits, seed, position)


@pytest.mark.parametrize("reach", [1e-9, 1e-3, 0.5])
def test_where_nobody_came_within_reach_everybody_is_asked(reach: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosers, "REACH", reach)
    for position in range(20):
        logits = some_logits(position, MANY, 2.0)
        assert among(everyone(MANY), logits, 5, position) == winner(everyone(MANY), logits, 5, position)


def test_who_was_cut_does_not_win_the_race() -> None:
    logits = some_logits(0, MANY, 1.0)
    logits[7:] = -torch.inf
    assert {among(everyone(MANY), logits, 1, position) for position in range(50)} <= set(range(7))


def test_the_rough_numbers_are_the_exact_ones_rounded() -> None:
    ids = np.arange(40_000) * 5
    exact = _bits(_key(3, 9), ids) / np.float64(2**64)
    assert np.abs(roughly(3, 9, ids) - exact).max() < 2**-23
