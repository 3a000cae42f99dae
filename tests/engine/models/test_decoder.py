from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from checkpoints import loaded, write_tiny

from engine.decoding.cache import KVCache
from engine.errors import Cancelled, ContextOverflow
from engine.models.base import Decoder

IDS = torch.arange(3, 23)[None]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    return loaded(write_tiny(tmp_path_factory.mktemp("decoder") / "tiny")).model


class Names:
    """A tap that wants one layer and keeps what it was asked for."""

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted
        self.asked: list[str] = []
        self.shown: list[torch.Tensor] = []

    def layer(self, name: str) -> Callable[[torch.Tensor], None] | None:
        self.asked.append(name)
        return self.shown.append if name == self.wanted else None


def test_only_the_last_logits_are_computed_when_only_they_are_asked_for(model: Decoder) -> None:
    whole = model(IDS)
    assert whole.shape == (1, 20, 101) and whole.dtype == torch.float32
    torch.testing.assert_close(model(IDS, last=True), whole[:, -1:], atol=1e-5, rtol=0)


def test_the_tap_is_asked_for_each_layer_by_name_and_shown_the_one_it_wants(model: Decoder) -> None:
    tap = Names("layers.1.self")
    model(IDS, tap=tap)
    assert tap.asked == ["layers.0.self", "layers.1.self", "layers.2.self"]
    assert [tuple(weights.shape) for weights in tap.shown] == [(1, 3, 20, 20)]


def test_check_is_called_before_every_block(model: Decoder) -> None:
    calls: list[int] = []
    model(IDS, check=lambda: calls.append(1))
    assert len(calls) == model.config.layers


@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_a_pass_that_is_stopped_between_layers_leaves_no_trace_in_the_cache(model: Decoder, stop_at: int) -> None:
    calls: list[int] = []

    def check() -> None:
        calls.append(1)
        if len(calls) == stop_at:
            raise Cancelled

    cache = KVCache.for_model(model)
    model(IDS[:, :5], cache)
    with pytest.raises(Cancelled):
        model(IDS[:, 7:12] + 40, cache, check=check)
    assert cache.length == 5
    torch.testing.assert_close(model(IDS[:, 5:], cache, last=True), model(IDS, last=True), atol=1e-5, rtol=0)


def test_more_than_the_context_is_refused_with_both_counts(model: Decoder) -> None:
    cache = KVCache.for_model(model)
    model(torch.zeros(1, 60, dtype=torch.long), cache)
    with pytest.raises(ContextOverflow, match=r"65 tokens.* 64"):
        model(torch.zeros(1, 5, dtype=torch.long), cache)
    assert cache.length == 60
    assert model(torch.zeros(1, 4, dtype=torch.long), cache).shape[1] == 4


def test_rows_of_a_batch_do_not_touch_each_other(model: Decoder) -> None:
    ids = torch.stack((IDS[0], IDS[0] + 50))
    both = model(ids)
    torch.testing.assert_close(both[1:], model(ids[1:]), atol=1e-5, rtol=0)


def test_weights_need_no_gradient_until_training_asks_for_one(model: Decoder) -> None:
    assert not any(weight.requires_grad for weight in model.parameters())
    assert not model.training
