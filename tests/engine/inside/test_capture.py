"""The tap's reductions against brute force on the whole matrix."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.inside.capture import Tap, Thumbnails
from engine.messages import AttentionRows, AttentionThumbnails
from engine.params import CaptureParams


def causal(heads: int, size: int, seed: int = 0) -> torch.Tensor:
    weights = torch.rand(heads, size, size, generator=torch.Generator().manual_seed(seed)).tril()
    return weights / weights.sum(-1, keepdim=True)


def feed(tap: Tap, weights: torch.Tensor, cuts: list[int], names: tuple[str, ...] = ("layers.0.self",)) -> list:
    events = []
    for start, end in zip([0, *cuts], [*cuts, weights.shape[1]]):
        tap.begin(start)
        for name in names:
            take = tap.layer(name)
            if take is not None:
                take(weights[None, :, start:end, :end])
        events += tap.events(1, last=end == weights.shape[1])
    return events


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 150), side=st.integers(1, 64), cuts=st.lists(st.integers(1, 149), max_size=4, unique=True))
def test_thumbnails_fed_in_any_pieces_equal_the_block_means_of_the_whole_map(
    size: int, side: int, cuts: list[int]
) -> None:
    whole = causal(2, size)
    thumbnails = Thumbnails(side)
    edges = [0, *sorted(c for c in cuts if c < size), size]
    for start, end in pairwise(edges):
        thumbnails.add("a", whole[:, start:end, :end], start)
    _, cells = thumbnails.read()
    cell, n = thumbnails.cell, cells.shape[-1]
    assert n <= side and n == -(-size // cell)
    for i in range(n):
        for j in range(n):
            block = whole[:, i * cell : (i + 1) * cell, j * cell : (j + 1) * cell]
            np.testing.assert_allclose(cells[0, :, i, j], block.mean((1, 2)).numpy(), atol=1e-6)


def test_rows_that_were_never_captured_are_nan_and_never_zero() -> None:
    whole = causal(2, 40)
    thumbnails = Thumbnails(64)
    thumbnails.add("a", whole[:, 30:], 30)
    _, cells = thumbnails.read()
    assert np.isnan(cells[0, :, :30]).all()
    assert np.isfinite(cells[0, :, 30:]).all()


@settings(max_examples=40, deadline=None)
@given(keep=st.integers(0, 99), side=st.sampled_from([5, 8, 16, 64]))
def test_truncating_and_growing_again_equals_a_fresh_map_wherever_it_is_not_nan(keep: int, side: int) -> None:
    old, new = causal(1, 100, seed=1), causal(1, 100, seed=2)
    new[:, :keep] = old[:, :keep]
    thumbnails, fresh = Thumbnails(side), Thumbnails(side)
    thumbnails.add("a", old, 0)
    thumbnails.truncate(keep)
    thumbnails.add("a", new[:, keep:], keep)
    fresh.add("a", new, 0)
    mine, theirs = thumbnails.read()[1], fresh.read()[1]
    assert mine.shape == theirs.shape
    forgotten = np.isnan(mine).any(-1)[0, 0]
    cell = thumbnails.cell
    # A row of cells that straddles the cut keeps only its new rows: all others are whole again.
    straddling = np.arange(len(forgotten)) == keep // cell if keep % cell else np.zeros(len(forgotten), bool)
    assert not forgotten[~straddling].any()
    np.testing.assert_allclose(mine[:, :, ~straddling], theirs[:, :, ~straddling], atol=1e-6)


def test_nothing_is_wanted_while_the_panes_are_hidden() -> None:
    tap = Tap(CaptureParams(), layers=4)
    assert not tap.wanted
    assert tap.layer("layers.0.self") is None


def test_only_the_layer_on_screen_is_kept_and_only_its_rows_leave() -> None:
    tap = Tap(CaptureParams(attention="layer", layer=1), layers=2)
    events = feed(tap, causal(3, 20), [12], ("layers.0.self", "layers.1.self"))
    assert [type(e) for e in events] == [AttentionRows, AttentionRows]
    assert all(e.layers == ("layers.1.self",) for e in events)
    assert [(e.start, e.weights.shape) for e in events] == [(0, (1, 3, 12, 12)), (12, (1, 3, 8, 20))]


def test_layer_one_is_not_mistaken_for_layer_ten() -> None:
    tap = Tap(CaptureParams(attention="layer", layer=1), layers=12)
    assert tap.layer("layers.10.self") is None
    assert tap.layer("layers.1.self") is not None


def test_the_last_row_is_the_token_just_read() -> None:
    whole = causal(2, 30)
    tap = Tap(CaptureParams(attention="all"), layers=1)
    events = feed(tap, whole, list(range(1, 30)))
    assert [e.start for e in events] == list(range(30))
    np.testing.assert_allclose(events[-1].weights[0, :, 0], whole[:, -1].half().numpy())


def test_rows_of_a_long_pass_stay_within_half_the_budget_and_are_the_latest() -> None:
    whole = torch.ones(1, 4, 900, 900)
    tap = Tap(CaptureParams(attention="all", budget_mb=1), layers=3)
    tap.begin(0)
    for i in range(3):
        take = tap.layer(f"layers.{i}.self")
        assert take is not None
        take(whole)
    (event,) = tap.events(1)
    assert isinstance(event, AttentionRows)
    assert event.weights.nbytes <= 2**19
    assert event.start + event.weights.shape[2] == 900


def test_thumbnails_leave_at_most_ten_times_a_second_and_always_at_the_end() -> None:
    tap = Tap(CaptureParams(thumbnails=16), layers=1)
    events = feed(tap, causal(1, 200), list(range(1, 200)))
    assert all(isinstance(e, AttentionThumbnails) for e in events)
    assert 2 <= len(events) < 60
    assert events[-1].tokens == 200
