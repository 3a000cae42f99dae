"""Our Llama beside transformers' own, on tiny random checkpoints that it wrote, with awkward sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import torch
from checkpoints import loaded
from decoders import greedy, greedy_of
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decoding.cache import KVCache
from engine.models.base import Decoder

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

TOLERANCE = {"atol": 1e-4, "rtol": 0.0}
CONTEXT = 96
AWKWARD: dict[str, Any] = {
    "hidden_size": 36,
    "intermediate_size": 53,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "head_dim": 10,
    "vocab_size": 131,
    "max_position_embeddings": CONTEXT,
    "tie_word_embeddings": False,
    "initializer_range": 0.3,  # large enough that a mistake shows in the logits
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {"rope_type": "yarn", "rope_theta": 300.0, "factor": 4.0, "original_max_position_embeddings": 24}
VARIANTS: dict[str, dict[str, Any]] = {
    "multi-query": {},
    "tied": {"tie_word_embeddings": True},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "grouped": {"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 6},
    "a kv head each": {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 14},
    "linear": {"rope_parameters": {"rope_type": "linear", "rope_theta": 300.0, "factor": 2.5}},
    "llama3": {"rope_parameters": LLAMA3, "head_dim": 22},
    "dynamic": {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 300.0, "factor": 2.0}},
    "yarn": {"rope_parameters": YARN, "head_dim": 22},
    "yarn with its own bounds": {
        "rope_parameters": {**YARN, "beta_fast": 3.0, "beta_slow": 0.5, "truncate": False, "attention_factor": 0.8},
        "head_dim": 22,
    },
    "gelu": {"hidden_act": "gelu", "rms_norm_eps": 1e-3},
}


class Pair(NamedTuple):
    ours: Decoder
    theirs: Any


class Everything:
    """A tap that keeps the weights of every layer."""

    def __init__(self) -> None:
        self.shown: list[torch.Tensor] = []

    def layer(self, name: str) -> Callable[[torch.Tensor], None]:
        return self.shown.append


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module", params=VARIANTS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("parity") / "tiny"
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**{**AWKWARD, **VARIANTS[request.param]}, attn_implementation="eager")
    theirs = transformers.LlamaForCausalLM(config).eval()
    for name, weight in theirs.named_parameters():  # biases and norms begin as constants, which would hide them
        if weight.ndim == 1:
            torch.nn.init.normal_(weight, float("norm" in name), 0.3)
    theirs.save_pretrained(folder)
    return Pair(loaded(folder).model, theirs)


def ids_of(count: int, batch: int = 1) -> torch.Tensor:
    return torch.randint(0, AWKWARD["vocab_size"], (batch, count), generator=torch.Generator().manual_seed(count))


def in_chunks(model: Decoder, ids: torch.Tensor, size: int, tap: Everything | None = None) -> torch.Tensor:
    """All logits, the ids read through a cache in chunks of that size."""
    cache = KVCache.for_model(model, batch=len(ids))
    return torch.cat([model(part, cache, tap) for part in ids.split(size, 1)], 1)


@pytest.mark.parametrize("count", [1, 2, 33, CONTEXT])
def test_logits_are_those_of_transformers(pair: Pair, count: int) -> None:
    ids = ids_of(count, batch=2)
    expected = pair.theirs(ids).logits
    assert expected.std() > 0.5
    torch.testing.assert_close(pair.ours(ids), expected, **TOLERANCE)


def test_the_likeliest_tokens_are_those_of_transformers(pair: Pair) -> None:
    assert greedy(pair.ours, ids_of(5), 40) == greedy_of(pair.theirs, ids_of(5), 40)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_reading_through_a_cache_in_chunks_gives_the_logits_of_one_pass(pair: Pair, size: int) -> None:
    ids = ids_of(CONTEXT, batch=2)
    torch.testing.assert_close(in_chunks(pair.ours, ids, size), pair.ours(ids), **TOLERANCE)


def test_what_the_tap_is_shown_is_the_attention_of_transformers(pair: Pair) -> None:
    ids, tap = ids_of(50), Everything()
    expected = pair.theirs(ids, output_attentions=True).attentions
    pair.ours(ids, tap=tap)
    assert len(tap.shown) == len(expected) == AWKWARD["num_hidden_layers"]
    for ours, theirs in zip(tap.shown, expected):
        torch.testing.assert_close(ours, theirs, **TOLERANCE)


def test_what_the_tap_is_shown_token_by_token_is_the_rows_of_one_pass(pair: Pair) -> None:
    ids, whole, rows = ids_of(20), Everything(), Everything()
    pair.ours(ids, tap=whole)
    in_chunks(pair.ours, ids, 1, rows)
    last = rows.shown[-AWKWARD["num_hidden_layers"] :]
    for ours, expected in zip(last, whole.shown):
        torch.testing.assert_close(ours, expected[:, :, -1:], **TOLERANCE)


@pytest.mark.parametrize("size", [1, 9, 40])
def test_a_tap_changes_no_logits(pair: Pair, size: int) -> None:
    ids = ids_of(40)
    torch.testing.assert_close(in_chunks(pair.ours, ids, size, Everything()), pair.ours(ids), **TOLERANCE)


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(1, 40), st.floats(0, 1)), min_size=1, max_size=5), st.integers(0, 2**16))
def test_cut_back_and_grown_again_is_as_good_as_fresh(pair: Pair, steps: list[tuple[int, float]], seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        cache, ids = KVCache.for_model(pair.ours), torch.empty(1, 0, dtype=torch.long)
        for count, keep in steps:
            more = torch.randint(0, AWKWARD["vocab_size"], (1, min(count, CONTEXT - cache.length)), generator=source)
            ids = torch.cat((ids, more), 1)
            if more.shape[1]:
                logits = pair.ours(more, cache, last=True)
                torch.testing.assert_close(logits, pair.ours(ids, last=True), **TOLERANCE)
            ids = ids[:, : int(ids.shape[1] * keep)]
            cache.truncate(ids.shape[1])
