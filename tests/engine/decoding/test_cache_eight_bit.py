"""Eight bits for what was read: a bound on every number, a quarter of the memory, and nearly the same answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from checkpoints import loaded

from driver import Driver, one
from engine import Done, Generate, Generated, Load, LoadParams, Prompt, SamplingParams, Started
from engine.decoding.cache import FIRST, KVCache
from engine.decoding.contexts import Context
from engine.models.base import Decoder
from engine.params import CaptureParams

BARE = CaptureParams(candidates=0)


def make(dtype: torch.dtype = torch.float32, eight_bit: bool = True, D: int = 64) -> KVCache:
    return KVCache(2, 3, D, dtype, "cpu", eight_bit=eight_bit)


def fill(cache: KVCache, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    for layer in range(2):
        held = cache.update(layer, x, -2 * x)
    cache.advance(x.shape[2])
    return held


@pytest.mark.parametrize("size", [1e-6, 1.0, 3e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_number_is_off_by_more_than_half_the_scale_of_its_row(dtype: torch.dtype, size: float) -> None:
    x = (torch.randn(1, 3, 50, 64, generator=torch.Generator().manual_seed(0)) * size).to(dtype)
    x[:, :, 7] = 0
    x[:, :, 8, 1:] = 0
    keys, values = fill(make(dtype), x)
    assert keys.dtype == values.dtype == dtype
    largest = x.float().abs().amax(-1, keepdim=True)
    # Half a step of the scale, and the rounding of the result.
    bound = largest / 254 * (1 + 1e-5) + largest * torch.finfo(dtype).eps
    assert bool(((keys.float() - x.float()).abs() <= bound).all())
    assert bool(((values.float() + 2 * x.float()).abs() <= 2 * bound).all())


def test_memory_is_a_quarter_of_fp32_and_half_of_16_bits_but_for_scales_and_scratch() -> None:
    x = torch.zeros(1, 3, 4 * FIRST, 64)
    codes = [make(), make(torch.bfloat16)]
    plain = [make(eight_bit=False), make(torch.bfloat16, eight_bit=False)]
    for cache in (*codes, *plain):
        fill(cache, x)
    scratch = [sum(each.nbytes for each in cache._scratch) for cache in codes]
    assert (codes[0].nbytes - scratch[0]) / plain[0].nbytes == (64 + 4) / 256
    assert (codes[1].nbytes - scratch[1]) / plain[1].nbytes == (64 + 4) / 128
    # One layer's keys and values, and a quarter more to grow, however many layers there are.
    assert scratch[0] == 2 * 1.25 * 3 * 4 * FIRST * 64 * 4


def test_a_copy_and_what_is_left_after_a_cut_are_the_same_numbers() -> None:
    x = torch.randn(1, 3, 40, 64, generator=torch.Generator().manual_seed(1))
    cache = make()
    fill(cache, x)
    other = cache.copy(30)
    cache.truncate(30)
    more = torch.randn(1, 3, 300, 64, generator=torch.Generator().manual_seed(2))
    first = [part.clone() for part in fill(cache, more)]
    for a, b in zip(first, fill(other, more)):
        assert torch.equal(a, b)


def test_reading_in_chunks_is_reading_at_once_and_close_to_the_full_precision(assets: Path) -> None:
    model = loaded(assets / "models" / "stories260K").model
    assert isinstance(model, Decoder)
    ids = [1, *range(100, 300)]
    with torch.inference_mode():
        full = model(torch.tensor([ids]))[0]
        for size in (201, 32, 1):
            context = Context.fresh(model, BARE, eight_bit=True)
            parts = [context.feed(ids[at : at + size], lambda: None, last=False) for at in range(0, len(ids), size)]
            logits = torch.cat(parts)
            divergence = (full.softmax(-1) * (full.log_softmax(-1) - logits.log_softmax(-1))).sum(-1)
            assert divergence.mean() < 2e-3 and divergence.max() < 0.1
            if size == 201:
                once = logits
            torch.testing.assert_close(logits, once, atol=0.05, rtol=0)


def test_it_is_an_option_of_loading_and_an_answer_goes_on_from_it(assets: Path, tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    path = str(assets / "models" / "stories260K")
    loaded = driver.run(Load(path, LoadParams(precision="fp32", threads=1, cache="8-bit")))
    assert isinstance(loaded[-1], Done)
    greedy = SamplingParams.neutral(temperature=0.0, max_new_tokens=30)
    first = one(driver.run(Generate(Prompt(text="Once upon a time"), greedy)), Generated)
    events = driver.run(Generate(Prompt(text="Once upon a time", answer_ids=first.ids), greedy))
    assert one(events, Started).reused >= len(first.ids)
    assert "little girl" in first.text
    assert driver.engine.stop()
