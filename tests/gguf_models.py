"""Tiny random models of every GGUF architecture, and how to write their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from ggufs import write_gguf

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
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16}
LAYERED = {
    "full_attention": {"rope_type": "linear", "rope_theta": 1000000.0, "factor": 8.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
}
GEMMA3 = {
    **GROUPED, "num_hidden_layers": 7, "head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 11
}  # fmt: skip
PARTIAL = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.75}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {"tie_word_embeddings": False}),
    "llama, grouped, tied, linear": ("llama", {**GROUPED, "tie_word_embeddings": True, "rope_parameters": LINEAR}),
    "llama, biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama, yarn": ("llama", {"rope_parameters": YARN}),
    "llama, wide heads": ("llama", {"head_dim": 64}),
    "qwen2": ("qwen2", {**GROUPED}),
    "qwen2, yarn": ("qwen2", {**GROUPED, "rope_parameters": YARN}),
    "qwen3": ("qwen3", {"head_dim": 32, "tie_word_embeddings": True}),
    "mixtral": ("mixtral", {**GROUPED, "num_local_experts": 5, "num_experts_per_tok": 3}),
    "mixtral, tied": ("mixtral", {"num_local_experts": 3, "num_experts_per_tok": 2, "tie_word_embeddings": True}),
    "qwen3_moe": ("qwen3_moe", {"head_dim": 32, "num_experts": 4, "num_experts_per_tok": 2,
                                "moe_intermediate_size": 32, "norm_topk_prob": True}),
    "gemma2": ("gemma2", {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 11}),
    "gemma2, other caps": (
        "gemma2", {"head_dim": 32, "query_pre_attn_scalar": 32, "attn_logit_softcapping": 20.0,
                   "final_logit_softcapping": 5.0}
    ),
    "gemma3": ("gemma3_text", GEMMA3),
    "gemma3, linear": ("gemma3_text", {**GEMMA3, "rope_parameters": LAYERED}),
    "phi3": ("phi3", {**PHI, "sliding_window": 11, "original_max_position_embeddings": 64}),
    "phi3, longrope": ("phi3", {**PHI, "rope_parameters": LONGROPE}),
    "phi3, longrope, short text": (
        "phi3", {**PHI, "max_position_embeddings": 2048, "original_max_position_embeddings": 512,
                 "rope_parameters": LONGROPE}
    ),
    "phi3, partial": ("phi3", {**PHI, "original_max_position_embeddings": 64, "rope_parameters": PARTIAL}),
    "gpt2": ("gpt2", {"num_key_value_heads": None, "n_inner": 64}),
    "gpt_neox": ("gpt_neox", {"num_key_value_heads": None, "use_parallel_residual": False}),
    "gpt_neox, parallel": ("gpt_neox", {"num_key_value_heads": None, "rotary_pct": 0.5}),
    "bloom": ("bloom", {"num_key_value_heads": None, "intermediate_size": None}),
    "falcon": ("falcon", {**FALCON}),
    "falcon, a key a head": ("falcon", {**FALCON, "multi_query": False}),
    "falcon, grouped": (
        "falcon", {**FALCON, "num_attention_heads": 6, "num_kv_heads": 2, "new_decoder_architecture": True}
    ),
}  # fmt: skip


def random_model(variant: str, seed: int = 0) -> Any:
    """A decoder; biases and norms begin as constants, which would hide them, so they are random too."""
    import transformers  # a test extra: absent from a plain installation

    family, changes = VARIANTS[variant]
    values = {key: value for key, value in {**SIZES, **changes}.items() if value is not None}
    config = transformers.AutoConfig.for_model(family, **values)
    torch.manual_seed(seed)
    return _unhidden(transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager"))


def _unhidden(model: Any) -> Any:
    for name, weight in model.named_parameters():
        if weight.ndim == 1:
            one = any(part in name for part in ("norm", ".ln_", "Norm")) and name.endswith("weight")
            torch.nn.init.normal_(weight, float(one), 0.3)
    return model.eval()


def random_t5(seed: int = 0, **changes: Any) -> Any:
    import transformers

    sizes = {"num_layers": 2, "num_decoder_layers": 3} | changes
    config = transformers.T5Config(
        vocab_size=131, d_model=96, d_kv=32, d_ff=64, num_heads=3,
        relative_attention_num_buckets=10, decoder_start_token_id=0, **sizes,
    )  # fmt: skip
    torch.manual_seed(seed)
    return _unhidden(transformers.T5ForConditionalGeneration(config))


def random_bert() -> Any:
    """Without a head: a GGUF file holds none."""
    import transformers

    sizes = {key: value for key, value in SIZES.items() if key not in ("num_key_value_heads", "pad_token_id")}
    torch.manual_seed(0)
    return _unhidden(transformers.BertModel(transformers.BertConfig(**sizes, type_vocab_size=3)))


def written(path: Path, model: Any) -> Path:
    """The model's file, its lists of rotary factors as tensors."""
    rope = model.config.to_dict().get("rope_parameters") or {}
    lists = {name: np.array(rope[f"{name}_factor"]) for name in ("short", "long") if f"{name}_factor" in rope}
    return write_gguf(path, model, **{f"rope_factors_{name}": values for name, values in lists.items()})
