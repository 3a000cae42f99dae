"""Dynamic rotary scaling: as in transformers up to the declared context, and why Vitrine stops there.

Behind it every token more changes the angles of all that was read, so what a token is likely to be would depend on how
the text was read, not on the text. The reference's own result depends on what it read before.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from decoders import TOLERANCE, Pair, greedy, greedy_of, ids_of, in_chunks, written

from engine.decoding.cache import KVCache
from engine.errors import ContextOverflow

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

CONTEXT = 32
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 300.0, "factor": 4.0}
SIZES: dict[str, Any] = {
    "hidden_size": 36, "intermediate_size": 53, "num_hidden_layers": 3, "num_attention_heads": 3,
    "num_key_value_heads": 1, "vocab_size": 131, "max_position_embeddings": CONTEXT, "initializer_range": 0.3,
    "rope_parameters": DYNAMIC,
}  # fmt: skip


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return written(tmp_path_factory.mktemp("parity") / "tiny", transformers.LlamaConfig(**SIZES))


@torch.inference_mode()
def test_up_to_the_declared_context_it_is_that_of_transformers(pair: Pair) -> None:
    ids = ids_of(pair.ours, CONTEXT)
    torch.testing.assert_close(pair.ours(ids), pair.theirs(ids).logits, **TOLERANCE)
    torch.testing.assert_close(in_chunks(pair.ours, ids, 5), pair.theirs(ids).logits, **TOLERANCE)
    prompt = ids[:, :5]
    assert greedy(pair.ours, prompt, CONTEXT - 4) == greedy_of(pair.theirs, prompt, CONTEXT - 4)


@torch.inference_mode()
def test_behind_it_there_is_no_one_result_in_transformers_and_a_sentence_here(pair: Pair) -> None:
    ids = ids_of(pair.ours, 3 * CONTEXT)
    fresh = pair.theirs(ids[:, : 2 * CONTEXT]).logits
    pair.theirs(ids)  # a longer text, of which nothing is kept
    again = pair.theirs(ids[:, : 2 * CONTEXT]).logits
    assert (again - fresh).abs().max() > 0.1
    cache = KVCache.for_model(pair.ours)
    pair.ours(ids[:, :CONTEXT], cache)
    with pytest.raises(ContextOverflow, match=f"{CONTEXT + 1} tokens.* {CONTEXT}"):
        pair.ours(ids[:, :1], cache)
