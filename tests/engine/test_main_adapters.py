"""Adapters through the headless door."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from checkpoints import loaded
from lora import BASE, write_adapter

from engine.__main__ import main


@pytest.fixture
def story(assets: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path))
    return str(assets / "models" / "stories260K")


@pytest.fixture
def red(story: str, tmp_path: Path) -> str:
    return str(write_adapter(tmp_path / "red", loaded(Path(story)).model, "q_proj", "up_proj", lora_alpha=2))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main((*arguments, "--json")) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 1
    (sentence,) = capsys.readouterr().err.splitlines()
    return sentence


@pytest.mark.parametrize(
    "arguments",
    [
        ("generate", "--prompt", "Once upon", "--temperature", "0", "--max-new-tokens", "8"),
        ("generate", "--prompt", "Once upon", "--seed", "3", "--max-new-tokens", "8", "--best-of", "2"),
        ("score", "--text", "Once upon a time"),
        ("attend", "--text", "Once upon a time"),
        ("lens", "--text", "Once upon a time"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_subcommand_takes_adapters_with_weights(
    capsys: pytest.CaptureFixture[str], story: str, red: str, arguments: tuple[str, ...]
) -> None:
    name, *rest = arguments

    def said(*flags: str) -> dict[str, Any]:
        result = run(capsys, name, story, "--threads", "1", *rest, *flags)
        pace = {"tokens_per_second", "drafted", "accepted"}  # of the machine
        return {key: value for key, value in result.items() if key not in pace}

    plain, whole = said(), said("--adapter", red)
    assert whole != plain and said("--adapter", f"{red}=0") == plain
    twice = said("--adapter", f"{red}=0.25", "--adapter", f"{red}=0.75")
    if name == "score":
        assert math.isclose(twice["nll"], whole["nll"], rel_tol=1e-5)
    assert said("--adapter", f"{red}=1") == whole


def test_chat_talks_with_an_adapter(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, story: str, red: str
) -> None:
    def answer(*flags: str) -> str:
        lines = iter(["Once upon a time"])
        monkeypatch.setattr("builtins.input", lambda _: next(lines, None) or (_ for _ in ()).throw(EOFError))
        assert main(("chat", story, "--temperature", "0", "--max-new-tokens", "8", *flags)) == 0
        return capsys.readouterr().out

    assert answer("--adapter", red) != answer() == answer("--adapter", f"{red}=0")


def test_inspect_says_what_an_adapters_folder_holds(capsys: pytest.CaptureFixture[str], red: str) -> None:
    found = run(capsys, "inspect", red)
    assert found["kind"] == "adapter" and found["base"] == BASE and found["rank"] == 4
    assert found["modules"] == ["q_proj", "up_proj"] and found["reason"] == ""
    assert main(("inspect", red)) == 0
    assert "q_proj, up_proj" in capsys.readouterr().out


def test_what_cannot_be_used_is_one_sentence(
    capsys: pytest.CaptureFixture[str], story: str, red: str, assets: Path
) -> None:
    score = ("score", story, "--text", "Once upon a time", "--adapter")
    assert "outside 0 to 2" in refused(capsys, *score, f"{red}=3")
    assert "There is nothing at" in refused(capsys, *score, f"{red}-missing")
    assert "has no adapter_config.json" in refused(capsys, *score, story)
    other = str(assets / "models" / "babyllama-361")
    assert "of 172 × 64, but" in refused(capsys, "score", other, "--text", "Once", "--adapter", red)
    (Path(red) / "adapter_model.safetensors").write_bytes(b"nothing")
    assert "damaged" in refused(capsys, "inspect", red)
