"""Attention rows: what goes in comes out, what does not is missing, and the budget holds."""

from __future__ import annotations

import numpy as np

from app.state.attention import MEAN, AttentionStore, shared

LAYER = "layers.0.self"


def block(start: int, count: int, heads: int = 2) -> np.ndarray:
    """Weights [1, H, T, S] that tell head, row and column."""
    size = start + count
    heads_, rows, columns = np.ix_(range(heads), range(start, size), range(size))
    return ((heads_ * 1000 + rows * 10 + columns) / 4096).astype(np.float16)[None]


def test_rows_come_back_to_the_position_they_were_captured_at() -> None:
    store = AttentionStore()
    store.add(0, (LAYER,), block(0, 3))
    store.add(3, (LAYER,), block(3, 1))
    for position in range(4):
        expected = block(0, 4)[0, 1, position, : position + 1]
        assert np.array_equal(store.row(LAYER, 1, position), expected.astype(np.float32))
    mean = block(0, 4)[0, :, 2, :3].mean(0, dtype=np.float32)
    assert np.array_equal(store.row(LAYER, MEAN, 2), mean)


def test_what_was_not_captured_is_nan_and_none_but_never_zero() -> None:
    store = AttentionStore()
    store.add(2, (LAYER,), block(2, 1))
    store.add(4, (LAYER,), block(4, 1))
    values, first = store.map(LAYER, 0, 6)
    assert (first, values.shape) == (2, (3, 6))
    assert np.isnan(values[1]).all()
    assert np.isfinite(values[0, :3]).all() and np.isnan(values[0, 3:]).all()
    assert store.row(LAYER, 0, 3) is None and store.row("layers.9.self", 0, 2) is None
    assert store.map(LAYER, 0, 2)[0].shape == (0, 2)


def test_the_oldest_rows_go_first_and_the_budget_holds() -> None:
    one = block(10, 1).nbytes
    store = AttentionStore(budget=one * 6)
    store.add(0, (LAYER,), block(0, 10))
    for position in range(10, 16):
        store.add(position, (LAYER,), block(position, 1))
    kept = [p for p in range(16) if store.row(LAYER, 0, p) is not None]
    assert kept == list(range(kept[0], 16)) and kept[0] > 0
    assert sum(b.weights.nbytes for b in store._blocks) <= one * 6
    assert np.array_equal(store.row(LAYER, 0, 15), block(15, 1)[0, 0, 0].astype(np.float32))


def test_a_growing_map_is_the_one_read_at_once() -> None:
    rng = np.random.default_rng(5)
    growing = AttentionStore(budget=2000)
    for step in range(40):
        growing.add(step, (LAYER,), rng.random((1, 2, 1, step + 1)).astype(np.float16))
        if step % 7 == 6:  # a row that comes again
            growing.add(step - 3, (LAYER,), rng.random((1, 2, 1, step - 2)).astype(np.float16))
        head = (0, 0, MEAN, 1)[step % 4]
        values, first = growing.map(LAYER, head, step + 1)
        for position in range(step + 1):
            row = growing.row(LAYER, head, position)
            if row is None:
                assert position < first or np.isnan(values[position - first]).all()
            else:
                assert np.array_equal(values[position - first, : position + 1], row)
    assert growing.row(LAYER, 0, 0) is None  # the budget did let rows go
    assert set(growing._lines) <= set(growing._where[LAYER])


def test_a_context_that_begins_alike_keeps_the_shared_rows() -> None:
    store = AttentionStore()
    store.restart([1, 2, 3, 4])
    store.add(0, (LAYER,), block(0, 4))
    store.restart([1, 2, 9, 4, 5])
    assert [store.row(LAYER, 0, p) is not None for p in range(4)] == [True, True, False, False]
    store.clear()
    assert store.row(LAYER, 0, 0) is None and not store._blocks


def test_shared_counts_the_common_beginning() -> None:
    assert [shared(a, b) for a, b in (([], [1]), ([1, 2], [1, 2]), ([1, 2, 3], [1, 9, 3]))] == [0, 2, 1]
