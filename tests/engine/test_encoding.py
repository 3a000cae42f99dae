"""Encoders at work: masks filled, classes named, texts embedded; and what each of them refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import loaded
from encoders import WORDS, write_bert

from engine.encoding import Pooling, classify, embed, fill
from engine.errors import ContextOverflow, EngineError, InvalidValue, UnsupportedModel
from engine.messages import Embedded, Progress
from engine.models.base import Encoder
from engine.text.tokenizer import Tokenizer


def always() -> None:
    """A check that lets everything go on."""


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., tuple[Encoder, Tokenizer]]:
    def open(architecture: str, **changes: object) -> tuple[Encoder, Tokenizer]:
        folder = write_bert(tmp_path / "tiny", architecture, **changes)
        model = loaded(folder).model
        assert isinstance(model, Encoder)
        return model, Tokenizer.load(str(folder))

    return open


def test_every_mask_gets_its_candidates_best_first(opened: Callable[..., tuple[Encoder, Tokenizer]]) -> None:
    model, tokenizer = opened("BertForMaskedLM")
    filled = fill(1, model, tokenizer, "the [MASK] sat on [MASK]", 5, always)
    assert filled.ids == (2, 5, 4, 8, 9, 4, 3)
    assert filled.pieces[2] == "[MASK]"
    expected = model.fill(model(torch.tensor([filled.ids])))[0].softmax(-1)
    assert [position for position, _ in filled.masks] == [2, 5]
    for position, fillers in filled.masks:
        best = expected[position].topk(5)
        assert [filler.id for filler in fillers] == best.indices.tolist()
        assert [filler.probability for filler in fillers] == pytest.approx(best.values.tolist(), abs=1e-5)
        assert [filler.token.strip() for filler in fillers] == [WORDS[filler.id] for filler in fillers]


def test_more_candidates_than_words_are_all_words(opened: Callable[..., tuple[Encoder, Tokenizer]]) -> None:
    model, tokenizer = opened("BertForMaskedLM")
    ((_, fillers),) = fill(1, model, tokenizer, "the [MASK]", 99, always).masks
    assert sorted(filler.id for filler in fillers) == list(range(len(WORDS)))
    assert sum(filler.probability for filler in fillers) == pytest.approx(1.0, abs=1e-5)


def test_a_text_without_a_mask_and_a_model_that_cannot_fill_one_are_refused(
    opened: Callable[..., tuple[Encoder, Tokenizer]],
) -> None:
    with pytest.raises(InvalidValue, match="no mask"):
        fill(1, *opened("BertForMaskedLM"), "the cat", 5, always)
    with pytest.raises(InvalidValue, match="made to turn texts into vectors"):
        fill(1, *opened("BertModel"), "the [MASK]", 5, always)


def test_a_text_longer_than_the_context_is_refused(opened: Callable[..., tuple[Encoder, Tokenizer]]) -> None:
    with pytest.raises(ContextOverflow, match="22 tokens"):
        fill(1, *opened("BertForMaskedLM"), "the [MASK] " * 10, 5, always)


@pytest.mark.parametrize("problem", ["single_label_classification", "multi_label_classification", None])
def test_labels_come_with_their_probabilities_best_first(
    opened: Callable[..., tuple[Encoder, Tokenizer]], problem: str | None
) -> None:
    named = {"0": "sad", "1": "glad", "2": "neither"}
    model, tokenizer = opened("BertForSequenceClassification", id2label=named, problem_type=problem)
    labels = dict(classify(1, model, tokenizer, "the cat sat", always).labels)
    logits = model.classify(model(torch.tensor([tokenizer.encode("the cat sat")])), None)[0]
    expected = logits.sigmoid() if problem == "multi_label_classification" else logits.softmax(-1)
    assert [labels[name] for name in named.values()] == pytest.approx(expected.tolist(), abs=1e-6)
    assert list(labels.values()) == sorted(labels.values(), reverse=True)


def embedded(model: Encoder, tokenizer: Tokenizer, texts: tuple[str, ...], pooling: Pooling) -> Embedded:
    *progress, last = embed(1, model, tokenizer, texts, pooling, always)
    assert [event.done for event in progress if isinstance(event, Progress)] == list(range(len(texts)))
    assert isinstance(last, Embedded)
    return last


@pytest.mark.parametrize("kind", ["mean", "cls", "max"])
def test_a_text_s_vector_is_its_states_pooled(opened: Callable[..., tuple[Encoder, Tokenizer]], kind: str) -> None:
    model, tokenizer = opened("BertModel")
    found = embedded(model, tokenizer, ("the cat sat", "a dog", "the cat sat"), Pooling(kind, normalise=False))
    states = model(torch.tensor([tokenizer.encode("the cat sat")]))[0]
    expected = {"mean": states.mean(0), "cls": states[0], "max": states.max(0).values}[kind]
    np.testing.assert_allclose(found.vectors[0], expected.detach(), atol=1e-6)
    unit = found.vectors / np.linalg.norm(found.vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(found.similarities, unit @ unit.T, atol=1e-6)
    assert found.similarities[0, 2] == pytest.approx(1.0)


def test_normalised_vectors_have_length_one_and_long_texts_keep_their_end(
    opened: Callable[..., tuple[Encoder, Tokenizer]],
) -> None:
    model, tokenizer = opened("BertModel")
    found = embedded(model, tokenizer, ("the cat " * 20,), Pooling(longest=6))
    assert np.linalg.norm(found.vectors[0]) == pytest.approx(1.0)
    states = model(torch.tensor([[2, 5, 6, 5, 6, 3]]))[0].mean(0)
    np.testing.assert_allclose(found.vectors[0], (states / states.norm()).detach(), atol=1e-6)


def test_a_sentence_transformers_folder_says_how_to_pool(tmp_path: Path) -> None:
    def write(name: str, value: object) -> None:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(value), "utf-8")

    assert Pooling.read(tmp_path) == Pooling("mean", normalise=True)
    transformer = {"path": "", "type": "sentence_transformers.models.Transformer"}
    pooling = {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
    write("modules.json", [transformer, pooling])
    write("1_Pooling/config.json", {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    write("sentence_bert_config.json", {"max_seq_length": 128})
    assert Pooling.read(tmp_path) == Pooling("cls", normalise=False, longest=128)
    write("1_Pooling/config.json", {"pooling_mode": "mean"})
    write("modules.json", [transformer, pooling, {"type": "sentence_transformers.models.Normalize"}])
    assert Pooling.read(tmp_path) == Pooling("mean", normalise=True, longest=128)


@pytest.mark.parametrize(
    ("modules", "pooling", "word"),
    [
        ([{"type": "sentence_transformers.models.Dense"}], {}, "Dense"),
        ([{"type": "a.Pooling", "path": "1_Pooling"}], {"pooling_mode_weightedmean_tokens": True}, "weightedmean"),
        ({"not": "a list"}, {}, "modules.json"),
    ],
)
def test_what_it_cannot_pool_by_is_refused_by_name(tmp_path: Path, modules: object, pooling: object, word: str) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(pooling), "utf-8")
    (tmp_path / "modules.json").write_text(json.dumps(modules), "utf-8")
    with pytest.raises(EngineError, match=word) as found:
        Pooling.read(tmp_path)
    assert isinstance(found.value, UnsupportedModel) == isinstance(modules, list)
