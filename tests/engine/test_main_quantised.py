"""The headless door with models of few bits: what they write, what they are held in, and what is kept of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.__main__ import main


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path / "home"))


@pytest.fixture
def model(assets: Path) -> str:
    return str(assets / "models" / "babyllama-361")


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_what_is_written_is_the_same_when_the_weights_come_from_what_was_kept(
    model: str, capsys: pytest.CaptureFixture[str], precision: str
) -> None:
    line = ("generate", model, "--prompt", "Once upon a time", "--precision", precision, "--temperature", "0")
    line += ("--max-new-tokens", "30", "--threads", "1")
    first = said(capsys, *line)
    assert len(first["ids"]) == 30
    assert said(capsys, "cache")["models"] == 1
    assert said(capsys, *line)["ids"] == first["ids"]


def test_the_likeliest_words_of_8_bits_are_those_of_32(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = ("generate", model, "--prompt", "Once upon a time", "--temperature", "0", "--max-new-tokens", "60")
    full = said(capsys, *line, "--precision", "fp32")
    assert said(capsys, *line, "--precision", "int8")["text"] == full["text"]


def test_inspect_lists_what_the_matrices_would_be_held_in_and_why(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = said(capsys, "inspect", model, "--precision", "int4")["plan"]
    assert plan["precision"] == "int4"
    forms = [(each["form"], each["matrices"], bool(each["why"])) for each in plan["matrices"]]
    assert forms == [("4 bits in groups of 32", 35, False), ("8 bits in groups of 128", 1, True)]
    assert main(["inspect", model, "--precision", "int4"]) == 0
    out = capsys.readouterr().out
    assert "4 bits in groups of 32: 35 matrices" in out
    assert "(the vocabulary loses most in 4 bits)" in out


def test_inspect_refuses_a_precision_that_there_is_none_of(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", model, "--precision", "int5"]) == 1
    assert "int5" in capsys.readouterr().err


def test_what_is_kept_is_counted_and_cleared(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "cache") == {"models": 0, "bytes": 0, "cleared": False}
    said(capsys, "generate", model, "--prompt", "A", "--precision", "int4", "--max-new-tokens", "1")
    kept = said(capsys, "cache")
    assert kept["models"] == 1
    assert kept["bytes"] > 500_000
    assert said(capsys, "cache", "--clear") == {**kept, "cleared": True}
    assert said(capsys, "cache")["models"] == 0
