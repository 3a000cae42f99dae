"""Every decoder family next to transformers' own, on tiny checkpoints with awkward sizes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from checkpoints import loaded
from decoder_variants import CONTEXT, VARIANTS
from decoders import TOLERANCE, Everything, Pair, greedy, greedy_of, ids_of, in_chunks, written

from engine.decoding.cache import KVCache

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity


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
    config = transformers.AutoConfig.for_model(model_type, **changes)
    config._experts_implementation = "eager"  # the others want widths that are multiples of 16 bytes
    return written(folder, config, attention)


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
        # The median position: where two experts are nearly alike, rounding may choose the other one.
        assert (logits - exact).std(-1).median() < most * exact.std()
