"""The decoders before and beside Llama, next to transformers' own, on tiny checkpoints with awkward sizes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from checkpoints import loaded
from decoders import TOLERANCE, Everything, Pair, greedy, greedy_of, ids_of, in_chunks, written

from engine.decoding.cache import KVCache

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

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
GROUPED = {"new_decoder_architecture": True, "num_kv_heads": 2, "ffn_hidden_size": 53}

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
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
    "falcon 40b": ("falcon", {**FALCON, **GROUPED, "tie_word_embeddings": False}),
    "falcon 11b": ("falcon", {**FALCON, **GROUPED, "num_ln_in_parallel_attn": 1}),
    "falcon rw": ("falcon", {**FALCON, **SERIAL, **ALIBI}),
    "falcon with alibi, multi-query, parallel": ("falcon", {**FALCON, **ALIBI}),
    "falcon scaled": ("falcon", {**FALCON, "rope_parameters": LINEAR, "multi_query": False}),
}


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module", params=VARIANTS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    model_type, changes = VARIANTS[request.param]
    folder = tmp_path_factory.mktemp("parity") / "tiny"
    # transformers' eager Falcon counts ALiBi twice, in its mask and in its scores; the fused one, the usual, once.
    attention = "sdpa" if changes.get("alibi") else "eager"
    return written(folder, transformers.AutoConfig.for_model(model_type, **changes), attention)


def test_logits_are_those_of_transformers(pair: Pair) -> None:
    for count in (1, 2, pair.ours.config.context):
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


def test_cut_back_and_grown_again_is_as_good_as_fresh(pair: Pair) -> None:
    ids, other = ids_of(pair.ours, 50), ids_of(pair.ours, 33)
    cache = KVCache.for_model(pair.ours)
    pair.ours(ids, cache)
    cache.truncate(20)
    grown = pair.ours(other, cache)
    torch.testing.assert_close(grown, pair.ours(torch.cat((ids[:, :20], other), 1))[:, 20:], **TOLERANCE)


def test_what_the_tap_is_shown_is_the_attention_of_transformers_and_changes_no_logits(pair: Pair) -> None:
    ids, tap = ids_of(pair.ours, 50), Everything()
    torch.testing.assert_close(pair.ours(ids, tap=tap), pair.ours(ids), **TOLERANCE)
    assert len(tap.shown) == pair.ours.config.layers
    if pair.theirs.config._attn_implementation == "eager":
        for ours, theirs in zip(tap.shown, pair.theirs(ids, output_attentions=True).attentions, strict=True):
            torch.testing.assert_close(ours, theirs, **TOLERANCE)


def test_what_the_tap_is_shown_token_by_token_is_the_rows_of_one_pass(pair: Pair) -> None:
    ids, whole, rows = ids_of(pair.ours, 20), Everything(), Everything()
    pair.ours(ids, tap=whole)
    in_chunks(pair.ours, ids, 1, rows)
    for ours, expected in zip(rows.shown[-pair.ours.config.layers :], whole.shown):
        torch.testing.assert_close(ours, expected[:, :, -1:], **TOLERANCE)


@pytest.mark.parametrize(("precision", "most"), [("bf16", 0.05), ("fp16", 0.01)])
def test_sixteen_bits_cost_little_in_one_pass_in_chunks_and_under_a_tap(
    pair: Pair, precision: str, most: float
) -> None:
    ids = ids_of(pair.ours, 50)
    exact = pair.ours(ids)
    model = loaded(pair.folder, precision=precision).model
    for logits in (model(ids), in_chunks(model, ids, 7), model(ids, tap=Everything())):
        assert (logits - exact).std() < most * exact.std()
