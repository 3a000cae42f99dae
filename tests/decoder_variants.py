"""Tiny decoders with awkward sizes, by name: a model_type of transformers and the values of its config.

Odd vocabularies, three query heads to one kv head, tied and untied, windows shorter than the text, dropout.
"""

from __future__ import annotations

from typing import Any

CONTEXT = 64
RANGE = {"initializer_range": 0.3}  # large enough that a mistake shows in the logits
LINEAR = {"rope_type": "linear", "rope_theta": 300.0, "factor": 2.5}
DROPOUT = {"attention_dropout": 0.1, "hidden_dropout": 0.1}
GPT2 = {
    "n_embd": 36, "n_layer": 3, "n_head": 3, "n_positions": CONTEXT, "vocab_size": 131, **RANGE,
}  # fmt: skip
NEO = {
    "hidden_size": 36, "num_layers": 3, "num_heads": 3, "max_position_embeddings": CONTEXT, "vocab_size": 131,
    "attention_types": [[["global", "local"], 1], [["local"], 1]], "window_size": 9, "initializer_range": 0.2,
    "attention_dropout": 0.1, "resid_dropout": 0.1, "embed_dropout": 0.1,
}  # fmt: skip
NEOX = {
    "hidden_size": 36, "intermediate_size": 53, "num_hidden_layers": 3, "num_attention_heads": 3,
    "max_position_embeddings": CONTEXT, "vocab_size": 131, **RANGE, **DROPOUT,
    "rope_parameters": {"rope_type": "default", "rope_theta": 300.0, "partial_rotary_factor": 0.5},
}  # fmt: skip
OPT = {
    "hidden_size": 36, "ffn_dim": 53, "num_hidden_layers": 3, "num_attention_heads": 3, "dropout": 0.1,
    "max_position_embeddings": CONTEXT, "vocab_size": 131, "init_std": 0.3,
}  # fmt: skip
NARROW = {"word_embed_proj_dim": 20, "do_layer_norm_before": False}
BARE = {"enable_bias": False, "layer_norm_elementwise_affine": False, "activation_function": "gelu"}
BLOOM = {
    "hidden_size": 36, "n_layer": 3, "n_head": 6, "seq_length": CONTEXT, "vocab_size": 131, **RANGE, **DROPOUT,
}  # fmt: skip
FALCON = {
    "hidden_size": 36, "num_hidden_layers": 3, "num_attention_heads": 6, "max_position_embeddings": CONTEXT,
    "vocab_size": 131, **RANGE, **DROPOUT,
}  # fmt: skip
# Twelve heads and more than 256 positions, so that the rounding of the slopes and of the products shows.
ALIBI = {"alibi": True, "num_attention_heads": 12, "max_position_embeddings": 300}
SERIAL = {"parallel_attn": False, "multi_query": False, "bias": True}
FALCON_GROUPED = {"new_decoder_architecture": True, "num_kv_heads": 2, "ffn_hidden_size": 53}

OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("gpt2", GPT2),
    "gpt2, scaled by layer": (
        "gpt2",
        {**GPT2, "scale_attn_by_inverse_layer_idx": True, "n_inner": 53, "reorder_and_upcast_attn": True},
    ),
    "gpt2, untied, unscaled": (
        "gpt2",
        {**GPT2, "tie_word_embeddings": False, "scale_attn_weights": False, "activation_function": "relu"},
    ),
    "gpt-neo": ("gpt_neo", NEO),
    "gpt-neo, untied": ("gpt_neo", {**NEO, "tie_word_embeddings": False, "intermediate_size": 53, "window_size": 70}),
    "gpt-neox": ("gpt_neox", NEOX),
    "gpt-neox, serial, tied": ("gpt_neox", {**NEOX, "use_parallel_residual": False, "tie_word_embeddings": True}),
    "gpt-neox, scaled, no biases": (
        "gpt_neox",
        {**NEOX, "attention_bias": False, "rope_parameters": {**LINEAR, "partial_rotary_factor": 1.0}},
    ),
    "opt 125m": ("opt", OPT),
    "opt 350m": ("opt", {**OPT, **NARROW}),
    "opt, untied, bare": ("opt", {**OPT, **BARE, "tie_word_embeddings": False}),
    "opt, no norm at the end": ("opt", {**OPT, "_remove_final_layer_norm": True}),
    "bloom": ("bloom", BLOOM),
    "bloom, untied, eight heads": ("bloom", {**BLOOM, "n_head": 8, "hidden_size": 40, "tie_word_embeddings": False}),
    "falcon 7b": ("falcon", FALCON),
    "falcon 40b": ("falcon", {**FALCON, **FALCON_GROUPED, "tie_word_embeddings": False}),
    "falcon 11b": ("falcon", {**FALCON, **FALCON_GROUPED, "num_ln_in_parallel_attn": 1}),
    "falcon rw": ("falcon", {**FALCON, **SERIAL, **ALIBI}),
    "falcon with alibi, multi-query, parallel": ("falcon", {**FALCON, **ALIBI}),
    "falcon scaled": ("falcon", {**FALCON, "rope_parameters": LINEAR, "multi_query": False}),
}

SIZES: dict[str, Any] = {
    "hidden_size": 36,
    "intermediate_size": 53,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "vocab_size": 131,
    "max_position_embeddings": CONTEXT,
    "attention_dropout": 0.1,
    "initializer_range": 0.2,  # large enough that a mistake shows in the logits
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
GROUPED = {"num_attention_heads": 6, "num_key_value_heads": 2}
WINDOW = {"sliding_window": 11}
LATE_WINDOW = {**WINDOW, "use_sliding_window": True, "max_window_layers": 1}
PHI = {"hidden_size": 48, "resid_pdrop": 0.1, "embd_pdrop": 0.1}
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0, 1.1, 1.3, 1.6, 2.0, 2.5, 3.1, 3.8],
    "long_factor": [1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0],
}
MOE = {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 17}
YARN = {"rope_type": "yarn", "rope_theta": 300.0, "factor": 4.0, "original_max_position_embeddings": 24}

KIN: dict[str, tuple[str, dict[str, Any]]] = {
    "mistral": ("mistral", {"sliding_window": None, "head_dim": 10}),
    "mistral, a window": ("mistral", {**WINDOW, **GROUPED, "tie_word_embeddings": True}),
    "qwen2": ("qwen2", {**WINDOW, "tie_word_embeddings": True}),
    "qwen2, a window, yarn": ("qwen2", {**LATE_WINDOW, **GROUPED, "rope_parameters": YARN}),
    "qwen3": ("qwen3", {"head_dim": 10, "tie_word_embeddings": True}),
    "qwen3, a window, biases": ("qwen3", {**LATE_WINDOW, **GROUPED, "head_dim": 14, "attention_bias": True}),
    "smollm3": ("smollm3", {"no_rope_layer_interval": 2}),
    "smollm3, a window, biases": (
        "smollm3",
        {
            **WINDOW,
            **GROUPED,
            "use_sliding_window": True,
            "no_rope_layers": [0, 1, 1],
            "attention_bias": True,
            "mlp_bias": True,
            "tie_word_embeddings": False,
        },
    ),
    "olmo2": ("olmo2", {}),
    "olmo2, tied, biases": ("olmo2", {**GROUPED, "tie_word_embeddings": True, "attention_bias": True}),
    "gemma2": ("gemma2", {**WINDOW, "head_dim": 10, "query_pre_attn_scalar": 17, "final_logit_softcapping": 3.0}),
    "gemma2, grouped, biases, no caps": (
        "gemma2",
        {
            **GROUPED,
            **WINDOW,
            "head_dim": 8,
            "attention_bias": True,
            "tie_word_embeddings": False,
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
            "layer_types": ["full_attention", "full_attention", "sliding_attention"],
        },
    ),
    "gemma3_text": ("gemma3_text", {**WINDOW, "head_dim": 10, "sliding_window_pattern": 3}),
    "gemma3_text, grouped, biases, a cap, linear": (
        "gemma3_text",
        {
            **GROUPED,
            **WINDOW,
            "head_dim": 8,
            "query_pre_attn_scalar": 17,
            "attention_bias": True,
            "tie_word_embeddings": False,
            "final_logit_softcapping": 3.0,
            "layer_types": ["full_attention", "sliding_attention", "full_attention"],
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "rope_theta": 500.0, "factor": 3.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
            },
        },
    ),
    "mixtral": ("mixtral", {"num_local_experts": 5, "head_dim": 10}),
    "mixtral, a window, three of four": (
        "mixtral",
        {**GROUPED, **WINDOW, "num_local_experts": 4, "num_experts_per_tok": 3, "tie_word_embeddings": True},
    ),
    "qwen3_moe": ("qwen3_moe", {**MOE, **GROUPED, "norm_topk_prob": True}),
    "qwen3_moe, some dense, a window": (
        "qwen3_moe",
        {
            **MOE,
            **WINDOW,
            "head_dim": 10,
            "use_sliding_window": True,
            "decoder_sparse_step": 2,
            "tie_word_embeddings": True,
            "attention_bias": True,
        },
    ),
    "qwen3_moe, the first dense": ("qwen3_moe", {**MOE, "mlp_only_layers": [0]}),
    "phi3": ("phi3", {**PHI, **WINDOW}),
    "phi3, a part of each head, tied": (
        "phi3",
        {
            **PHI,
            **GROUPED,
            "rope_parameters": {"rope_theta": 300.0, "partial_rotary_factor": 0.75},
            "tie_word_embeddings": True,
        },
    ),
    "phi3, longrope, short": ("phi3", {**PHI, "rope_parameters": LONGROPE, "original_max_position_embeddings": 64}),
}

VARIANTS = {**OTHERS, **{name: (model_type, {**SIZES, **changes}) for name, (model_type, changes) in KIN.items()}}
