"""The decoders before and beside Llama, next to transformers' own, on tiny checkpoints with awkward sizes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from decoders import TOLERANCE, Everything, Pair, greedy, greedy_of, ids_of, in_chunks, written

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

CONTEXT = 64
RANGE = {"initializer_range": 0.3}  # large enough that a mistake shows in the logits
DROPOUT = {"attention_dropout": 0.1, "hidden_dropout": 0.1}
GPT2 = {
    "n_embd": 36, "n_layer": 3, "n_head": 3, "n_positions": CONTEXT, "vocab_size": 131, **RANGE,
}  # fmt: skip

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
}


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module", params=VARIANTS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    model_type, changes = VARIANTS[request.param]
    folder = tmp_path_factory.mktemp("parity") / "tiny"
    return written(folder, transformers.AutoConfig.for_model(model_type, **changes))


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
