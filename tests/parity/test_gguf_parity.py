"""GGUF files beside transformers: the model they were written from, and transformers' own reading of the same file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from checkpoints import loaded
from decoders import TOLERANCE, greedy, ids_of
from gguf import GGMLQuantizationType, GGUFWriter
from ggufs import write_gguf

from engine.errors import UnsupportedModel
from engine.gguf import GGUF
from engine.loading.architectures import ARCHITECTURES
from engine.loading.gguf import KINDS, GGUFWeights
from engine.models.base import Encoder, Seq2Seq
from engine.models.gemma2 import Config as Gemma2Config

transformers = pytest.importorskip("transformers")
load_gguf_checkpoint = pytest.importorskip("transformers.modeling_gguf_pytorch_utils").load_gguf_checkpoint
pytestmark = pytest.mark.parity

# Rows of whole blocks of 32, and yet three query heads to one kv head, and an odd vocabulary.
SIZES: dict[str, Any] = {
    "hidden_size": 96,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "vocab_size": 131,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
GROUPED = {"num_attention_heads": 6, "num_key_value_heads": 2}
FALCON = {"intermediate_size": None, "ffn_hidden_size": 64, "num_key_value_heads": None}
PHI = {"original_max_position_embeddings": 16, "pad_token_id": 0}
LINEAR = {"rope_type": "linear", "rope_theta": 300.0, "factor": 2.5}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0 + n / 10 for n in range(16)],
    "long_factor": [1.5 + n for n in range(16)],
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {"tie_word_embeddings": False}),
    "llama, grouped, tied, linear": ("llama", {**GROUPED, "tie_word_embeddings": True, "rope_parameters": LINEAR}),
    "llama, biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "qwen2": ("qwen2", {**GROUPED}),
    "qwen3": ("qwen3", {"head_dim": 32, "tie_word_embeddings": True}),
    "mixtral": ("mixtral", {**GROUPED, "num_local_experts": 5, "num_experts_per_tok": 3}),
    "qwen3_moe": ("qwen3_moe", {"head_dim": 32, "num_experts": 4, "num_experts_per_tok": 2,
                                "moe_intermediate_size": 32, "norm_topk_prob": True}),
    "gemma2": ("gemma2", {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 11}),
    "gemma3": ("gemma3_text", {**GROUPED, "num_hidden_layers": 7, "head_dim": 32, "query_pre_attn_scalar": 32,
                               "sliding_window": 11}),
    "phi3": ("phi3", {**PHI, "sliding_window": 11, "original_max_position_embeddings": 64}),
    "phi3, longrope": ("phi3", {**PHI, "rope_parameters": LONGROPE}),
    "gpt2": ("gpt2", {"num_key_value_heads": None, "n_inner": 64}),
    "gpt_neox": ("gpt_neox", {"num_key_value_heads": None, "use_parallel_residual": False}),
    "gpt_neox, parallel": ("gpt_neox", {"num_key_value_heads": None, "rotary_pct": 0.5}),
    "bloom": ("bloom", {"num_key_value_heads": None, "intermediate_size": None}),
    "falcon": ("falcon", {**FALCON}),
    "falcon, grouped": (
        "falcon", {**FALCON, "num_attention_heads": 6, "num_kv_heads": 2, "new_decoder_architecture": True}
    ),
}  # fmt: skip
READ_BY_TRANSFORMERS = ("llama", "llama, grouped, tied, linear", "qwen2", "qwen3", "gemma2", "gpt2", "bloom", "phi3")


def random_model(variant: str, seed: int = 0) -> Any:
    family, changes = VARIANTS[variant]
    values = {key: value for key, value in {**SIZES, **changes}.items() if value is not None}
    config = transformers.AutoConfig.for_model(family, **values)
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    for name, weight in model.named_parameters():
        if weight.ndim == 1:
            torch.nn.init.normal_(weight, float("norm" in name or ".ln_" in name) * name.endswith("weight"), 0.3)
    return model


@torch.inference_mode()
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_gguf_gives_the_logits_of_the_model_it_was_written_from(tmp_path: Path, variant: str) -> None:
    theirs = random_model(variant)
    rope = theirs.config.to_dict().get("rope_parameters") or {}
    lists = {name: np.array(rope[f"{name}_factor"]) for name in ("short", "long") if f"{name}_factor" in rope}
    extra = {f"rope_factors_{name}": values for name, values in lists.items()}
    path = write_gguf(tmp_path / "tiny.gguf", theirs, **extra)
    model = loaded(path).model
    ids = ids_of(model, 40)
    torch.testing.assert_close(model(ids), theirs(ids).logits, **TOLERANCE)


@torch.inference_mode()
@pytest.mark.parametrize("variant", ["mixtral", "qwen3_moe"])
def test_experts_that_lie_one_by_one_are_read_as_those_in_one_tensor(tmp_path: Path, variant: str) -> None:
    theirs = random_model(variant)
    model = loaded(write_gguf(tmp_path / "tiny.gguf", theirs, stacked=False)).model
    assert "blk.1.ffn_down.3.weight" in GGUF(tmp_path / "tiny.gguf").tensors
    ids = ids_of(model, 40)
    torch.testing.assert_close(model(ids), theirs(ids).logits, **TOLERANCE)


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0"])
def test_quantised_experts_are_what_the_file_says(tmp_path: Path, kind: str) -> None:
    theirs = random_model("mixtral")
    model = loaded(write_gguf(tmp_path / "tiny.gguf", theirs, kind), precision="fp32").model
    ids = ids_of(model, 40)
    torch.testing.assert_close(model(ids), theirs(ids).logits, **TOLERANCE)


def test_gates_and_ups_of_experts_in_one_tensor_are_told_apart(tmp_path: Path) -> None:
    both = np.arange(2 * 6 * 32, dtype=np.float32).reshape(2, 6, 32)
    writer = GGUFWriter(tmp_path / "one.gguf", "llama")
    writer.add_tensor("blk.0.ffn_gate_up_exps.weight", both)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    weights = GGUFWeights(GGUF(tmp_path / "one.gguf"), ARCHITECTURES["qwen3moe"], {})
    found = {entry.name: tensor.numpy() for entry, tensor in weights.read(list(weights.entries))}
    assert sorted(found) == [f"blk.0.ffn_{part}.{expert}.weight" for part in ("gate", "up") for expert in (0, 1)]
    for expert in (0, 1):
        np.testing.assert_array_equal(found[f"blk.0.ffn_gate.{expert}.weight"], both[expert, :3])
        np.testing.assert_array_equal(found[f"blk.0.ffn_up.{expert}.weight"], both[expert, 3:])


@torch.inference_mode()
def test_a_gemma2_file_of_the_first_weeks_has_the_caps_of_its_family(tmp_path: Path) -> None:
    theirs = random_model("gemma2")
    assert (theirs.config.attn_logit_softcapping, theirs.config.final_logit_softcapping) == (50.0, 30.0)
    theirs.config.attn_logit_softcapping = theirs.config.final_logit_softcapping = None
    write_gguf(tmp_path / "tiny.gguf", theirs)
    assert not [key for key in GGUF(tmp_path / "tiny.gguf").metadata if "softcapping" in key]
    config = loaded(tmp_path / "tiny.gguf").config
    assert isinstance(config, Gemma2Config) and (config.score_cap, config.logit_cap) == (50.0, 30.0)


@torch.inference_mode()
@pytest.mark.parametrize("changes", [{}, {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}])
def test_a_gguf_of_t5_gives_the_logits_of_its_model(tmp_path: Path, changes: dict[str, Any]) -> None:
    config = transformers.T5Config(
        vocab_size=131, d_model=96, d_kv=32, d_ff=64, num_layers=2, num_decoder_layers=3, num_heads=3,
        relative_attention_num_buckets=10, decoder_start_token_id=0, **changes,
    )  # fmt: skip
    torch.manual_seed(0)
    theirs = transformers.T5ForConditionalGeneration(config).eval()
    found = loaded(write_gguf(tmp_path / "tiny.gguf", theirs))
    model = found.model
    assert isinstance(model, Seq2Seq) and (found.kind, found.start_id) == ("encoder-decoder", 0)
    source, target = torch.arange(1, 31)[None], torch.arange(40, 60)[None]
    logits = model.decode(target, model.encode(source))
    torch.testing.assert_close(logits, theirs(input_ids=source, decoder_input_ids=target).logits, **TOLERANCE)


@torch.inference_mode()
def test_a_gguf_of_bert_gives_the_states_of_its_model(tmp_path: Path) -> None:
    sizes = {key: value for key, value in SIZES.items() if key not in ("num_key_value_heads", "pad_token_id")}
    torch.manual_seed(0)
    theirs = transformers.BertModel(transformers.BertConfig(**sizes, type_vocab_size=3)).eval()
    found = loaded(write_gguf(tmp_path / "tiny.gguf", theirs))
    model = found.model
    assert isinstance(model, Encoder) and (found.kind, model.config.use) == ("encoder", "embed")
    ids = torch.arange(1, 31)[None]
    torch.testing.assert_close(model(ids), theirs(ids).last_hidden_state, **TOLERANCE)


@torch.inference_mode()
def test_llama3_scaling_is_known_by_its_factors_and_other_factors_are_refused(tmp_path: Path) -> None:
    rope = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0}
    rope |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    config = transformers.LlamaConfig(**{**SIZES, "rope_parameters": rope})
    torch.manual_seed(0)
    theirs = transformers.LlamaForCausalLM(config).eval()
    plain = 500000.0 ** -(np.arange(0, 32, 2) / 32)
    factors = plain / theirs.model.rotary_emb.inv_freq.numpy()
    model = loaded(write_gguf(tmp_path / "tiny.gguf", theirs, rope_freqs=factors)).model
    ids = ids_of(model, 60)
    torch.testing.assert_close(model(ids), theirs(ids).logits, **TOLERANCE)
    with pytest.raises(UnsupportedModel, match="factors"):
        loaded(write_gguf(tmp_path / "other.gguf", theirs, rope_freqs=factors**2))


@torch.inference_mode()
@pytest.mark.parametrize("variant", READ_BY_TRANSFORMERS)
def test_transformers_reads_the_same_from_the_same_file(tmp_path: Path, variant: str) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", random_model(variant))
    theirs = random_model(variant, seed=1)
    found = load_gguf_checkpoint(path, return_tensors=True, model_to_load=theirs)["tensors"]
    missing, unknown = theirs.load_state_dict(found, strict=False)
    assert not unknown and set(missing) <= {"lm_head.weight"}
    model = loaded(path).model
    ids = ids_of(model, 40)
    torch.testing.assert_close(model(ids), theirs(ids).logits, **TOLERANCE)


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_quantised_weights_are_what_the_file_says(tmp_path: Path, kind: str) -> None:
    theirs = random_model("llama, grouped, tied, linear")
    model = loaded(write_gguf(tmp_path / "tiny.gguf", theirs, kind), precision="fp32").model
    ids = ids_of(model, 40)
    torch.testing.assert_close(model(ids), theirs(ids).logits, **TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_format_is_dequantised_as_the_library_does(tmp_path: Path, kind: str) -> None:
    number = GGMLQuantizationType[kind]
    block, size = gguf.GGML_QUANT_SIZES[number]
    packed = np.random.default_rng(0).integers(0, 256, (5, 512 // block * size), np.uint8)
    if block > 1:  # exponents from the middle of fp16's: no infinity
        packed = packed & np.where(np.arange(packed.shape[1]) % 2, 0xBF, 0xFF).astype(np.uint8)
    else:
        packed = gguf.quantize(np.linspace(-3, 3, 5 * 512, dtype=np.float32).reshape(5, 512), number).view(np.uint8)
    path = tmp_path / "one.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_tensor("token_embd.weight", packed, raw_dtype=number)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    with np.errstate(all="ignore"):
        expected, found = gguf.dequantize(packed, number), GGUF(path).floats("token_embd.weight")
    assert found.shape == (5, 512) and found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_a_number_format_that_is_not_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "one.gguf"
    writer = GGUFWriter(path, "gpt2")
    for name in ("embedding_length", "block_count", "context_length", "feed_forward_length"):
        writer.add_uint32(f"gpt2.{name}", 256)
    writer.add_head_count(1)
    writer.add_layer_norm_eps(1e-5)
    packed = np.zeros((5, 136), np.uint8)
    writer.add_tensor("token_embd.weight", packed, raw_dtype=GGMLQuantizationType.IQ4_XS)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    with pytest.raises(UnsupportedModel, match="IQ4_XS"):
        loaded(path)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("model", "file", "kind"),
    [
        ("stories260K", "stories260K-f32", "fp32"),
        ("stories260K", "stories260K-f16", "fp16"),
        ("babyllama-361", "babyllama-361-q8_0", "bf16"),
    ],
)
def test_real_files_write_the_published_stories(references: Path, model: str, file: str, kind: str) -> None:
    place = references / "models" / model
    found = loaded(place / "gguf" / f"{file}.gguf", precision="fp32")
    case = json.loads((place / "expected.json").read_text("utf-8"))["greedy_fp32_cpu"][0]
    prompt, expected = case["prompt_ids"], case["greedy_ids"]
    written = greedy(found.model, torch.tensor([prompt]), len(expected) - len(prompt))
    assert [*prompt, *written] == expected
    assert loaded(place / "gguf" / f"{file}.gguf").precision in (kind, "fp32")
    assert found.eos_ids == (2,)
