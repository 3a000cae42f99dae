"""Mixtures of experts as transformers 5 writes them, each layer's experts in two tensors, and as it did before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import loaded
from decoders import TOLERANCE, ids_of
from safetensors.torch import load_file, save_file

from engine.errors import BadModelFiles
from engine.loading.catalog import inspect

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

SIZES: dict[str, Any] = {
    "hidden_size": 36, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 3,
    "num_key_value_heads": 1, "vocab_size": 131, "max_position_embeddings": 64, "initializer_range": 0.2,
    "pad_token_id": None, "bos_token_id": None, "eos_token_id": None, "tie_word_embeddings": False,
}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    "mixtral": {"num_local_experts": 5, "num_experts_per_tok": 3},
    "qwen3_moe": {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 12},
}


def written(folder: Path, family: str, original: bool) -> Any:
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(family, **SIZES, **FAMILIES[family])
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    model.save_pretrained(folder, save_original_format=original)
    return model


@torch.inference_mode()
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("original", [False, True])
def test_experts_in_one_tensor_or_apart_give_the_logits_of_the_reference(
    tmp_path: Path, family: str, original: bool
) -> None:
    theirs = written(tmp_path, family, original)
    stacked = [name for name in load_file(tmp_path / "model.safetensors") if name.endswith(".experts.gate_up_proj")]
    assert len(stacked) == (0 if original else 2)
    model = loaded(tmp_path).model
    ids = ids_of(model, 40)
    torch.testing.assert_close(model(ids), theirs(ids).logits, **TOLERANCE)
    assert inspect(str(tmp_path)).parameters == sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((5, 25, 36), "hold model.layers.0.mlp.experts.gate_up_proj|lack"),
        ((4, 24, 36), r"lack .*experts\.4\.gate_proj"),
    ],
)
def test_experts_of_another_shape_or_number_are_named(tmp_path: Path, shape: tuple[int, ...], said: str) -> None:
    written(tmp_path, "qwen3_moe", original=False)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["model.layers.0.mlp.experts.gate_up_proj"] = torch.zeros(shape)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(BadModelFiles, match=said):
        loaded(tmp_path)
