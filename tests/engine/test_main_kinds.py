"""The headless door to encoders and encoder-decoders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from encoders import WORDS, write_bert

from engine.__main__ import main


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path / "home"))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main([*arguments, "--json"]) == 0
    result: dict = json.loads(capsys.readouterr().out)
    return result


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 1
    (sentence,) = capsys.readouterr().err.splitlines()
    return sentence


def test_fill_prints_the_candidates_of_every_mask(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = str(write_bert(tmp_path / "tiny", "BertForMaskedLM"))
    masks = run(capsys, "fill", folder, "--text", "the [MASK] sat", "--candidates", "3")["masks"]
    assert [mask["position"] for mask in masks] == [2]
    assert [set(candidate) for candidate in masks[0]["candidates"]] == [{"id", "token", "probability"}] * 3
    assert all(WORDS[candidate["id"]] == candidate["token"].strip() for candidate in masks[0]["candidates"])


def test_classify_prints_labels_and_embed_vectors_and_similarities(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    classifier = write_bert(
        tmp_path / "classifier", "BertForSequenceClassification", id2label={"0": "sad", "1": "glad"}
    )
    labels = run(capsys, "classify", str(classifier), "--text", "the cat")["labels"]
    assert {item["label"] for item in labels} == {"sad", "glad"}
    assert sum(item["probability"] for item in labels) == pytest.approx(1.0)
    plain = str(write_bert(tmp_path / "plain", "BertModel"))
    found = run(capsys, "embed", plain, "--text", "the cat", "--text", "a dog")
    assert [len(vector) for vector in found["vectors"]] == [12, 12]
    assert found["similarities"][0][0] == pytest.approx(1.0)
    assert found["similarities"][0][1] == found["similarities"][1][0]


def test_a_card_says_which_kind_a_model_is(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    card = run(capsys, "inspect", str(write_bert(tmp_path / "tiny", "BertForMaskedLM")))
    assert (card["family"], card["kind"], card["supported"]) == ("bert", "encoder", True)


def test_what_a_kind_cannot_do_is_said_in_a_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, assets: Path
) -> None:
    encoder = str(write_bert(tmp_path / "tiny", "BertModel"))
    decoder = str(assets / "models" / "stories260K")
    said = refused(capsys, "generate", encoder, "--prompt", "the cat")
    assert said.startswith("tiny is an encoder: it fills masks and compares sentences.")
    assert "cannot fill masks" in refused(capsys, "score", encoder, "--text", "the cat")
    for command in (("embed", decoder, "--text", "a"), ("generate", decoder, "--source", "a")):
        assert "is a decoder: it continues a text." in refused(capsys, *command)
    assert "made to turn texts into vectors" in refused(capsys, "classify", encoder, "--text", "the cat")


def test_generate_without_prompt_ids_or_source_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["generate", "nowhere"])
    assert ended.value.code == 2
    assert "--source" in capsys.readouterr().err


@pytest.mark.parity
def test_a_real_encoder_decoder_writes_greedily_and_with_beams(
    capsys: pytest.CaptureFixture[str], references: Path
) -> None:
    folder = references / "models" / "aren-transliteration"
    expected = json.loads((folder / "expected.json").read_text("utf-8"))
    for how, flags in (("greedy", ("--temperature", "0")), ("beam4", ("--beams", "4"))):
        name, latin = next(iter(expected[how].items()))
        ids = run(capsys, "tokenize", str(folder / "hf"), "--text", name)["ids"]
        for flag in ("--source", "--prompt"):
            result = run(capsys, "generate", str(folder / "hf"), flag, name, *flags)
            assert (result["prompt_ids"], result["text"], result["finish"]) == (ids, latin, "eos")


@pytest.mark.parity
def test_a_target_s_score_is_the_published_one_and_counts_its_first_token(
    capsys: pytest.CaptureFixture[str], references: Path
) -> None:
    folder = references / "models" / "aren-transliteration"
    ((pair, logprob),) = json.loads((folder / "expected.json").read_text("utf-8"))["log_prob"].items()
    source, target = pair.split("->")
    ids = run(capsys, "tokenize", str(folder / "hf"), "--text", target, "--plain")["ids"]
    for given in (("--ids", " ".join(map(str, [*ids, 53]))), ("--text", target)):
        scored = run(capsys, "score", str(folder / "hf"), "--source", source, *given)
        assert scored["ids"] == [*ids, 53]
        assert scored["scored"] == len(ids) + 1
        assert scored["nll"] == pytest.approx(-logprob, abs=1e-4)


@pytest.mark.parity
def test_a_target_without_a_source_is_not_scored(capsys: pytest.CaptureFixture[str], references: Path) -> None:
    folder = str(references / "models" / "aren-transliteration" / "hf")
    assert "needs a source" in refused(capsys, "score", folder, "--text", "a")
