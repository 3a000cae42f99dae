"""Every encoder beside transformers' own class of it, on tiny random checkpoints with awkward sizes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from checkpoints import loaded
from decoders import TOLERANCE, Everything

from engine.models.base import Encoder

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

BERT: dict[str, Any] = {
    "vocab_size": 131,
    "hidden_size": 36,
    "intermediate_size": 53,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "max_position_embeddings": 48,
    "hidden_dropout_prob": 0.2,
    "attention_probs_dropout_prob": 0.1,
    "pad_token_id": 1,
}
DISTILBERT: dict[str, Any] = {
    "vocab_size": 131,
    "dim": 36,
    "hidden_dim": 53,
    "n_layers": 3,
    "n_heads": 3,
    "max_position_embeddings": 48,
    "pad_token_id": 1,
}
MODERNBERT: dict[str, Any] = {
    **BERT,
    "num_hidden_layers": 4,
    "local_attention": 10,  # shorter than the texts
    "bos_token_id": 2,
    "eos_token_id": 3,
    "cls_token_id": 2,
    "sep_token_id": 3,
}
UNTIED = {"tie_word_embeddings": False}
LABELS = {"id2label": {0: "sad", 1: "glad", 2: "neither"}}
OLDER = {"global_attn_every_n_layers": 2, "layer_types": None, "rope_parameters": None, "local_rope_theta": 30.0}
VARIANTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert fill": ("Bert", "ForMaskedLM", BERT),
    "bert fill untied": ("Bert", "ForMaskedLM", {**BERT, **UNTIED, "hidden_act": "relu"}),
    "bert pretraining": ("Bert", "ForPreTraining", BERT),
    "bert classify": ("Bert", "ForSequenceClassification", {**BERT, **LABELS}),
    "bert embed": ("Bert", "Model", BERT),
    "roberta fill": ("Roberta", "ForMaskedLM", BERT),
    "roberta classify": ("Roberta", "ForSequenceClassification", {**BERT, **LABELS}),
    "roberta embed": ("Roberta", "Model", {**BERT, "type_vocab_size": 1}),
    "distilbert fill": ("DistilBert", "ForMaskedLM", DISTILBERT),
    "distilbert classify": ("DistilBert", "ForSequenceClassification", {**DISTILBERT, **LABELS}),
    "distilbert embed": ("DistilBert", "Model", {**DISTILBERT, "sinusoidal_pos_embds": True}),
    "modernbert fill": ("ModernBert", "ForMaskedLM", MODERNBERT),
    "modernbert classify": ("ModernBert", "ForSequenceClassification", {**MODERNBERT, **LABELS}),
    "modernbert mean": (
        "ModernBert",
        "ForSequenceClassification",
        {**MODERNBERT, **LABELS, "classifier_pooling": "mean", "norm_bias": True, "mlp_bias": True},
    ),
    "modernbert embed": ("ModernBert", "Model", MODERNBERT),
    "modernbert older": ("ModernBert", "ForMaskedLM", {**MODERNBERT, "global_attn_every_n_layers": 2}),
}


class Pair(NamedTuple):
    """A model here and the same in transformers."""

    ours: Encoder
    theirs: Any


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module", params=VARIANTS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("parity") / "tiny"
    family, head, values = VARIANTS[request.param]
    torch.manual_seed(0)
    older = request.param == "modernbert older"
    config = getattr(transformers, f"{family}Config")(**values)
    if older:
        config.rope_parameters["sliding_attention"]["rope_theta"] = 30.0
    config._attn_implementation = "eager"
    theirs = getattr(transformers, family + head)(config).eval()
    with torch.no_grad():
        for key, weight in theirs.named_parameters():
            norm = "norm" in key.lower()
            weight.normal_(float(norm) * key.endswith("weight"), 0.3 if weight.ndim == 1 else 0.2)
    theirs.save_pretrained(folder)
    if older:
        path = folder / "config.json"
        config = {**json.loads(path.read_text("utf-8")), **OLDER}
        path.write_text(json.dumps(config), "utf-8")
    ours = loaded(folder).model
    assert isinstance(ours, Encoder)
    return Pair(ours, theirs)


def ids_of(pair: Pair, count: int, batch: int = 1) -> torch.Tensor:
    """Ids of real tokens: the lowest are special ones."""
    source = torch.Generator().manual_seed(count)
    return torch.randint(4, pair.ours.config.vocabulary, (batch, count), generator=source)


def results(model: Encoder, ids: torch.Tensor, mask: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """The last states, and what the head makes of them."""
    states = model(ids, mask)
    if model.config.use == "fill":
        return {"states": states, "logits": model.fill(states)}
    if model.config.use == "classify":
        return {"states": states, "logits": model.classify(states, mask)}
    return {"states": states}


def results_of(theirs: Any, ids: torch.Tensor, mask: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """The same from transformers' model."""
    mask = mask if mask is None else mask.long()
    base = theirs.base_model(input_ids=ids, attention_mask=mask)
    if theirs.base_model is theirs:
        return {"states": base.last_hidden_state}
    out = theirs(input_ids=ids, attention_mask=mask)
    return {
        "states": base.last_hidden_state,
        "logits": out["prediction_logits" if "prediction_logits" in out else "logits"],
    }


@pytest.mark.parametrize("count", [1, 2, 40])
def test_states_and_logits_are_those_of_transformers(pair: Pair, count: int) -> None:
    ids = ids_of(pair, count, batch=2)
    expected = results_of(pair.theirs, ids)
    assert all(values.std() > 0.1 for values in expected.values())
    torch.testing.assert_close(results(pair.ours, ids), expected, **TOLERANCE)


@pytest.mark.parametrize("side", ["left", "right"])
def test_texts_filled_up_in_a_batch_are_as_good_as_single_ones(pair: Pair, side: str) -> None:
    short, long = ids_of(pair, 9), ids_of(pair, 23)
    mask = torch.arange(23) < torch.tensor([[9], [23]])
    filled = torch.cat((torch.nn.functional.pad(short, (0, 14), value=1), long))
    if side == "left":
        filled[0], mask[0] = filled[0].roll(14), mask[0].roll(14)
    together = results(pair.ours, filled, mask)
    for row, ids in enumerate((short, long)):
        alone = results(pair.ours, ids)
        torch.testing.assert_close(together["states"][row][mask[row]], alone["states"][0], **TOLERANCE)
        if pair.ours.config.use == "classify":
            torch.testing.assert_close(together["logits"][row], alone["logits"][0], **TOLERANCE)
    if side == "right":
        expected = results_of(pair.theirs, filled, mask)
        torch.testing.assert_close(together["states"][mask], expected["states"][mask], **TOLERANCE)


def test_what_the_tap_is_shown_is_the_attention_of_transformers(pair: Pair) -> None:
    ids, tap = ids_of(pair, 31), Everything()
    expected = pair.theirs(input_ids=ids, output_attentions=True).attentions
    pair.ours(ids, tap=tap)
    assert len(tap.shown) == len(expected) == pair.ours.config.layers
    for ours, theirs in zip(tap.shown, expected):
        torch.testing.assert_close(ours, theirs, **TOLERANCE)


def test_the_labels_are_the_config_s(pair: Pair) -> None:
    expected = ("sad", "glad", "neither") if pair.ours.config.use == "classify" else ()
    assert pair.ours.config.labels == expected
