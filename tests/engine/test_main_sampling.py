"""Sampling at the headless door: candidates as numbers, forms from files, texts with numbers."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from engine.__main__ import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(arguments) == 0
    (line,) = capsys.readouterr().out.splitlines()
    result: dict = json.loads(line)
    return result


@pytest.fixture
def model(assets: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path))
    return str(assets / "models" / "stories260K")


def test_candidates_are_given_with_what_each_step_did(capsys: pytest.CaptureFixture[str], model: str) -> None:
    result = run(
        capsys, "generate", model, "--prompt", "Once upon a time", "--seed", "3", "--top-k", "4", "--top-p", "0.8",
        "--max-new-tokens", "12", "--candidates", "10", "--json",
    )  # fmt: skip
    tokens = result["tokens"]
    assert [token["id"] for token in tokens] == result["ids"]
    assert "".join(token["text"] for token in tokens) == result["text"]
    for token in tokens:
        assert set(token) == {"id", "text", "logprob", "rank", "entropy", "candidates"}
        candidates = token["candidates"]
        assert len(candidates) in (10, 11) and token["entropy"] > 0
        assert all(set(each) == {"id", "text", "before", "after", "cut"} for each in candidates)
        before = [each["before"] for each in candidates]
        assert before == sorted(before, reverse=True) and sum(before) <= 1 + 1e-5
        assert math.isclose(sum(each["after"] for each in candidates), 1, abs_tol=1e-4)
        assert all((each["cut"] is None) == (each["after"] > 0) for each in candidates)
        assert {each["cut"] for each in candidates} <= {None, "top_k", "top_p", "min_p"}
        (drawn,) = (each for each in candidates if each["id"] == token["id"])
        assert drawn["cut"] is None and math.isclose(drawn["before"], math.exp(token["logprob"]), rel_tol=1e-4)
        assert candidates[token["rank"]] == drawn
    assert "tokens" not in run(capsys, "generate", model, "--prompt", "A", "--max-new-tokens", "2", "--json")


def test_a_form_comes_from_a_file(capsys: pytest.CaptureFixture[str], model: str, tmp_path: Path) -> None:
    schema, grammar = tmp_path / "form.json", tmp_path / "form.lark"
    schema.write_text('{"type": "object", "properties": {"n": {"enum": [1, 22]}}, "required": ["n"]}')
    grammar.write_text('start: ("é" | "x") /[0-9]{2}/')
    begin = ("generate", model, "--prompt", "A", "--seed", "1", "--max-new-tokens", "300", "--json")
    assert json.loads(run(capsys, *begin, "--regex", '\\{"n": [12]\\}')["text"])["n"] in (1, 2)
    assert re.fullmatch("[éx][0-9]{2}", run(capsys, *begin, "--grammar", str(grammar))["text"].strip())
    result = run(capsys, *begin, "--schema", str(schema))
    assert result["finish"] == "length" or json.loads(result["text"])["n"] in (1, 22)
    for wrong, words in ((str(tmp_path / "none"), "cannot be read"), (str(grammar), "JSON schema")):
        assert main((*begin, "--schema", wrong)) == 1
        assert words in capsys.readouterr().err


def test_texts_are_banned_and_biased_from_the_line(capsys: pytest.CaptureFixture[str], model: str) -> None:
    begin = (
        "generate",
        model,
        "--prompt",
        "Once upon a time",
        "--temperature",
        "0",
        "--max-new-tokens",
        "40",
        "--json",
    )
    plain = run(capsys, *begin)
    assert "Lily" in plain["text"]
    assert "Lily" not in run(capsys, *begin, "--banned-phrases", "lily")["text"]
    first = plain["ids"][0]
    assert run(capsys, *begin, "--logit-bias", f"#{first}=-100")["ids"][0] != first
    with pytest.raises(SystemExit):
        main((*begin, "--logit-bias", "x"))


def test_guidance_of_1_changes_nothing_and_below_0_turns_round(capsys: pytest.CaptureFixture[str], model: str) -> None:
    begin = (
        "generate",
        model,
        "--prompt",
        "Once upon a time",
        "--temperature",
        "0",
        "--max-new-tokens",
        "30",
        "--json",
    )
    plain = run(capsys, *begin)["text"]
    assert run(capsys, *begin, "--negative-prompt", "There was a dog")["text"] == plain
    assert run(capsys, *begin, "--negative-prompt", "There was a dog", "--guidance", "-0.5")["text"] != plain
