"""Models that read a long text with other positions than a short one, beside transformers on both sides and across."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import loaded
from decoders import TOLERANCE, Pair, ids_of, written

from engine.decoding.cache import KVCache
from engine.decoding.loop import Context, Settings, generate
from engine.errors import EngineError, UnsupportedModel
from engine.messages import Generated, Started
from engine.models.phi3 import Config
from engine.models.reader import Reader
from engine.params import CaptureParams, SamplingParams
from engine.text.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

BOUNDARY, CONTEXT = 24, 64
FACTORS: dict[str, Any] = {
    "short_factor": [1.0, 1.1, 1.3, 1.6, 2.0, 2.5, 3.1, 3.8],
    "long_factor": [1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0],
}
SCALING = {"rope_type": "longrope", **FACTORS}
SIZES: dict[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 53,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "vocab_size": 131,
    "max_position_embeddings": CONTEXT,
    "original_max_position_embeddings": BOUNDARY,
    "rope_parameters": SCALING,
    "initializer_range": 0.2,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
CAPTURE = CaptureParams(candidates=0)


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parity") / "tiny"


@pytest.fixture(scope="module")
def pair(folder: Path) -> Pair:
    return written(folder, transformers.Phi3Config(**SIZES))


@pytest.fixture(scope="module")
def tokenizer(assets: Path) -> Tokenizer:
    return Tokenizer.load(str(assets / "models" / "stories260K"))


def expected_after(pair: Pair, prompt: list[int], count: int) -> list[int]:
    """The likeliest tokens in transformers, each from a pass over the whole text."""
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(pair.theirs(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return ids[len(prompt) :]


def answer(context: Context, tokenizer: Tokenizer, prompt: list[int], count: int) -> tuple[int, list[int]]:
    """How many ids of the context were reused, and the answer's ids."""
    settings = Settings(SamplingParams.neutral(temperature=0.0, max_new_tokens=count), CAPTURE)
    events = list(generate(1, context, tokenizer, prompt, (), "", frozenset(), settings, lambda: None))
    (started,) = (event for event in events if isinstance(event, Started))
    (generated,) = (event for event in events if isinstance(event, Generated))
    return started.reused, list(generated.ids)


@pytest.mark.parametrize("count", [1, BOUNDARY, BOUNDARY + 1, CONTEXT])
def test_logits_are_those_of_transformers_on_both_sides_of_the_boundary(pair: Pair, count: int) -> None:
    ids = ids_of(pair.ours, count, batch=2)
    torch.testing.assert_close(pair.ours(ids), pair.theirs(ids).logits, **TOLERANCE)


def test_the_two_kinds_of_positions_are_not_the_same(pair: Pair) -> None:
    ids = ids_of(pair.ours, BOUNDARY)
    assert (pair.ours(ids) - pair.ours(ids, reach=CONTEXT)).abs().max() > 0.1


@pytest.mark.parametrize("size", [1, 7, 50])
@pytest.mark.parametrize("count", [BOUNDARY, CONTEXT])
def test_parts_that_know_the_whole_length_give_the_logits_of_one_pass(pair: Pair, count: int, size: int) -> None:
    ids, cache = ids_of(pair.ours, count), KVCache.for_model(pair.ours)
    parts = [pair.ours(part, cache, reach=count) for part in ids.split(size, 1)]
    torch.testing.assert_close(torch.cat(parts, 1), pair.ours(ids), **TOLERANCE)


def test_a_cache_of_a_short_text_is_no_beginning_of_a_long_one(pair: Pair) -> None:
    ids, cache = ids_of(pair.ours, BOUNDARY + 1), KVCache.for_model(pair.ours)
    pair.ours(ids[:, :-1], cache)
    with pytest.raises(ValueError, match=str(BOUNDARY)):
        pair.ours(ids[:, -1:], cache)


@pytest.mark.parametrize("begin", [5, BOUNDARY - 1, BOUNDARY, BOUNDARY + 1])
def test_an_answer_that_crosses_the_boundary_is_that_of_transformers(
    pair: Pair, tokenizer: Tokenizer, begin: int
) -> None:
    prompt = ids_of(pair.ours, begin)[0].tolist()
    _, ids = answer(Context.fresh(pair.ours, CAPTURE), tokenizer, prompt, 30)
    assert ids == expected_after(pair, prompt, 30)


def test_a_context_serves_long_and_short_texts_in_turn(pair: Pair, tokenizer: Tokenizer) -> None:
    context, prompt = Context.fresh(pair.ours, CAPTURE), ids_of(pair.ours, 40)[0].tolist()
    for begin, reused in ((40, 0), (10, 0), (12, 10), (40, 0), (39, 38)):
        count, ids = answer(context, tokenizer, prompt[:begin], 6)
        assert count == reused
        assert ids == expected_after(pair, prompt[:begin], 6)


def test_the_older_dialect_is_the_same_model(pair: Pair, folder: Path) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    theta = config["rope_parameters"]["rope_theta"]
    del config["rope_parameters"]
    path.write_text(json.dumps({**config, "rope_theta": theta, "rope_scaling": {**FACTORS, "type": "su"}}), "utf-8")
    ids = ids_of(pair.ours, CONTEXT)
    torch.testing.assert_close(loaded(folder).model(ids), pair.ours(ids))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"short_factor": [1.0, 2.0]}, "2 factors"),
        ({"long_factor": [1.0, "2"]}, "long_factor"),
        ({"rope_type": "llama3"}, "llama3"),
    ],
)
def test_scaling_that_does_not_fit_is_refused(pair: Pair, folder: Path, changes: dict[str, Any], words: str) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config = {**config, "rope_parameters": {**SCALING, **changes}}
    with pytest.raises(EngineError, match=words) as caught:
        Config.read(Reader(config, "tiny/config.json"))
    assert type(caught.value) is UnsupportedModel
