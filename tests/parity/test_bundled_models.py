"""The bundled models beside transformers, and beside the values that were published or measured for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import loaded

from engine.decoding.cache import KVCache
from engine.models.base import Decoder

pytestmark = pytest.mark.parity
MODELS = ("companion", "babyllama-361", "stories260K")


@pytest.fixture(scope="module", params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    model: str = request.param
    return model


@pytest.fixture(scope="module")
def model(name: str, assets: Path) -> Decoder:
    return loaded(assets / "models" / name, precision="fp32").model


@torch.inference_mode()
def greedy(model: Decoder, prompt: list[int], length: int) -> list[int]:
    """The prompt and the likeliest tokens after it, length ids in all."""
    cache, ids = KVCache.for_model(model), list(prompt)
    rest = torch.tensor([ids])
    while len(ids) < length:
        ids.append(int(model(rest, cache, last=True).argmax()))
        rest = torch.tensor([ids[-1:]])
    return ids


def test_greedy_ids_are_those_that_are_expected(name: str, model: Decoder, data: Path) -> None:
    cases: list[dict[str, Any]] = json.loads((data / name / "expected.json").read_text("utf-8"))["greedy_fp32_cpu"]
    assert cases
    for case in cases:
        prompt = case["prompt_ids"]
        # A chat's expected ids are the answer alone, a story's begin with its prompt.
        expected = prompt + case["greedy_ids"] if "messages" in case else case["greedy_ids"]
        assert greedy(model, prompt, len(expected)) == expected


def test_the_likeliest_tokens_after_the_first_are_those_that_were_measured(
    name: str, model: Decoder, data: Path
) -> None:
    for case in json.loads((data / name / "expected.json").read_text("utf-8"))["greedy_fp32_cpu"]:
        if "top5_after_bos" in case:
            best = model(torch.tensor([[1]]))[0, -1].topk(5)
            assert best.indices.tolist() == [token for token, _ in case["top5_after_bos"]]
            assert best.values.tolist() == pytest.approx([logit for _, logit in case["top5_after_bos"]], abs=1e-4)


def test_logits_are_those_of_transformers_over_the_whole_context(name: str, model: Decoder, assets: Path) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(assets / "models" / name, dtype=torch.float32)
    config = model.config
    ids = torch.randint(0, config.vocabulary, (1, config.context), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(model(ids), theirs.eval()(ids).logits, atol=1e-4, rtol=0)


def test_bf16_is_as_near_to_fp32_as_transformers_comes(assets: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = assets / "models" / "companion"
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    ours, exact = loaded(folder), loaded(folder, precision="fp32")
    assert ours.precision == "bf16"
    ids = torch.randint(0, 4096, (1, 64), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = exact.model(ids)
        error = (ours.model(ids) - expected).std()
        assert error < 1.2 * (theirs(ids).logits.float() - expected).std()
