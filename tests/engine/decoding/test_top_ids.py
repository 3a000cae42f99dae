"""The best ids of a vocabulary, found by looking at a part of it first."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.decoding.recorder import top_ids


@given(
    st.integers(0, 10_000), st.integers(1, 256), st.sampled_from([3, 257, 5000, 40_000]), st.sampled_from([1, 3, 99])
)
def test_they_are_the_best_in_order_and_equals_by_id(seed: int, count: int, size: int, decimals: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=size).astype(np.float32)
    if decimals < 99:
        values = values.round(decimals)
    if seed % 3 == 0:
        values[:: 16 if seed % 2 else 1] += np.float32(seed % 5) * 3
    if seed % 7 == 0:
        values[rng.random(size) < 0.9] = -np.inf
    expected = sorted(range(size), key=lambda id: (-values[id], id))[:count]
    found = top_ids(torch.from_numpy(values), count).tolist()
    assert [values[id] for id in found] == [values[id] for id in expected]
    best = [id for id in expected if values[id] > values[expected[-1]]]
    assert found[: len(best)] == best
