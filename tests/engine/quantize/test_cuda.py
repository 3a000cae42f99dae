"""bitsandbytes's layers as they are built for a GPU: on the CPU, where its slow way computes the same, and on a GPU."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from checkpoints import loaded, write_tiny

from engine.errors import EngineError
from engine.quantize import schemes
from engine.quantize.cuda import linear


def needs_library() -> None:
    pytest.importorskip("bitsandbytes")


@pytest.fixture
def weight() -> torch.Tensor:
    return torch.randn(96, 128, generator=torch.Generator().manual_seed(0)) * 0.1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("precision", "off"), [("nf4", 0.12), ("int8", 0.03)])
def test_a_layer_computes_with_its_weight_and_bias(weight: torch.Tensor, precision: str, off: float) -> None:
    needs_library()
    bias = torch.nn.Parameter(torch.randn(96).bfloat16(), requires_grad=False)
    layer = linear(weight, bias, precision, "cpu")
    x = torch.randn(5, 128, generator=torch.Generator().manual_seed(1)).bfloat16()
    expected = x.float() @ weight.T + bias.float()
    with torch.inference_mode():
        y = layer(x).float()
    assert y.shape == (5, 96)
    assert float((y - expected).square().mean().sqrt() / expected.std()) < off


def test_nf4_takes_half_a_byte_a_weight(weight: torch.Tensor) -> None:
    needs_library()
    layer = linear(weight, None, "nf4", "cpu")
    assert layer.get_parameter("weight").nbytes == weight.numel() // 2
    assert layer.size == weight.numel()


def test_without_the_library_one_sentence_says_what_to_install(
    weight: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(EngineError, match="need bitsandbytes, which is not installed"):
        linear(weight, None, "nf4", "cuda")


def test_on_a_gpu_the_vocabulary_stays_plain(tmp_path: Path) -> None:
    model = loaded(write_tiny(tmp_path / "tiny", hidden_size=64)).model
    plan = schemes(model, "nf4", {101}, "cuda")
    assert plan["model.layers.0.mlp.up_proj.weight"].bits == 4
    assert (plan["lm_head.weight"].bits, plan["model.embed_tokens.weight"].bits) == (0, 0)


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "off"), [("nf4", 0.5), ("int8", 0.1), ("bf16", 0.05)])
def test_a_model_on_a_gpu_is_near_the_one_on_the_cpu(assets: Path, precision: str, off: float) -> None:
    needs_library()
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU here")
    ids = torch.randint(3, 300, (1, 40), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = loaded(assets / "models" / "companion", precision="fp32").model(ids)
        found = loaded(assets / "models" / "companion", device="cuda", precision=precision)
        logits = found.model(ids.cuda()).cpu()
    assert found.precision == precision
    assert float((logits - expected).square().mean().sqrt() / expected.std()) < off
