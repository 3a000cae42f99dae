from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.decoding.cache import FIRST, KVCache


def make(limit: int | None = None, layers: int = 2) -> KVCache:
    return KVCache(layers, 3, 4, torch.float32, "cpu", limit=limit)


def fill(cache: KVCache, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Put values [T] into every layer; what the last one then holds."""
    block = values.view(1, 1, -1, 1).expand(1, 3, -1, 4)
    for layer in range(2):
        held = cache.update(layer, block + layer, -block - layer)
    cache.advance(len(values))
    return held


@given(st.lists(st.tuples(st.integers(1, 300), st.floats(0, 1)), min_size=1, max_size=6))
def test_a_cache_holds_what_was_put_in_and_not_cut_off(steps: list[tuple[int, float]]) -> None:
    cache, expected = make(), torch.empty(0)
    for number, (count, keep) in enumerate(steps):
        values = torch.arange(count, dtype=torch.float32) + 1000 * number
        expected = torch.cat((expected, values))
        keys, stored = fill(cache, values)
        assert keys.shape == (1, 3, len(expected), 4)
        assert torch.equal(keys[0, 2, :, 1], expected + 1) and torch.equal(stored, -keys)
        cut = int(len(expected) * keep)
        cache.truncate(cut)
        expected = expected[:cut]
        assert cache.length == cut


def test_what_is_not_advanced_does_not_count() -> None:
    cache = make()
    fill(cache, torch.ones(3))
    cache.update(0, torch.zeros(1, 3, 9, 4), torch.zeros(1, 3, 9, 4))
    assert cache.length == 3
    assert torch.equal(fill(cache, torch.full((1,), 5.0))[0][0, 0, :, 0], torch.tensor([2.0, 2.0, 2.0, 6.0]))


def test_buffers_grow_by_doubling_and_not_beyond_the_limit() -> None:
    one = 2 * 2 * 3 * 4 * 4  # bytes a position: keys and values, layers, heads, width, float32
    cache = make(limit=FIRST * 2 + 10)
    assert cache.nbytes == 0
    for length, room in ((1, FIRST), (FIRST, FIRST), (FIRST + 1, 2 * FIRST), (2 * FIRST + 1, 2 * FIRST + 10)):
        fill(cache, torch.ones(length - cache.length))
        assert cache.nbytes == room * one


def test_a_small_context_is_not_given_more_room_than_it_has() -> None:
    cache = make(limit=20)
    fill(cache, torch.ones(1))
    assert cache.nbytes == 20 * 2 * 2 * 3 * 4 * 4


@pytest.mark.parametrize("n", [-1, 4])
def test_truncating_to_what_was_never_there_is_a_mistake(n: int) -> None:
    cache = make()
    fill(cache, torch.ones(3))
    with pytest.raises(ValueError):
        cache.truncate(n)


def test_a_cache_filled_while_inferring_can_be_written_to_outside() -> None:
    cache = make()
    with torch.inference_mode():
        fill(cache, torch.ones(3))
    assert fill(cache, torch.ones(3))[0].shape[2] == 6


def test_half_precision_takes_half_the_bytes_and_no_number_becomes_infinite() -> None:
    cache = KVCache(2, 3, 4, torch.float32, "cpu", half=True)
    values = torch.tensor([0.1, 1e6, -3e38, 65504.0, -2e-8])
    keys, stored = fill(cache, values)
    assert keys.dtype == torch.float32 and torch.equal(stored, -keys)
    expected = torch.tensor([1.1, 65504.0, -65504.0, 65504.0, 1.0])
    assert torch.allclose(keys[0, 0, :, 0], expected, rtol=1e-3)
    assert cache.nbytes == FIRST * 2 * 2 * 3 * 4 * 2 + sum(scratch.nbytes for scratch in cache._scratch)
    part, more = cache.copy(3), torch.ones(2)
    assert torch.equal(fill(part, more)[0][0, 0, :3, 0], fill(cache, more)[0][0, 0, :3, 0])
