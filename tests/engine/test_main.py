"""The headless door as a script uses it: flags in, one JSON object out, one sentence on a mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.__main__ import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(arguments) == 0
    (line,) = capsys.readouterr().out.splitlines()
    result: dict = json.loads(line)
    return result


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (sentence,) = captured.err.splitlines()
    return sentence


@pytest.fixture
def models(assets: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path))
    return assets / "models"


@pytest.mark.parity
@pytest.mark.parametrize("name", ["stories260K", "babyllama-361"])
def test_generate_at_temperature_zero_reproduces_the_published_story(
    capsys: pytest.CaptureFixture[str], models: Path, data: Path, name: str
) -> None:
    for case in json.loads((data / name / "expected.json").read_text())["greedy_fp32_cpu"]:
        prompt, ids = case["prompt_ids"], case["greedy_ids"]
        end = next((i + 1 for i, t in enumerate(ids) if i >= len(prompt) and t in (1, 2)), len(ids))
        result = run(
            capsys, "generate", str(models / name), "--prompt", case["prompt"], "--temperature", "0",
            "--max-new-tokens", str(len(ids) - len(prompt)), "--json",
        )  # fmt: skip
        assert result["prompt_ids"] == prompt
        assert result["ids"] == ids[len(prompt) : end]
        assert result["finish"] == ("length" if end == len(ids) else "eos")
        assert result["tokens_per_second"] > 0
        assert case["greedy_text"].startswith((case["prompt"] + result["text"]).removeprefix(" "))


def test_temperature_zero_alone_ignores_the_models_own_defaults(
    capsys: pytest.CaptureFixture[str], models: Path, data: Path
) -> None:
    case = json.loads((data / "companion" / "expected.json").read_text())["greedy_fp32_cpu"][2]
    ids = " ".join(map(str, case["prompt_ids"]))
    result = run(
        capsys, "generate", str(models / "companion"), "--ids", ids, "--temperature", "0",
        "--precision", "fp32", "--max-new-tokens", "80", "--json",
    )  # fmt: skip
    assert result["ids"] == case["greedy_ids"]
    assert set(result) == {"prompt_ids", "ids", "text", "finish", "tokens_per_second", "drafted", "accepted"}
    assert 0 <= result["accepted"] <= result["drafted"]


def test_the_same_seed_gives_the_same_text_in_another_process(models: Path) -> None:
    command = [sys.executable, "-m", "engine", "generate", str(models / "stories260K"), "--prompt", "Once"]
    options = ["--seed", "11", "--max-new-tokens", "30", "--json"]
    texts = {
        json.loads(subprocess.run([*command, *options], capture_output=True, text=True, check=True).stdout)["text"]
        for _ in range(2)
    }
    assert len(texts) == 1


def test_ids_beyond_the_tokenizer_are_legal_up_to_the_models_vocabulary(
    capsys: pytest.CaptureFixture[str], models: Path
) -> None:
    sentence = refused(capsys, "generate", str(models / "babyllama-361"), "--ids", "1 361", "--json")
    assert "361" in sentence and "360" in sentence
    assert run(capsys, "generate", str(models / "babyllama-361"), "--ids", "1 360", "--max-new-tokens", "1", "--json")


def test_score_reports_what_it_counted(capsys: pytest.CaptureFixture[str], models: Path, tmp_path: Path) -> None:
    text = "Once upon a time, there was a little girl named Lily."
    result = run(capsys, "score", str(models / "babyllama-361"), "--text", text, "--json")
    assert set(result) == {"ids", "logprobs", "entropies", "nll", "perplexity", "scored"}
    assert result["logprobs"][0] is None and result["entropies"][0] is None
    assert result["scored"] == len(result["ids"]) - 1
    assert result["nll"] == pytest.approx(-sum(result["logprobs"][1:]))
    assert result["perplexity"] == pytest.approx(2.718281828 ** (result["nll"] / result["scored"]), rel=1e-6)
    file = tmp_path / "story.txt"
    file.write_text(text)
    again = run(capsys, "score", str(models / "babyllama-361"), "--file", str(file), "--json")
    ids = run(capsys, "score", str(models / "babyllama-361"), "--ids", " ".join(map(str, result["ids"])), "--json")
    assert again == result == ids


def test_a_text_longer_than_the_context_is_scored_whole_each_token_once(
    capsys: pytest.CaptureFixture[str], models: Path
) -> None:
    text = "Once upon a time, there was a dog. " * 20
    result = run(capsys, "score", str(models / "babyllama-361"), "--text", text, "--json")
    assert len(result["ids"]) > 512
    assert result["scored"] == len(result["ids"]) - 1 == len(result["logprobs"]) - 1


def test_tokenize_and_template_need_no_weights(
    capsys: pytest.CaptureFixture[str], models: Path, tmp_path: Path
) -> None:
    assert run(capsys, "tokenize", str(models / "companion"), "--text", "Hi!", "--json")["pieces"] == ["Hi", "!"]
    with_marks = run(capsys, "tokenize", str(models / "stories260K"), "--text", "Once", "--json")
    plain = run(capsys, "tokenize", str(models / "stories260K"), "--text", "Once", "--plain", "--json")
    assert with_marks["ids"] == [1, *plain["ids"]]
    file = tmp_path / "messages.json"
    file.write_text(json.dumps([{"role": "user", "content": "Hi!"}]))
    result = run(
        capsys, "template", str(models / "companion"), "--messages", str(file), "--add-generation-prompt", "--json"
    )
    assert result["text"] == "<|bos|><|user|>Hi!<|end|><|assistant|>"
    assert [role for role, _, _ in result["spans"]] == ["user"]


def test_inspect_says_what_a_folder_holds(capsys: pytest.CaptureFixture[str], models: Path) -> None:
    card = run(capsys, "inspect", str(models / "companion"), "--json")
    assert card["family"] == "llama" and card["kind"] == "decoder" and card["supported"] and card["chat_template"]
    assert card["parameters"] == 7_344_384 and card["context"] == 1024


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect",),
        ("generate",),
        ("score", "--text", "a b"),
        ("tokenize", "--text", "a"),
        ("chat",),
    ],
)
def test_a_folder_that_is_no_model_is_one_sentence_and_exit_one(
    capsys: pytest.CaptureFixture[str], models: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    folder = tmp_path / "not-a-model"
    folder.mkdir()
    more = ("--prompt", "a") if arguments[0] == "generate" else ()
    assert "not-a-model" in refused(capsys, arguments[0], str(folder), *arguments[1:], *more)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--prompt", "a", "--temperature", "9"), "temperature"),
        (("--ids", "1 two"), "--ids"),
        (("--prompt", "a " * 2000), "2,0"),
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_it(
    capsys: pytest.CaptureFixture[str], models: Path, arguments: tuple[str, ...], says: str
) -> None:
    assert says in refused(capsys, "generate", str(models / "stories260K"), *arguments)


@pytest.mark.parametrize("arguments", [(), ("generate",), ("generate", "m", "--prompt", "a", "--top-k", "x"), ("fly",)])
def test_wrong_usage_is_exit_two(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2


def test_chat_answers_line_by_line_and_remembers(
    capsys: pytest.CaptureFixture[str], models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = iter(["Hi, how are you?", "", "What do you do for a living?"])

    def read(_: str) -> str:
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", read)
    assert main(["chat", str(models / "companion"), "--temperature", "0", "--precision", "fp32"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "I'm doing well, thanks. How about you?" in shown
    assert len([line for line in shown if line.strip()]) == 3
