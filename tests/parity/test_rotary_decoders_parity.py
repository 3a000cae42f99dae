"""Llama's kin, next to transformers' own, on tiny checkpoints with awkward sizes and windows shorter than the text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from decoders import TOLERANCE, Everything, Pair, greedy, greedy_of, ids_of, in_chunks, written

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

CONTEXT = 64
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

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
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
    "phi3, a part of each head": (
        "phi3",
        {**PHI, **GROUPED, "rope_parameters": {"rope_theta": 300.0, "partial_rotary_factor": 0.75}},
    ),
    "phi3, longrope, short": ("phi3", {**PHI, "rope_parameters": LONGROPE, "original_max_position_embeddings": 64}),
}


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module", params=VARIANTS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    model_type, changes = VARIANTS[request.param]
    folder = tmp_path_factory.mktemp("parity") / "tiny"
    config = transformers.AutoConfig.for_model(model_type, **{**SIZES, **changes})
    config._experts_implementation = "eager"  # the others want widths that are multiples of 16 bytes
    return written(folder, config)


def test_logits_are_those_of_transformers(pair: Pair) -> None:
    for count in (1, 2, CONTEXT):
        ids = ids_of(pair.ours, count, batch=2)
        expected = pair.theirs(ids).logits
        assert expected.std() > 0.5
        torch.testing.assert_close(pair.ours(ids), expected, **TOLERANCE)


def test_the_likeliest_tokens_are_those_of_transformers(pair: Pair) -> None:
    prompt = ids_of(pair.ours, 5)
    assert greedy(pair.ours, prompt, 40) == greedy_of(pair.theirs, prompt, 40)


def test_reading_through_a_cache_in_chunks_gives_the_logits_of_one_pass(pair: Pair) -> None:
    ids = ids_of(pair.ours, CONTEXT, batch=2)
    whole = pair.ours(ids)
    for size in (1, 7, 50):
        torch.testing.assert_close(in_chunks(pair.ours, ids, size), whole, **TOLERANCE)


def test_what_the_tap_is_shown_is_the_attention_of_transformers_and_changes_no_logits(pair: Pair) -> None:
    ids, tap = ids_of(pair.ours, 50), Everything()
    expected = pair.theirs(ids, output_attentions=True).attentions
    logits = pair.ours(ids, tap=tap)
    assert len(tap.shown) == len(expected) == pair.ours.config.layers
    for ours, theirs in zip(tap.shown, expected):
        torch.testing.assert_close(ours, theirs, **TOLERANCE)
    torch.testing.assert_close(logits, pair.ours(ids), **TOLERANCE)


def test_what_the_tap_is_shown_token_by_token_is_the_rows_of_one_pass(pair: Pair) -> None:
    ids, whole, rows = ids_of(pair.ours, 20), Everything(), Everything()
    pair.ours(ids, tap=whole)
    in_chunks(pair.ours, ids, 1, rows)
    for ours, expected in zip(rows.shown[-pair.ours.config.layers :], whole.shown):
        torch.testing.assert_close(ours, expected[:, :, -1:], **TOLERANCE)
