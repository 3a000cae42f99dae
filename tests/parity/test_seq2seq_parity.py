"""Every encoder-decoder beside transformers' own class of it, on tiny random checkpoints with awkward sizes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from checkpoints import loaded
from decoders import TOLERANCE, Everything

from engine.decoding.beams import Found, Search, search
from engine.decoding.cache import KVCache
from engine.models.base import Memory, Seq2Seq

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

T5: dict[str, Any] = {
    "vocab_size": 131,
    "d_model": 36,
    "d_kv": 10,
    "d_ff": 53,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 3,
    "relative_attention_num_buckets": 10,
    "relative_attention_max_distance": 21,  # shorter than the texts
    "dropout_rate": 0.3,
    "decoder_start_token_id": 0,
}
BART: dict[str, Any] = {
    "vocab_size": 131,
    "d_model": 36,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 3,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 53,
    "decoder_ffn_dim": 47,
    "max_position_embeddings": 48,
    "dropout": 0.2,
    "attention_dropout": 0.1,
    "decoder_start_token_id": 2,
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "t5": ("T5", T5),
    "t5 gated, untied": ("T5", {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "mt5": ("MT5", {**T5, "feed_forward_proj": "gated-gelu"}),
    "bart": ("Bart", BART),
    "bart scaled": ("Bart", {**BART, "scale_embedding": True, "activation_function": "relu"}),
    "marian": ("Marian", {**BART, "pad_token_id": 1, "scale_embedding": True, "activation_function": "swish"}),
    "marian with two vocabularies": (
        "Marian",
        {**BART, "pad_token_id": 1, "share_encoder_decoder_embeddings": False, "decoder_vocab_size": 97},
    ),
    "blenderbot": ("Blenderbot", BART),
    "blenderbot untied": ("Blenderbot", {**BART, "tie_word_embeddings": False}),
    "blenderbot-small": ("BlenderbotSmall", BART),
}


class Pair(NamedTuple):
    """A model here and the same in transformers."""

    ours: Seq2Seq
    theirs: Any


def written(folder: Path, name: str) -> Any:
    """A checkpoint with random weights in the folder, and transformers' model of it."""
    family, values = VARIANTS[name]
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**values)
    config._attn_implementation = "eager"
    head = "MTModel" if family == "Marian" else "ForConditionalGeneration"
    theirs = getattr(transformers, family + head)(config).eval()
    with torch.no_grad():
        for key, weight in theirs.state_dict().items():
            if "embed_positions" in key and family == "Marian":  # computed, not learned
                continue
            weight.normal_(float("norm" in key) * key.endswith("weight"), 0.3 if weight.ndim == 1 else 0.15)
    if "untied" in name:
        theirs.lm_head.weight = torch.nn.Parameter(torch.randn_like(theirs.lm_head.weight) * 0.15)
    theirs.save_pretrained(folder)
    return theirs


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module", params=VARIANTS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("parity") / "tiny"
    theirs = written(folder, request.param)
    ours = loaded(folder).model
    assert isinstance(ours, Seq2Seq)
    return Pair(ours, theirs)


def ids_of(pair: Pair, count: int, batch: int = 1) -> torch.Tensor:
    """Ids of real tokens: the lowest are often special ones."""
    source = torch.Generator().manual_seed(count)
    return torch.randint(4, pair.ours.config.vocabulary, (batch, count), generator=source)


def test_logits_are_those_of_transformers(pair: Pair) -> None:
    for count, length in ((1, 1), (37, 29)):
        source, target = ids_of(pair, count, batch=2), ids_of(pair, length, batch=2)
        expected = pair.theirs(input_ids=source, decoder_input_ids=target).logits
        assert expected.std() > 0.1
        torch.testing.assert_close(pair.ours.decode(target, pair.ours.encode(source)), expected, **TOLERANCE)


def test_a_target_read_in_chunks_has_the_logits_of_one_pass(pair: Pair) -> None:
    memory, target = pair.ours.encode(ids_of(pair, 17, batch=2)), ids_of(pair, 40, batch=2)
    expected = pair.ours.decode(target, memory)
    for size in (1, 7):
        cache = KVCache.for_model(pair.ours, batch=2)
        parts = [pair.ours.decode(part, memory, cache) for part in target.split(size, 1)]
        torch.testing.assert_close(torch.cat(parts, 1), expected, **TOLERANCE)


def test_sources_filled_up_in_a_batch_are_as_good_as_single_ones(pair: Pair) -> None:
    short, long, target = ids_of(pair, 9), ids_of(pair, 14), ids_of(pair, 8, batch=2)
    filled = torch.cat((torch.nn.functional.pad(short, (0, 5), value=1), long))
    mask = torch.arange(14) < torch.tensor([[9], [14]])
    together = pair.ours.decode(target, pair.ours.encode(filled, mask))
    expected = pair.theirs(input_ids=filled, attention_mask=mask.long(), decoder_input_ids=target).logits
    torch.testing.assert_close(together, expected, **TOLERANCE)
    for row, source in enumerate((short, long)):
        alone = pair.ours.decode(target[row : row + 1], pair.ours.encode(source))
        torch.testing.assert_close(together[row : row + 1], alone, **TOLERANCE)


def test_what_the_tap_is_shown_is_the_attention_of_transformers(pair: Pair) -> None:
    source, target, tap = ids_of(pair, 19), ids_of(pair, 11), Named()
    expected = pair.theirs(input_ids=source, decoder_input_ids=target, output_attentions=True)
    logits = pair.ours.decode(target, pair.ours.encode(source, tap=tap), tap=tap)
    torch.testing.assert_close(logits, expected.logits, **TOLERANCE)
    named = {
        **{f"encoder.{i}.self": weights for i, weights in enumerate(expected.encoder_attentions)},
        **{f"layers.{i}.self": weights for i, weights in enumerate(expected.decoder_attentions)},
        **{f"layers.{i}.cross": weights for i, weights in enumerate(expected.cross_attentions)},
    }
    assert tap.shown.keys() == named.keys()
    for name, weights in named.items():
        torch.testing.assert_close(tap.shown[name], weights, **TOLERANCE)


class Named(Everything):
    """A tap that keeps the weights of every layer under their names."""

    def __init__(self) -> None:
        self.shown: dict[str, torch.Tensor] = {}  # type: ignore[assignment]

    def layer(self, name: str) -> Any:
        return lambda weights: self.shown.__setitem__(name, weights)


def searched(model: Seq2Seq, memory: Memory, begin: list[int], eos: set[int], how: Search) -> Found:
    """The best target that a search finds."""
    steps = search(model, memory, begin, eos, how)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            best: Found = end.value[0]
            return best


PLAIN: dict[str, Any] = {"do_sample": False, "forced_eos_token_id": None}


@pytest.mark.parametrize(
    "how",
    [
        {"num_beams": 1, "max_new_tokens": 40},
        {"num_beams": 4, "max_new_tokens": 16},
        {"num_beams": 4, "max_new_tokens": 16, "length_penalty": 2.0, "early_stopping": True},
        {"num_beams": 3, "max_new_tokens": 16, "length_penalty": 0.6, "early_stopping": "never"},
    ],
    ids=str,
)
def test_beams_find_the_ids_of_transformers(pair: Pair, how: dict[str, Any]) -> None:
    ours = Search(
        how["num_beams"], how.get("length_penalty", 1.0), how.get("early_stopping", False), how["max_new_tokens"]
    )
    likely = pair.theirs(input_ids=ids_of(pair, 11), decoder_input_ids=ids_of(pair, 30)).logits.sum((0, 1)).topk(3)
    for seed, eos in ((11, [7]), (12, likely.indices.tolist())):
        source = ids_of(pair, seed)
        # T5's cache there has as many layers as its encoder, whatever the decoder has.
        special = {"eos_token_id": eos, "decoder_start_token_id": 2, "pad_token_id": 1}
        expected = pair.theirs.generate(source, **PLAIN, **how, **special, use_cache="T5" not in str(type(pair.theirs)))
        found = searched(pair.ours, pair.ours.encode(source), [2], set(eos), ours)
        assert [2, *found.ids] == expected[0].tolist()


@pytest.mark.parametrize("how", ["greedy", "beam4"])
def test_names_are_written_in_latin_letters_as_expected(references: Path, how: str) -> None:
    import json

    from engine.text.tokenizer import Tokenizer

    folder = references / "models" / "aren-transliteration"
    cases = json.loads((folder / "expected.json").read_text("utf-8"))[how]
    model, tokenizer = loaded(folder / "hf").model, Tokenizer.load(str(folder / "hf"))
    for name, expected in cases.items():
        memory = model.encode(torch.tensor([tokenizer.encode(name)]))
        found = searched(model, memory, [52], {53}, Search(1 if how == "greedy" else 4))
        assert tokenizer.decode(found.ids) == expected
    assert len(cases) == 20
