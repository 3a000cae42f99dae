"""Two texts that an encoder compares: read and told apart as in transformers, from the headless door on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from encoders import WORDS, write_bert
from tokenizers import Tokenizer, processors

from engine.__main__ import main

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny BERT that names one of three classes, its tokenizer joining pairs as BERT's does."""
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path / "home"))
    labels = {"0": "entailment", "1": "neutral", "2": "contradiction"}
    folder = write_bert(tmp_path / "tiny", "BertForSequenceClassification", id2label=labels)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def classified(capsys: pytest.CaptureFixture[str], folder: Path, *texts: str) -> dict[str, float]:
    assert main(["classify", str(folder), *texts, "--threads", "1", "--json"]) == 0
    return {item["label"]: item["probability"] for item in json.loads(capsys.readouterr().out)["labels"]}


def test_a_pair_is_classified_as_in_transformers_and_its_order_matters(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    theirs = transformers.BertForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    read = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    found = {}
    for pair in (("the cat sat", "a dog ."), ("a dog .", "the cat sat")):
        encoded = read(*pair, return_tensors="pt", return_token_type_ids=True)
        assert set(encoded["token_type_ids"][0].tolist()) == {0, 1}
        with torch.inference_mode():
            expected = theirs(**encoded).logits.softmax(-1)[0].tolist()
        found[pair] = classified(capsys, folder, "--text", pair[0], "--text-pair", pair[1])
        assert [found[pair][label] for label in ("entailment", "neutral", "contradiction")] == pytest.approx(
            expected, abs=1e-5
        )
    one, other = found.values()
    assert one != pytest.approx(other, abs=1e-3)
    assert one != pytest.approx(classified(capsys, folder, "--text", "the cat sat [SEP] a dog ."), abs=1e-3)


def test_a_model_that_tells_no_segments_apart_reads_both_alike(tmp_path: Path) -> None:
    from checkpoints import loaded

    config = transformers.RobertaConfig(
        vocab_size=len(WORDS), hidden_size=12, intermediate_size=17, num_hidden_layers=2, num_attention_heads=3,
        max_position_embeddings=16, type_vocab_size=1, pad_token_id=1,
    )  # fmt: skip
    transformers.RobertaForSequenceClassification(config).save_pretrained(tmp_path / "tiny")
    ours = loaded(tmp_path / "tiny").model
    ids = torch.tensor([[2, 5, 6, 3, 7, 8, 3]])
    with torch.inference_mode():
        assert torch.equal(ours(ids, segments=torch.tensor([[0, 0, 0, 0, 1, 1, 1]])), ours(ids))


def test_an_encoder_refuses_to_chat_before_the_first_line(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt: pytest.fail("asked for a line"))
    assert main(["chat", str(folder), "--threads", "1"]) == 1
    assert capsys.readouterr().err.startswith("tiny does not talk. This is an encoder")
