"""Every subcommand takes a GGUF file, and says of it what it says of the same model's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFWriter

from engine.__main__ import main
from engine.encoding import Pooling
from engine.errors import UnsupportedModel


@pytest.fixture
def real(references: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[str, str]:
    """The folder and the GGUF file of one model."""
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path))
    place = references / "models" / "stories260K"
    return str(place / "hf"), str(place / "gguf" / "stories260K-f32.gguf")


def run(capsys: pytest.CaptureFixture[str], command: str, model: str, *arguments: str) -> dict[str, Any]:
    assert main([command, model, *arguments, "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_a_file_and_its_folder_write_score_and_tokenize_alike(
    capsys: pytest.CaptureFixture[str], real: tuple[str, str]
) -> None:
    folder, file = real
    text = "Once upon a time, there was a dög."
    greedy = ("--prompt", "Once", "--temperature", "0", "--max-new-tokens", "40")
    for command, arguments in (("generate", greedy), ("tokenize", ("--text", text)), ("score", ("--text", text))):
        ours, theirs = run(capsys, command, file, *arguments), run(capsys, command, folder, *arguments)
        for key in ("ids", "text", "pieces", "scored"):
            assert ours.get(key) == theirs.get(key), (command, key)
        assert ours.get("nll", 0.0) == pytest.approx(theirs.get("nll", 0.0), abs=1e-4)


def test_a_file_is_inspected_as_its_folder_is(capsys: pytest.CaptureFixture[str], real: tuple[str, str]) -> None:
    theirs, ours = (run(capsys, "inspect", model) for model in real)
    for key in ("family", "kind", "context", "tokenizer", "precision", "chat_template"):
        assert ours[key] == theirs[key], key
    assert ours["supported"] and ours["name"] == "stories260K-f32"


def test_the_template_inside_a_file_is_rendered(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path, messages = tmp_path / "chat.gguf", tmp_path / "messages.json"
    writer = GGUFWriter(path, "mammoth")
    writer.add_tokenizer_model("llama")
    writer.add_token_list(["<unk>", "<s>", "</s>", "▁", "H", "i", "[", "]"])
    writer.add_token_scores([0.0] * 8)
    writer.add_token_types([2, 3, 3, 1, 1, 1, 1, 1])
    writer.add_bos_token_id(1)
    writer.add_chat_template("{{ bos_token }}{% for m in messages %}[{{ m.content }}]{% endfor %}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    messages.write_text('[{"role": "user", "content": "Hi"}]', "utf-8")
    found = run(capsys, "template", str(path), "--messages", str(messages))
    assert found["text"] == "<s>[Hi]" and found["ids"] == [1, 3, 6, 4, 5, 7]
    assert found["spans"] == [["user", 0, 6]]


def test_a_file_of_an_encoder_says_how_it_pools(tmp_path: Path) -> None:
    for number, kind in ((None, "mean"), (1, "mean"), (2, "cls"), (3, None)):
        path = tmp_path / "pool.gguf"
        writer = GGUFWriter(path, "bert")
        if number is not None:
            writer.add_uint32("bert.pooling_type", number)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
        if kind is None:
            with pytest.raises(UnsupportedModel, match="numbered 3"):
                Pooling.read(path)
        else:
            assert Pooling.read(path) == Pooling(kind, True, None)
