"""Fused blocks: what they compute is what the blocks compute one by one, to what rounding the inputs costs."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.bench.models import from_shape
from engine.bench.shapes import Shape
from engine.decoding.cache import KVCache
from engine.inside.capture import Tap
from engine.loading.fusing import fuse
from engine.messages import AttentionRows, AttentionThumbnails, Event
from engine.models import family
from engine.models.base import Decoder, Reader
from engine.params import CaptureParams
from engine.quantize import Grouped, put
from engine.quantize.kernels.choice import COMMON, library

native = library(COMMON)
pytestmark = pytest.mark.skipif(native is None, reason="no native kernels for this processor")

SHAPES = [
    Shape("groups of four", 3, 8, 2, 128, 192, 320, tied=True),
    Shape("every head its own", 2, 4, 4, 64, 128, 96, tied=False),
    Shape("wide heads", 2, 2, 1, 256, 160, 64, tied=True),
    Shape("eights", 2, 9, 3, 72, 200, 64, tied=True),
]
LENGTHS = (1, 7, 8, 9, 40)


def dense(model: Decoder) -> Decoder:
    """The same model with plain weights: what its codes stand for."""
    module = family("llama")
    other: Decoder = module.Model(model.config)
    for (_, mine), (_, packed) in zip(modules(other), modules(model)):
        mine.weight = nn.Parameter(packed.weight, requires_grad=False)
    return other.eval()


def modules(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, module) for name, module in model.named_modules() if hasattr(module, "weight")]


def one_by_one(model: Decoder, ids: Tensor, first: int) -> Tensor:
    """Logits of each id from `first` on, each read alone."""
    cache = KVCache.for_model(model)
    with torch.inference_mode():
        if first:
            model(ids[:, :first], cache)
        return torch.cat([model(ids[:, i : i + 1], cache) for i in range(first, ids.shape[1])], 1)


def error(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).square().mean().sqrt() / b.double().square().mean().sqrt())


@pytest.fixture(autouse=True)
def threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("precision", ["int4", "int8"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_fused_blocks_are_as_near_to_the_plain_weights_as_blocks_one_by_one(shape: Shape, precision: str) -> None:
    model = from_shape(shape, precision, 1).model
    assert model.fused is not None
    ids = torch.randint(0, shape.vocabulary, (1, 44), generator=torch.Generator().manual_seed(3))
    expected = one_by_one(dense(model), ids, 20)
    fused = one_by_one(model, ids, 20)
    model.fused = None
    plain = one_by_one(model, ids, 20)
    assert error(fused, expected) < 1.3 * error(plain, expected) + 1e-6
    assert error(plain, expected) < 0.03


def test_any_number_of_threads_gives_the_same_bits() -> None:
    model = from_shape(SHAPES[0], "int4", 1).model
    ids = torch.randint(0, 320, (1, 30), generator=torch.Generator().manual_seed(4))
    answers = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        answers.append(one_by_one(model, ids, 0))
    assert torch.equal(answers[0], answers[1]) and torch.equal(answers[0], answers[2])


@pytest.mark.parametrize("count", [2, 3, 7, 8, 16])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_tokens_read_together_give_the_bits_of_tokens_read_alone(shape: Shape, threads: int, count: int) -> None:
    model = from_shape(shape, "int4", threads).model
    torch.set_num_threads(threads)
    ids = torch.randint(0, shape.vocabulary, (1, 250 + 2 * count), generator=torch.Generator().manual_seed(count))
    alone = one_by_one(model, ids, 250)
    cache = KVCache.for_model(model)
    with torch.inference_mode():
        model(ids[:, :250], cache)
        together = torch.cat([model(part, cache) for part in ids[:, 250:].split(count, 1)], 1)
        cache.truncate(250)
        again = model(ids[:, 250 : 250 + count], cache, last=True)
    assert torch.equal(together, alone)
    assert torch.equal(again[:, 0], alone[:, count - 1])


def test_rows_that_native_code_wrote_serve_later_passes() -> None:
    model = from_shape(SHAPES[0], "int4", 1).model
    ids = torch.randint(0, 320, (1, 300), generator=torch.Generator().manual_seed(5))
    cache = KVCache.for_model(model)
    with torch.inference_mode():
        model(ids[:, :250], cache)
        for i in range(250, 270):  # across the place where the buffers grow
            model(ids[:, i : i + 1], cache)
        answer = model(ids[:, 270:], cache)
        cache.truncate(255)
        again = model(ids[:, 255:], cache)
        expected = model(ids)
    assert error(answer, expected[:, 270:]) < 0.02
    assert error(again, expected[:, 255:]) < 0.02


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_attention_is_shown_as_blocks_one_by_one_show_it_and_changes_nothing(
    shape: Shape, threads: int, count: int
) -> None:
    model = from_shape(shape, "int4", threads).model
    torch.set_num_threads(threads)
    ids = torch.randint(0, shape.vocabulary, (1, 40 + count), generator=torch.Generator().manual_seed(6))

    def read(params: CaptureParams) -> tuple[Tensor, list[Event]]:
        tap, cache = Tap(params, shape.layers), KVCache.for_model(model)
        with torch.inference_mode():
            model(ids[:, :40], cache)
            tap.begin(40)
            answer = model(ids[:, 40:], cache, tap)
        return answer, tap.events(0, last=True)

    unseen, nothing = read(CaptureParams(attention="none", thumbnails=0))
    every = CaptureParams(attention="all", thumbnails=8)
    answer, [shown, pooled] = read(every)
    one, [layer] = read(CaptureParams(attention="layer", layer=1, thumbnails=0))
    model.fused = None
    _, [expected, _] = read(every)
    assert nothing == [] and torch.equal(answer, unseen) and torch.equal(one, unseen)
    assert isinstance(shown, AttentionRows) and isinstance(expected, AttentionRows) and isinstance(layer, AttentionRows)
    assert isinstance(pooled, AttentionThumbnails) and len(pooled.layers) == shape.layers
    assert shown.weights.shape == (shape.layers, shape.heads, count, 40 + count)
    weights, reference = torch.from_numpy(shown.weights).float(), torch.from_numpy(expected.weights).float()
    assert torch.allclose(weights.sum(-1), torch.ones(1), atol=2e-3)
    assert torch.equal(weights == 0, reference == 0) and error(weights, reference) < 0.05
    assert (layer.weights == shown.weights[1:2]).all()


@pytest.mark.parametrize("model_type", ["qwen2", "qwen3"])
def test_biases_and_norms_of_heads_are_in_it(model_type: str) -> None:
    shape = Shape("like Qwen", 2, 4, 2, 64, 128, 96, tied=True)
    names = {"qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
    config = {**shape.config(), "model_type": model_type, "architectures": [names[model_type]], "head_dim": 16}
    module = family(model_type)
    torch.manual_seed(7)
    model: Decoder = module.Model(module.Config.read(Reader(config, "config")))
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        parameter.copy_(torch.randn_like(parameter) * (0.3 if parameter.dim() == 1 else 0.1))
    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.Linear):
            put(model, f"{name}.weight", eight_bits(layer.weight))
    model.eval()
    assert fuse(model)
    ids = torch.randint(0, 96, (1, 20))
    fused = one_by_one(model, ids, 5)
    model.fused = None
    assert error(fused, one_by_one(model, ids, 5)) < 0.01


def eight_bits(weight: Tensor) -> Grouped:
    groups = weight.unflatten(1, (-1, 32))
    scale = (groups.abs().amax(-1) / 127).half()
    codes = (groups / scale.float()[..., None]).round().clamp(-127, 127).to(torch.int8)
    return Grouped(8, 32, tuple(weight.shape), codes.flatten(1), scale)


def test_what_is_not_as_llama_computes_is_not_fused() -> None:
    plain = from_shape(SHAPES[0], "fp32", 1).model
    assert not fuse(plain) and plain.fused is None
    gelu = {**SHAPES[0].config(), "hidden_act": "gelu"}
    module = family("llama")
    assert not fuse(module.Model(module.Config.read(Reader(gelu, "config"))))


def test_a_state_that_is_no_number_stays_none() -> None:
    model = from_shape(SHAPES[0], "int4", 1).model
    model.get_parameter("model.layers.0.input_layernorm.weight")[3] = math.nan
    ids = torch.tensor([[1, 2, 3]])
    assert one_by_one(model, ids, 0).isnan().any()


# --- the parts --------------------------------------------------------------------------------------------------------


def compiled(name: str, write: Callable[..., None], *arguments: object) -> Callable[..., None]:
    """A function of addresses and whole numbers."""
    from llvmlite import binding

    from engine.quantize.kernels.native import host, optimised

    def exported(module: object) -> None:
        write(module, *arguments)
        module.globals[name].linkage = ""  # type: ignore[attr-defined]

    machine = host()
    linked = binding.create_mcjit_compiler(optimised(exported, machine), machine)
    linked.finalize_object()
    HELD.append(linked)
    call: Callable[..., None] = ctypes.CFUNCTYPE(None)(linked.get_function_address(name))
    return lambda *numbers: call(*map(ctypes.c_int64, numbers))


HELD: list[object] = []


@pytest.mark.parametrize("width", [8, 64, 72, 128])
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("eight_bit", [False, True], ids=["half", "8-bit"])
def test_attention_of_one_query_is_softmax_attention(width: int, length: int, eight_bit: bool) -> None:
    from engine.quantize.kernels import cached
    from engine.quantize.kernels.attending import attention

    attend = compiled("attend", attention, cached.Bytes() if eight_bit else cached.Half(), width)
    torch.manual_seed(length)
    q, (k, v) = torch.randn(3, width) * 2, torch.randn(2, length, width).half()
    key_scales, value_scales = torch.rand(2, length) / 64
    if eight_bit:
        k, v = (torch.randint(-127, 128, (length, width), dtype=torch.int8) for _ in range(2))
    scores, y = torch.empty(3, length + 16), torch.empty(3, width)
    given = (k, v, key_scales, value_scales)
    attend(q.data_ptr(), 3, *(each.data_ptr() for each in given), length, scores.data_ptr(), y.data_ptr())
    k, v = k.double(), v.double()
    if eight_bit:
        k, v = k * key_scales[:, None], v * value_scales[:, None]
    expected = (q.double() @ k.T).softmax(-1) @ v
    assert torch.allclose(y.double(), expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("eight_bit", [False, True], ids=["half", "8-bit"])
def test_native_code_keeps_a_row_as_the_cache_does(eight_bit: bool) -> None:
    from engine.quantize.kernels import cached
    from engine.quantize.kernels.emit import POINTER, Emitter

    def write(module: Any) -> None:
        f = Emitter(module, "write", [POINTER] * 3)
        (cached.Bytes() if eight_bit else cached.Half()).write(f, *f.arguments, width=64)
        f.b.ret_void()

    native_write = compiled("write", write)
    x = torch.randn(9, 64, generator=torch.Generator().manual_seed(4)) * torch.logspace(-30, 4.5, 9)[:, None]
    x[0] = 0
    x[1, 5], x[2, 6] = math.inf, math.nan
    cache = KVCache(1, 1, 64, torch.float32, "cpu", eight_bit=eight_bit, half=not eight_bit)
    cache.update(0, x[None, None], x[None, None])
    store = cache._layers[0].keys
    rows, scales = torch.empty(9, 64, dtype=store.rows.dtype), torch.empty(9)
    for index in range(9):
        native_write(x[index].data_ptr(), rows[index].data_ptr(), scales[index].data_ptr())
    sound = torch.tensor([0, 3, 4, 5, 6, 7, 8] if eight_bit else range(9))
    assert torch.equal(rows[sound].nan_to_num(-1), store.rows[0, 0, :9][sound].nan_to_num(-1))
    if eight_bit:
        assert store.scales is not None and torch.equal(scales[sound], store.scales[0, 0, :9, 0][sound])
        assert not scales[1:3].isfinite().any() and not store.scales[0, 0, 1:3].isfinite().any()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_keys_and_values_of_8_bits_are_read_and_written_as_blocks_one_by_one_do(shape: Shape, threads: int) -> None:
    model = from_shape(shape, "int8", threads).model
    ids = torch.randint(0, shape.vocabulary, (1, 300), generator=torch.Generator().manual_seed(8))
    kept, logits = [], []
    for fused in (model.fused, None):
        cache = KVCache.for_model(model, eight_bit=True)
        with torch.inference_mode():
            model(ids[:, :250], cache)  # the buffers grow on the way
            assert cache.direct(1) is not None
            model.fused = fused
            logits.append(torch.cat([model(ids[:, at : at + 1], cache) for at in range(250, 300)], 1))
        kept.append([store.read(0, 300).clone() for layer in cache._layers for store in (layer.keys, layer.values)])
    assert error(*logits) < 0.03
    for one, other in zip(*kept, strict=True):
        assert error(one, other) < 0.03
