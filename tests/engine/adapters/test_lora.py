"""Adapters in place: they add what their matrices say, to weights of few bits too, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from checkpoints import loaded, write_tiny
from lora import adapted, products, write_adapter
from torch import Tensor, nn

from engine.adapters.lora import Adapted
from engine.decoding.cache import KVCache
from engine.errors import Cancelled
from engine.lanes import Job
from engine.messages import Progress
from engine.models.base import Decoder

IDS = torch.tensor([[5, 9, 100, 3, 3, 42]])


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture
def tiny(tmp_path: Path) -> Decoder:
    model = loaded(write_tiny(tmp_path / "tiny")).model
    assert isinstance(model, Decoder)
    return model


def one_by_one(model: Decoder, ids: Tensor) -> Tensor:
    cache = KVCache.for_model(model)
    return torch.cat([model(ids[:, i : i + 1], cache) for i in range(ids.shape[1])], 1)


def off(a: Tensor, b: Tensor) -> float:
    return float((a - b).square().mean().sqrt())


def added(model: nn.Module, folder: Path, factor: float) -> None:
    """Merge an adapter into a model of plain weights."""
    for name, product in products(folder).items():
        linear = model.get_submodule(name)
        linear.weight = nn.Parameter(linear.weight + factor * product, requires_grad=False)


def test_two_adapters_with_weights_are_their_dense_sum(tiny: Decoder, tmp_path: Path) -> None:
    first = write_adapter(tmp_path / "first", tiny, "q_proj", "k_proj", "v_proj", "up_proj", seed=1)
    second = write_adapter(tmp_path / "second", tiny, "q_proj", "down_proj", "lm_head", seed=2, r=7, use_rslora=True)
    plain = tiny(IDS)
    with adapted(tiny, (first, 0.25), (second, 2.0)).in_place():
        found, cached = tiny(IDS), one_by_one(tiny, IDS)
    added(tiny, first, 0.25 * 8 / 4)
    added(tiny, second, 2.0 * 8 / 7**0.5)
    expected = tiny(IDS)
    assert max(off(found, expected), off(cached, expected)) < 1e-4 * off(expected, plain)


def test_the_order_in_which_adapters_are_named_does_not_matter(tiny: Decoder, tmp_path: Path) -> None:
    uses = [(write_adapter(tmp_path / name, tiny, "q_proj", seed=seed), 0.5) for seed, name in enumerate("ab")]
    with adapted(tiny, *uses).in_place():
        found, before = tiny(IDS), tiny.adapted
    with adapted(tiny, *reversed(uses)).in_place():
        assert torch.equal(tiny(IDS), found) and tiny.adapted == before


def test_what_was_in_place_leaves_every_bit_as_it_was(tiny: Decoder, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "adapter", tiny, "q_proj", "gate_proj", "lm_head")
    plain, modules = tiny(IDS), dict(tiny.named_modules())
    adaptation = adapted(tiny, (folder, 1.0))
    with adaptation.in_place():
        assert not torch.equal(tiny(IDS), plain)
        assert sum(isinstance(module, Adapted) for module in tiny.modules()) == 7
    assert dict(tiny.named_modules()) == modules and tiny.adapted == ()
    assert torch.equal(tiny(IDS), plain)


def test_a_step_that_fails_takes_the_adapters_off(tiny: Decoder, tmp_path: Path) -> None:
    adaptation = adapted(tiny, (write_adapter(tmp_path / "adapter", tiny, "q_proj"), 1.0))
    plain = tiny(IDS)

    def job() -> Job:
        yield Progress(1, "", 0, 0)
        raise MemoryError

    steps = adaptation.over(job())
    next(steps)
    with pytest.raises(MemoryError):
        next(steps)
    assert torch.equal(tiny(IDS), plain) and tiny.adapted == ()


def test_a_cancelled_job_still_says_its_last_words_with_the_adapters_in_place(tiny: Decoder, tmp_path: Path) -> None:
    adaptation = adapted(tiny, (write_adapter(tmp_path / "adapter", tiny, "q_proj"), 1.0))
    seen = []

    def job() -> Job:
        try:
            while True:
                seen.append(tiny.adapted)
                yield Progress(1, "working", 0, 0)
        except Cancelled:
            seen.append(tiny.adapted)
            yield Progress(1, "last", 0, 0)
        return "over"

    steps = adaptation.over(job())
    next(steps)
    assert tiny.adapted == ()
    last = steps.throw(Cancelled())
    assert isinstance(last, Progress) and last.phase == "last"
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value == "over" and len({*seen}) == 1 and seen[0] != ()


def test_closing_the_steps_closes_the_job(tiny: Decoder, tmp_path: Path) -> None:
    adaptation, closed = adapted(tiny, (write_adapter(tmp_path / "adapter", tiny, "q_proj"), 1.0)), []

    def job() -> Job:
        try:
            yield Progress(1, "", 0, 0)
        finally:
            closed.append(True)
        return None

    steps = adaptation.over(job())
    next(steps)
    steps.close()
    assert closed and tiny.adapted == ()


@pytest.mark.parametrize("precision", ["int4", "int8"])
@pytest.mark.parametrize("ends", [("q_proj", "v_proj"), ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")])
def test_over_few_bits_it_is_the_adapter_over_what_the_codes_stand_for(
    tmp_path: Path, precision: str, ends: tuple[str, ...]
) -> None:
    folder = write_tiny(tmp_path / "tiny", hidden_size=64, intermediate_size=96, head_dim=16, num_attention_heads=4)
    packed, plain = loaded(folder, precision=precision).model, loaded(folder).model
    assert isinstance(packed, Decoder) and isinstance(plain, Decoder)
    for name, module in plain.named_modules():
        if getattr(packed.get_submodule(name), "packed", None) is not None:
            module.weight = nn.Parameter(packed.get_submodule(name).weight, requires_grad=False)
    without, plainly = packed(IDS), plain(IDS)
    adapter = write_adapter(tmp_path / "adapter", plain, *ends)
    with adapted(packed, (adapter, 1.0)).in_place():
        found, cached = packed(IDS), one_by_one(packed, IDS)
    with adapted(plain, (adapter, 1.0)).in_place():
        expected = plain(IDS)
    # What is left is the rounding of the inputs to 8 bits, which is there without the adapter, too.
    for logits in (found, cached):
        assert off(logits, expected) < 1.5 * off(without, plainly) < 0.2 * off(expected, plainly)
    assert torch.equal(packed(IDS), without)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("precision", ["int4", "int8"])
def test_fused_blocks_go_through_adapters_as_blocks_one_by_one_do(tmp_path: Path, precision: str, threads: int) -> None:
    sizes = {"hidden_size": 72, "intermediate_size": 104, "head_dim": 24, "num_attention_heads": 6}
    folder = write_tiny(tmp_path / "tiny", **sizes, num_key_value_heads=3)
    model = loaded(folder, precision=precision, threads=threads).model
    assert isinstance(model, Decoder)
    if model.fused is None:
        pytest.skip("no native kernels for this processor")
    ids = torch.tensor([[5, 9, 100, 3, 3, 42, 7, 8]])
    plain, fused = one_by_one(model, ids), model.fused
    model.fused = None
    by_blocks, model.fused = one_by_one(model, ids), fused
    # Ranks that are no multiple of four, two at once on some modules, one module outside the blocks.
    first = write_adapter(tmp_path / "first", model, "q_proj", "v_proj", "o_proj", "down_proj", seed=1, r=3)
    second = write_adapter(tmp_path / "second", model, "q_proj", "gate_proj", "up_proj", "lm_head", seed=2, r=6)
    with adapted(model, (first, 0.5), (second, 1.5)).in_place():
        assert model.fused is not None and model.fused is not fused
        native = one_by_one(model, ids)
        cache = KVCache.for_model(model)
        model(ids[:, :4], cache)
        together = model(ids[:, 4:], cache)
        model.fused = None
        expected = one_by_one(model, ids)
    # Inputs are rounded to 8 bits, where the last bit of a sum decides now and then: without adapters, too.
    assert off(native, expected) < 2 * off(plain, by_blocks) < 0.2 * off(native, plain)
    # The head is no part of the blocks: its addition is torch's, which adds otherwise for more rows.
    torch.testing.assert_close(together, native[:, 4:], atol=1e-5, rtol=1e-5)
    assert model.fused is fused and torch.equal(one_by_one(model, ids), plain)
