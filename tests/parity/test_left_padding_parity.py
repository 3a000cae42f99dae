"""Texts of different lengths in one batch, filled up on the left: the same as each alone, and as in transformers."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from decoder_variants import LONGROPE, PHI, SIZES, VARIANTS
from decoders import TOLERANCE, Everything, Pair, written

from engine.decoding.cache import KVCache
from engine.models import FAMILIES, family
from engine.models.base import Decoder

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

LENGTHS = (31, 1, 17, 24)
LONGEST = max(LENGTHS)
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {**SIZES, "head_dim": 22, "rope_parameters": LLAMA3}),
    **VARIANTS,
}


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module", params=CASES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    model_type, changes = CASES[request.param]
    config = transformers.AutoConfig.for_model(model_type, **changes)
    config._experts_implementation = "eager"  # the others want widths that are multiples of 16 bytes
    # transformers' eager Falcon counts ALiBi twice, in its mask and in its scores; the fused one, the usual, once.
    attention = "sdpa" if changes.get("alibi") else "eager"
    return written(tmp_path_factory.mktemp("parity") / "tiny", config, attention)


def texts_of(vocabulary: int) -> list[torch.Tensor]:
    source = torch.Generator().manual_seed(5)
    return [torch.randint(0, vocabulary, (1, length), generator=source) for length in LENGTHS]


def filled(texts: list[torch.Tensor], id: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """The texts as rows of one batch, and how many ids each begins with that are none of its own."""
    longest = max(text.shape[1] for text in texts)
    padding = torch.tensor([longest - text.shape[1] for text in texts])
    return torch.cat([torch.nn.functional.pad(text, (longest - text.shape[1], 0), value=id) for text in texts]), padding


def assert_alike(rows: torch.Tensor, texts: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    for row, text, alone in zip(rows, texts, expected, strict=True):
        torch.testing.assert_close(row[-text.shape[1] :], alone, **TOLERANCE)


def test_rows_are_those_of_transformers_under_a_mask(pair: Pair) -> None:
    texts = texts_of(pair.ours.config.vocabulary)
    ids, padding = filled(texts)
    mask = torch.arange(LONGEST) >= padding[:, None]
    where = {"position_ids": (mask.cumsum(1) - 1).clamp(min=0)}
    takes = inspect.signature(pair.theirs.forward).parameters
    theirs = pair.theirs(ids, attention_mask=mask.long(), **(where if "position_ids" in takes else {})).logits
    ours = pair.ours(ids, padding=padding)
    assert_alike(ours, texts, [row[-length:] for row, length in zip(theirs, LENGTHS)])


def test_rows_are_those_of_each_text_alone_whatever_fills_them_up(pair: Pair) -> None:
    texts = texts_of(pair.ours.config.vocabulary)
    alone = [pair.ours(text)[0] for text in texts]
    for id in (3, 90):
        ids, padding = filled(texts, id)
        assert_alike(pair.ours(ids, padding=padding), texts, alone)
        assert_alike(pair.ours(ids, padding=padding, tap=Everything()), texts, alone)


def test_rows_read_in_chunks_through_a_cache_are_those_of_one_pass(pair: Pair) -> None:
    texts = texts_of(pair.ours.config.vocabulary)
    ids, padding = filled(texts)
    alone = [pair.ours(text)[0] for text in texts]
    for size in (1, 7):
        cache = KVCache.for_model(pair.ours, batch=len(texts))
        parts = [pair.ours(part, cache, padding=padding) for part in ids.split(size, 1)]
        assert_alike(torch.cat(parts, 1), texts, alone)


def test_every_decoder_family_is_among_the_cases() -> None:
    decoders = {file for name, file in FAMILIES.items() if issubclass(family(name).Model, Decoder)}
    assert decoders == {FAMILIES[model_type] for model_type, _ in CASES.values()}


def test_rows_on_both_sides_of_a_boundary_are_those_of_each_text_alone(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    changes = {**SIZES, **PHI, "rope_parameters": LONGROPE, "original_max_position_embeddings": 20}
    ours = written(tmp_path_factory.mktemp("parity") / "tiny", transformers.Phi3Config(**changes)).ours
    assert ours.boundary == 20
    texts = texts_of(ours.config.vocabulary)
    ids, padding = filled(texts)
    alone = [ours(text)[0] for text in texts]
    assert_alike(ours(ids, padding=padding), texts, alone)
    cache = KVCache.for_model(ours, batch=len(texts))
    parts = [ours(part, cache, reach=LONGEST, padding=padding) for part in ids.split(7, 1)]
    assert_alike(torch.cat(parts, 1), texts, alone)
    cache = KVCache.for_model(ours, batch=2)
    ids, padding = filled([texts[0][:, :15], texts[2][:, :9]])
    ours(ids, cache, padding=padding)
    with pytest.raises(ValueError, match="20"):  # the longer text only
        ours(ids[:, :6], cache, padding=padding)
