"""Choosing threads: the same model, passes that cost what the test says, and the rule that follows from them."""

from __future__ import annotations

import pytest
import torch

from engine.bench.models import from_shape
from engine.bench.shapes import SHAPES
from engine.errors import Cancelled
from engine.loading import threads


@pytest.fixture(autouse=True)
def restored() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("precision", "costs", "chosen"),
    [
        ("fp32", {1: [8.0], 2: [5.0], 4: [4.9]}, 2),
        ("fp32", {1: [8.0], 2: [7.9], 4: [7.8]}, 1),
        ("fp32", {1: [8.0], 2: [5.0], 4: [3.0]}, 4),
        ("fp32", {1: [8.0], 2: [5.0, 20.0, 20.0], 4: [3.0, 30.0, 30.0]}, 1),  # quick at times, but a core is busy
        ("fp32", {1: [0.011], 2: [0.006], 4: [0.004]}, 1),  # a token in 11 ms is quick enough, whatever gets busy later
        ("fp32", {1: [0.02, 0.02, 0.011], 2: [0.006], 4: [0.004]}, 1),  # a core was busy while it was tried
        ("fp32", {1: [0.04], 2: [0.011], 4: [0.004]}, 2),
        ("int4", {1: [0.011], 2: [0.006], 4: [0.004]}, 4),  # a team of native blocks shrinks when a core gets busy
    ],
)
def test_the_smallest_count_that_is_usually_nearly_the_fastest_or_quick_enough_is_taken(
    precision: str, costs: dict[int, list[float]], chosen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[int, int] = {}

    def seconds(model: object, cancelled: object) -> float:
        count = torch.get_num_threads()
        asked[count] = asked.get(count, -1) + 1
        return costs[count][asked[count] // 2 % len(costs[count])]

    monkeypatch.setattr(threads, "usable", lambda: 4)
    monkeypatch.setattr(threads, "_seconds", seconds)
    model = from_shape(SHAPES["tiny"], precision, 1).model
    if precision == "int4" and model.fused is None:
        pytest.skip("no native kernels for this processor")
    assert threads.choose(model, lambda: False) == chosen == torch.get_num_threads()


@pytest.mark.parametrize("precision", ["fp32", "int4"])
def test_a_pass_is_one_token_and_can_be_cancelled(precision: str) -> None:
    model = from_shape(SHAPES["tiny"], precision, 1).model
    assert threads.choose(model, lambda: False) in (1, 2, threads.usable())
    with pytest.raises(Cancelled):
        threads.choose(model, lambda: True)
