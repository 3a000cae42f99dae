"""GGUF files of tiny random models, written as llama.cpp's converter writes those of real ones.

What the converter changes is written out here once more, in its direction, so that undoing is compared with doing it.
Source: llama.cpp's convert_hf_to_gguf.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.constants import GGUFValueType

NAMES = {"gpt_neox": "gptneox", "gemma3_text": "gemma3", "mixtral": "llama", "qwen3_moe": "qwen3moe"}
TRANSPOSED = ("attn_qkv.weight", "attn_output.weight", "ffn_up.weight", "ffn_down.weight")


def write_gguf(path: Path, model: Any, kind: str = "F32", stacked: bool = True, **extra: np.ndarray) -> Path:
    """A transformers model as a GGUF file, its matrices in the number format kind; extra: tensors of the config.

    stacked: whether the experts of a layer lie in one tensor, as in files since April 2024. The vocabulary is said to
    be none. The model's weights become what the file holds, so that both sides compute with the same numbers.
    """
    config = model.config
    name, number = NAMES.get(config.model_type, config.model_type), GGMLQuantizationType[kind]
    writer = GGUFWriter(path, name)
    _describe(writer, config)
    architecture = next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == name)
    table = gguf.get_tensor_name_map(architecture, 2 * config.num_hidden_layers)
    # transformers 5 calls every T5 tied, and says apart whether its head is.
    tied = config.tie_word_embeddings and getattr(config, "scale_decoder_outputs", True)
    for key, array in extra.items():
        writer.add_tensor(f"{key}.weight", array.astype(np.float32))
    for key, weight in _matrices(model.state_dict()):
        if key in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight"):  # T5's, the same as shared
            continue
        if key in ("lm_head.weight", "embed_out.weight") and tied:
            continue
        if key.startswith("pooler."):
            continue
        stem, _, end = key.rpartition(".")
        found = table.get_name(stem) or table.get_name(stem.partition(".")[2])
        assert found, key
        written = f"{found}.{end}"
        if weight.ndim == 3 and not stacked:
            for expert, part in enumerate(weight.numpy()):
                name_of_old = written.replace("_exps", f".{expert}")
                writer.add_tensor(name_of_old, gguf.quantize(part, number), raw_dtype=number)
            continue
        transposed = name == "gpt2" and written.endswith(TRANSPOSED)
        array = (weight.T if transposed else weight).contiguous().numpy()
        if weight.ndim > 1:
            array = gguf.quantize(array, number)
            back = torch.from_numpy(np.array(gguf.dequantize(array, number)))
            weight.copy_(back.T if transposed else back)
        elif name.startswith("gemma") and written.endswith("norm.weight"):
            array = array + 1
        rows = _rows(name, written, len(array), config)
        array = array if rows is None else array[rows]
        writer.add_tensor(written, array, raw_dtype=number if weight.ndim > 1 else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def split(whole: Path, folder: Path, tensors: int) -> list[Path]:
    """The file in parts of so many tensors each, as the library's own writer makes them."""
    writer = GGUFWriter(folder / "story.gguf", "llama", split_max_tensors=tensors)
    reader = GGUFReader(whole)
    for key, field in reader.fields.items():
        if not key.startswith("GGUF.") and key != "general.architecture":
            kind = field.types[0]
            inner = field.types[1] if kind == GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), kind, inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, np.array(tensor.data), raw_dtype=tensor.tensor_type)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    return sorted(folder.glob("*.gguf"))


def _matrices(tensors: dict[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a model by name; of the experts, which transformers holds as one of gates and ups, either part."""
    for key, weight in tensors.items():
        stem, _, end = key.rpartition(".")
        if end == "gate_up_proj":
            gate, up = weight.chunk(2, 1)
            yield f"{stem}.gate_proj.weight", gate
            yield f"{stem}.up_proj.weight", up
        else:
            yield f"{key}.weight" if weight.ndim == 3 else key, weight


def _rows(name: str, written: str, count: int, config: Any) -> np.ndarray | None:
    """The order that the converter brings a tensor's rows into."""
    H = config.num_attention_heads
    if name == "llama" and (".attn_q." in written or ".attn_k." in written):
        K = H if ".attn_q." in written else config.num_key_value_heads
        return np.arange(count).reshape(K, 2, -1).swapaxes(1, 2).ravel()
    if name in ("bloom", "gptneox") and ".attn_qkv." in written:
        return np.arange(count).reshape(H, 3, -1).swapaxes(0, 1).ravel()
    if name == "falcon" and ".attn_qkv." in written:
        K = config.num_kv_heads if config.new_decoder_architecture else 1 if config.multi_query else H
        order = np.arange(count).reshape(K, H // K + 2, -1)
        return np.concatenate((order[:, :-2].ravel(), order[:, -2].ravel(), order[:, -1].ravel()))
    return None


def _describe(writer: GGUFWriter, config: Any) -> None:
    """The config's values under GGUF's keys; a key is written where the converter of the family writes it."""
    if config.model_type == "t5":
        writer.add_decoder_block_count(config.num_decoder_layers)
        writer.add_key_length(config.d_kv)
        writer.add_value_length(config.d_kv)
        writer.add_relative_attn_buckets_count(config.relative_attention_num_buckets)
        writer.add_layer_norm_rms_eps(config.layer_norm_epsilon)
        writer.add_decoder_start_token_id(config.decoder_start_token_id)
    if config.model_type == "bert":
        writer.add_token_type_count(config.type_vocab_size)
        writer.add_causal_attention(False)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    values = config.to_dict()
    writer.add_embedding_length(config.hidden_size)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("none")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_context_length(getattr(config, "max_position_embeddings", None) or 64)
    hidden = (values.get(key) for key in ("d_ff", "intermediate_size", "n_inner", "ffn_hidden_size"))
    writer.add_feed_forward_length(next(filter(None, hidden), 4 * config.hidden_size))
    if values.get("rms_norm_eps"):
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    else:
        writer.add_layer_norm_eps(values.get("layer_norm_eps") or config.layer_norm_epsilon)
    if config.model_type == "falcon":
        grouped = config.num_kv_heads if config.new_decoder_architecture else config.num_attention_heads
        writer.add_head_count_kv(1 if config.multi_query and not config.new_decoder_architecture else grouped)
    elif values.get("num_key_value_heads"):
        writer.add_head_count_kv(config.num_key_value_heads)
    if values.get("num_local_experts"):
        writer.add_expert_count(values["num_local_experts"])
        writer.add_expert_used_count(config.num_experts_per_tok)
    if values.get("moe_intermediate_size"):
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    if config.model_type in ("llama", "mixtral", "qwen2", "qwen3", "qwen3_moe", "gemma2", "gemma3_text"):
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    rope = values.get("rope_parameters") or {}
    if config.model_type == "gemma3_text":
        rope = rope["full_attention"]
    if rope:
        writer.add_rope_freq_base(rope["rope_theta"])
        writer.add_rope_dimension_count(int(head_dim * rope.get("partial_rotary_factor", 1.0)))
    if rope.get("rope_type") in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope["rope_type"]))
        writer.add_rope_scaling_factor(rope["factor"])
    if rope.get("rope_type") == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if config.model_type == "phi3":
        first = config.original_max_position_embeddings
        writer.add_rope_scaling_orig_ctx_len(first)
        if rope.get("rope_type") == "longrope":
            stretch = config.max_position_embeddings / first
            writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(stretch) / math.log(first)))
    for key, add in (
        ("sliding_window", writer.add_sliding_window),
        ("attn_logit_softcapping", writer.add_attn_logit_softcapping),
        ("final_logit_softcapping", writer.add_final_logit_softcapping),
        ("use_parallel_residual", writer.add_parallel_residual),
    ):
        if values.get(key) is not None and config.model_type != "qwen2":
            add(values[key])
