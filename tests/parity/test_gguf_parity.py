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
from gguf_models import SIZES, VARIANTS, random_bert, random_model, random_t5, written
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

UNREAD = {"mixtral", "mixtral, tied", "gpt_neox", "gpt_neox, parallel", "falcon, a key a head", "falcon, grouped"}
"""What transformers' loader does not know, or of Falcon does not bring back into order; llama.cpp reads these too."""


@torch.inference_mode()
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_gguf_gives_the_logits_of_the_model_it_was_written_from(tmp_path: Path, variant: str) -> None:
    theirs = random_model(variant)
    model = loaded(written(tmp_path / "tiny.gguf", theirs)).model
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
    theirs = random_t5(**changes)
    found = loaded(write_gguf(tmp_path / "tiny.gguf", theirs))
    model = found.model
    assert isinstance(model, Seq2Seq) and (found.kind, found.start_id) == ("encoder-decoder", 0)
    source, target = torch.arange(1, 31)[None], torch.arange(40, 60)[None]
    logits = model.decode(target, model.encode(source))
    torch.testing.assert_close(logits, theirs(input_ids=source, decoder_input_ids=target).logits, **TOLERANCE)


@torch.inference_mode()
def test_a_gguf_of_bert_gives_the_states_of_its_model(tmp_path: Path) -> None:
    theirs = random_bert()
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
@pytest.mark.parametrize("variant", sorted(VARIANTS.keys() - UNREAD))
def test_transformers_reads_the_same_from_the_same_file(tmp_path: Path, variant: str) -> None:
    path = written(tmp_path / "tiny.gguf", random_model(variant))
    theirs = random_model(variant, seed=1)
    found = load_gguf_checkpoint(path, return_tensors=True, model_to_load=theirs)["tensors"]
    missing, unknown = theirs.load_state_dict(found, strict=False)
    assert not unknown and set(missing) <= {"lm_head.weight"}
    model = loaded(path).model
    ids = ids_of(model, 40)
    torch.testing.assert_close(model(ids), theirs(ids).logits, **TOLERANCE)


@torch.inference_mode()
def test_transformers_reads_the_same_t5_from_the_same_file(tmp_path: Path) -> None:
    changes = {
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
        "num_layers": 3,
        "num_decoder_layers": 2,
    }
    path = written(tmp_path / "tiny.gguf", random_t5(**changes))
    theirs = random_t5(seed=1, **changes)
    found = load_gguf_checkpoint(path, return_tensors=True, model_to_load=theirs)["tensors"]
    missing, unknown = theirs.load_state_dict(found, strict=False)
    assert not unknown and set(missing) <= {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}
    model = loaded(path).model
    assert isinstance(model, Seq2Seq)
    source, target = torch.arange(1, 31)[None], torch.arange(40, 60)[None]
    logits = model.decode(target, model.encode(source))
    torch.testing.assert_close(logits, theirs(input_ids=source, decoder_input_ids=target).logits, **TOLERANCE)


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
        ("babyllama-361", "babyllama-361-q8_0", "int8"),
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
