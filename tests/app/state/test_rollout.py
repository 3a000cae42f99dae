"""Attention rollout against the paper's product of matrices, from whatever rows are there."""

from __future__ import annotations

import numpy as np
import pytest

from app.state import rollout
from app.state.attention import AttentionStore
from app.state.rollout import Rollout

NAMES = ["layers.0.self", "layers.1.self", "layers.2.self"]


def attention(count: int, causal: bool = True) -> np.ndarray:
    """Random weights [L, H, T, S] whose rows add up to 1."""
    scores = np.random.default_rng(count).normal(size=(3, 2, count, count)) * 3
    if causal:
        scores[:, :, np.triu_indices(count, 1)[0], np.triu_indices(count, 1)[1]] = -np.inf
    weights = np.exp(scores)
    return weights / weights.sum(-1, keepdims=True)


def by_the_paper(weights: np.ndarray) -> np.ndarray:
    """Source: Abnar and Zuidema (2020), section 3.2: A = 0.5 W + 0.5 I, multiplied from the last layer to the first."""
    result = np.eye(weights.shape[-1])
    for layer in weights.mean(1):
        result = (0.5 * layer + 0.5 * np.eye(len(layer))) @ result
    return result


def worked_out(found: Rollout, position: int, columns: int | None = None) -> np.ndarray | None:
    row = found.row(NAMES, position, columns)
    while found.pending:
        row = found.row(NAMES, position, columns)
    return row


def test_every_row_is_that_of_the_product_while_the_text_grows() -> None:
    weights = attention(150)
    expected = by_the_paper(weights)
    store = AttentionStore()
    store.restart(range(150))
    found = Rollout(store)
    store.add(0, tuple(NAMES), weights[:, :, :140, :140].astype(np.float16))
    for position in (0, 5, 139):
        row = worked_out(found, position)
        np.testing.assert_allclose(row, expected[position, : position + 1], atol=1e-3)
    for position in range(140, 150):
        store.add(position, tuple(NAMES), weights[:, :, position : position + 1, : position + 1].astype(np.float16))
    np.testing.assert_allclose(worked_out(found, 149), expected[149], atol=1e-3)
    assert worked_out(found, 149).sum() == pytest.approx(1, abs=2e-3)


def test_a_text_read_both_ways_has_one_too() -> None:
    weights = attention(12, causal=False)
    store = AttentionStore()
    store.restart((), tuple(range(12)))
    store.add(0, tuple(NAMES), weights.astype(np.float16))
    np.testing.assert_allclose(worked_out(Rollout(store), 3, 12), by_the_paper(weights)[3], atol=1e-3)


def test_without_all_rows_of_all_layers_there_is_none() -> None:
    weights = attention(6)
    store = AttentionStore()
    store.restart(range(6))
    found = Rollout(store)
    store.add(2, tuple(NAMES), weights[:, :, 2:].astype(np.float16))
    assert worked_out(found, 5) is None
    store.add(0, tuple(NAMES[:2]), weights[:2, :, :2, :2].astype(np.float16))
    assert worked_out(found, 5) is None
    store.add(0, (NAMES[2],), weights[2:, :, :2, :2].astype(np.float16))
    np.testing.assert_allclose(worked_out(found, 5), by_the_paper(weights)[5], atol=1e-3)


def test_another_context_begins_anew() -> None:
    store = AttentionStore()
    found = Rollout(store)
    for size in (8, 5):
        weights = attention(size)
        store.restart([size] * size)
        store.add(0, tuple(NAMES), weights.astype(np.float16))
        np.testing.assert_allclose(worked_out(found, size - 1), by_the_paper(weights)[-1], atol=1e-3)


def test_what_is_kept_is_bounded_and_work_is_done_a_little_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = attention(40)
    store = AttentionStore()
    store.restart(range(40))
    store.add(0, tuple(NAMES), weights.astype(np.float16))
    found = Rollout(store)
    monkeypatch.setattr(rollout, "TURN", -1.0)
    assert found.row(NAMES, 39) is None and found.pending, "no time, so it has to be asked again"
    assert not found.fits(30, 4000)
    monkeypatch.setattr(rollout, "MOST", 3 * 30 * 30 * 4)
    assert found.row(NAMES, 39) is None and not found.pending
