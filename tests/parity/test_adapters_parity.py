"""LoRA adapters beside PEFT's own on transformers' models: every family, and each setting that changes the result."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import loaded
from decoder_variants import VARIANTS
from decoders import TOLERANCE, Pair, ids_of, written
from gguf_models import random_model
from gguf_models import written as written_gguf
from lora import adapted, products, write_adapter, write_files
from safetensors.torch import load_file

from engine.adapters.files import WEIGHTS
from engine.adapters.settings import CONFIG
from engine.models.base import Decoder, Encoder, Seq2Seq

transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
pytestmark = pytest.mark.parity

FAMILIES = {model_type: changes for model_type, changes in reversed(VARIANTS.values())}
"""One variant of each, the plainest."""

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
SETTINGS: dict[str, dict[str, Any]] = {
    "gpt2": {"fan_in_fan_out": True},
    # Their experts are no modules any more in transformers, but parameters of three dimensions.
    "mixtral": {"target_modules": ATTENTION},
    "qwen3_moe": {"target_modules": ATTENTION},
}
BART: dict[str, Any] = {
    "vocab_size": 131, "d_model": 36, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 3,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 53, "decoder_ffn_dim": 47, "max_position_embeddings": 48,
}  # fmt: skip
SEQ2SEQ: dict[str, dict[str, Any]] = {
    "T5": {"vocab_size": 131, "d_model": 36, "d_kv": 10, "d_ff": 53, "num_layers": 2, "num_heads": 3},
    "Bart": BART,
    "Marian": {**BART, "pad_token_id": 1},
    "Blenderbot": BART,
}
BERT: dict[str, Any] = {
    "vocab_size": 131, "hidden_size": 36, "intermediate_size": 53, "num_hidden_layers": 2, "num_attention_heads": 3,
    "max_position_embeddings": 48, "pad_token_id": 1,
}  # fmt: skip
ENCODERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "Bert": (BERT, ["query", "value", "intermediate.dense"]),
    "Roberta": (BERT, ["key", "output.dense"]),
    "DistilBert": (
        {"vocab_size": 131, "dim": 36, "hidden_dim": 53, "n_layers": 2, "n_heads": 3, "pad_token_id": 1},
        ["q_lin", "v_lin", "lin2"],
    ),
    "ModernBert": ({**BERT, "bos_token_id": 2, "eos_token_id": 3}, ["Wqkv", "Wo"]),
}


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def tiny(folder: Path, model_type: str) -> Pair:
    config = transformers.AutoConfig.for_model(model_type, **FAMILIES[model_type])
    config._experts_implementation = "eager"
    return written(folder, config, "sdpa" if FAMILIES[model_type].get("alibi") else "eager")


def saved(theirs: Any, folder: Path, **settings: Any) -> Any:
    """Transformers' model with a random adapter, which PEFT saves in the folder."""
    with torch.inference_mode(False):
        wrapped = peft.get_peft_model(theirs, peft.LoraConfig(**settings)).eval()
        source = torch.Generator().manual_seed(3)
        for name, weight in wrapped.named_parameters():
            if ".lora_" in name:
                weight.data = torch.randn(weight.shape, generator=source) * 0.3
        wrapped.save_pretrained(folder, save_embedding_layers=False)
    return wrapped


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_decoder_with_an_adapter_on_all_its_matrices_says_what_it_says_with_peft(
    tmp_path: Path, model_type: str
) -> None:
    pair = tiny(tmp_path / "tiny", model_type)
    settings = {"r": 3, "lora_alpha": 7, "target_modules": "all-linear", **SETTINGS.get(model_type, {})}
    theirs = saved(pair.theirs, tmp_path / "adapter", **settings)
    ids = ids_of(pair.ours, 20, batch=2)
    plain = pair.ours(ids)
    with adapted(pair.ours, (tmp_path / "adapter", 1.0)).in_place():
        found = pair.ours(ids)
    torch.testing.assert_close(found, theirs(ids).logits, **TOLERANCE)
    assert (found - plain).abs().max() > 0.1
    assert torch.equal(pair.ours(ids), plain)


@pytest.mark.parametrize(
    "settings",
    [
        {"use_rslora": True, "r": 5},
        {"rank_pattern": {"v_proj": 2, r"layers\.[01]\.self_attn\.q_proj": 6}, "r": 3},
        {"alpha_pattern": {r"^model\.layers\.1\..*": 2.5, "layers.0.self_attn.q_proj": 20}, "lora_alpha": 4},
        {"rank_pattern": {"q_proj": 5}, "alpha_pattern": {"v_proj": 32}, "use_rslora": True},
        {"layers_to_transform": [0, 2]},
        {"layers_to_transform": 1, "layers_pattern": "layers"},
        {"target_modules": r".*\.layers\.(0|2)\..*(q|down)_proj"},
        {"target_modules": "all-linear", "exclude_modules": ["k_proj", "layers.1.mlp.up_proj"]},
        {"target_modules": "all-linear", "exclude_modules": r".*\.mlp\..*"},
        {"target_modules": ["lm_head", "o_proj"]},
        {"init_lora_weights": "gaussian"},
    ],
    ids=lambda settings: ", ".join(settings),
)
def test_each_setting_means_what_it_means_to_peft(tmp_path: Path, settings: dict[str, Any]) -> None:
    pair = tiny(tmp_path / "tiny", "mistral")
    theirs = saved(pair.theirs, tmp_path / "adapter", **{"target_modules": ["q_proj", "v_proj"], **settings})
    ids = ids_of(pair.ours, 9)
    with adapted(pair.ours, (tmp_path / "adapter", 1.0)).in_place():
        torch.testing.assert_close(pair.ours(ids), theirs(ids).logits, **TOLERANCE)


def test_several_adapters_of_different_ranks_add_up_each_with_its_weight(tmp_path: Path) -> None:
    """Beside the dense sum: PEFT's add_weighted_adapter is another thing where ranks differ."""
    pair = tiny(tmp_path / "tiny", "mistral")
    first = write_adapter(tmp_path / "first", pair.ours, "q_proj", "down_proj", seed=1)
    second = write_adapter(tmp_path / "second", pair.ours, "q_proj", "o_proj", seed=2, r=2, lora_alpha=3.0)
    uses = ((first, 0.75, 8.0 / 4), (second, 1.5, 3.0 / 2))
    for folder, weight, scale in uses:
        for name, product in products(folder).items():
            pair.theirs.get_submodule(name).weight.data += weight * scale * product
    ids = ids_of(pair.ours, 20, batch=2)
    with adapted(pair.ours, *((folder, weight) for folder, weight, _ in uses)).in_place():
        torch.testing.assert_close(pair.ours(ids), pair.theirs(ids).logits, **TOLERANCE)


def test_experts_that_are_modules_of_their_own_take_adapters_of_the_time_when_they_were(tmp_path: Path) -> None:
    pair = tiny(tmp_path / "tiny", "mixtral")
    folder = write_adapter(tmp_path / "adapter", pair.ours, "gate_proj", "up_proj", "down_proj", "v_proj")
    kept, config = load_file(folder / WEIGHTS), json.loads((folder / CONFIG).read_text("utf-8"))
    old = {"mlp.experts": "block_sparse_moe.experts", "gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}

    def renamed(name: str) -> str:
        for new, before in old.items():
            name = name.replace(new, before)
        return name

    write_files(
        folder,
        {**config, "target_modules": ["w1", "w2", "w3", "v_proj"]},
        {renamed(name): tensor for name, tensor in kept.items()},
    )
    ids = ids_of(pair.ours, 20)
    with adapted(pair.ours, (folder, 1.0)).in_place():
        found = pair.ours(ids)
    for name, product in products(write_files(tmp_path / "new", config, kept)).items():
        pair.ours.get_submodule(name).weight.data += 2.0 * product
    torch.testing.assert_close(found, pair.ours(ids), **TOLERANCE)


@pytest.mark.parametrize("family", SEQ2SEQ)
def test_an_encoder_decoder_says_what_it_says_with_peft(tmp_path: Path, family: str) -> None:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SEQ2SEQ[family], decoder_start_token_id=2)
    head = "MTModel" if family == "Marian" else "ForConditionalGeneration"
    theirs = getattr(transformers, family + head)(config).eval()
    theirs.save_pretrained(tmp_path / "tiny")
    ours = loaded(tmp_path / "tiny").model
    assert isinstance(ours, Seq2Seq)
    theirs = saved(theirs, tmp_path / "adapter", r=3, target_modules="all-linear")
    source, target = torch.randint(0, 131, (2, 12)), torch.randint(0, 131, (2, 7))
    with adapted(ours, (tmp_path / "adapter", 1.0)).in_place():
        found = ours.decode(target, ours.encode(source))
    expected = theirs(input_ids=source, decoder_input_ids=target).logits
    torch.testing.assert_close(found, expected, **TOLERANCE)


@pytest.mark.parametrize("head", ["ForMaskedLM", "Model"])
@pytest.mark.parametrize("family", ENCODERS)
def test_an_encoder_says_what_it_says_with_peft(tmp_path: Path, family: str, head: str) -> None:
    torch.manual_seed(0)
    config, targets = ENCODERS[family]
    theirs = getattr(transformers, family + head)(getattr(transformers, f"{family}Config")(**config)).eval()
    theirs.save_pretrained(tmp_path / "tiny")
    ours = loaded(tmp_path / "tiny").model
    assert isinstance(ours, Encoder)
    theirs = saved(theirs, tmp_path / "adapter", r=3, target_modules=targets)
    ids = torch.randint(4, 131, (2, 12))
    with adapted(ours, (tmp_path / "adapter", 1.0)).in_place():
        states = ours(ids)
        found = states if head == "Model" else ours.fill(states)
    expected = theirs(ids)
    expected = expected.last_hidden_state if head == "Model" else expected.logits
    torch.testing.assert_close(found, expected, **TOLERANCE)


@pytest.mark.parametrize("variant", ["llama, grouped, tied, linear", "bloom", "falcon, grouped", "gpt2", "phi3"])
def test_a_model_from_a_gguf_file_takes_what_was_trained_on_its_folder(tmp_path: Path, variant: str) -> None:
    """Whose rows llama.cpp keeps in another order."""
    theirs = random_model(variant)
    ours = loaded(written_gguf(tmp_path / "tiny.gguf", theirs)).model
    assert isinstance(ours, Decoder)
    settings = SETTINGS.get(theirs.config.model_type, {})
    theirs = saved(theirs, tmp_path / "adapter", **{"r": 3, "target_modules": "all-linear", **settings})
    ids = ids_of(ours, 20)
    with adapted(ours, (tmp_path / "adapter", 1.0)).in_place():
        torch.testing.assert_close(ours(ids), theirs(ids).logits, **TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_released_model_says_what_it_says_with_peft(tmp_path: Path, assets: Path, dtype: torch.dtype) -> None:
    folder = assets / "models" / "companion"
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    theirs = saved(theirs, tmp_path / "adapter", r=8, target_modules=["q_proj", "v_proj", "up_proj"])
    ours = loaded(folder, precision="fp32" if dtype is torch.float32 else "bf16").model
    ids = ids_of(ours, 40)
    with adapted(ours, (tmp_path / "adapter", 1.0)).in_place():
        found = ours(ids)
    expected, near = theirs(ids).logits.float(), 1e-3 if dtype is torch.float32 else 0.05
    assert (found - expected).square().mean().sqrt() < near * expected.std()
