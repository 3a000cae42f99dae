"""The benchmark: what it prints, what it writes, and what it refuses. No time is asserted."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader

from engine.__main__ import main
from engine.bench.models import from_shape, table_bytes
from engine.bench.peer import write_gguf
from engine.bench.report import BEGIN, END, HEAD, lines, row, write
from engine.bench.shapes import SHAPES, Shape
from engine.errors import InvalidValue
from engine.quantize import nbytes

QUICK = ["--rounds", "1", "--tokens", "3", "--prompt-tokens", "16", "--threads", "1"]
NAMED = {
    "decode_tokens_per_s", "prefill_tokens_per_s", "prompt_tokens", "context", "threads", "kernels", "weight_bytes",
    "peak_bytes", "first_token_s", "stop_s", "share_of_limit", "live_panes_share",
}  # fmt: skip
RESULT: dict[str, Any] = {
    "model": "tiny", "precision": "int4", "threads": 2, "kernels": "AVX2", "prompt_tokens": 512,
    "decode_tokens_per_s": 40.0, "prefill_tokens_per_s": 90.0, "share_of_limit": 0.9, "weight_bytes": 10**6,
    "peak_bytes": 10**8, "load_average": 0.5, "decode_ratio": 1.25, "prefill_ratio": 1.5,
    "busy": {"decode_tokens_per_s": 30.0, "decode_ratio": 2.0},
}  # fmt: skip


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8", "int4"])
def test_it_prints_its_figures_as_one_json_object(precision: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--shape", "tiny", "--precision", precision, "--json", *QUICK]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.keys() >= NAMED
    assert all(found[name] > 0 for name in NAMED - {"stop_s", "kernels"})
    assert (found["prompt_tokens"], found["context"], found["threads"]) == (16, 16, 1)


@pytest.mark.skipif(importlib.util.find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")
def test_the_peer_is_measured_in_turn(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--shape", "tiny", "--against", "llama.cpp", "--json", *QUICK]) == 0
    found = json.loads(capsys.readouterr().out)
    peer = found["peer"]
    assert found["decode_ratio"] == pytest.approx(found["decode_tokens_per_s"] / peer["decode_tokens_per_s"])
    assert found["prefill_ratio"] == pytest.approx(found["prefill_tokens_per_s"] / peer["prefill_tokens_per_s"])


def test_a_model_is_measured_as_the_program_loads_it(assets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(assets / "models" / "stories260K"), "--json", *QUICK]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == "stories260K" and found["decode_tokens_per_s"] > 0


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["folder", "--shape", "1b"],
        ["--shape", "7b"],
        ["--shape", "tiny", "--precision", "int2"],
        ["--shape", "tiny", "--precision", "fp32", "--threads", "1", "--against", "another"],
    ],
)
def test_what_cannot_be_measured_is_said_in_a_sentence(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *wrong]) == 1
    assert capsys.readouterr().err.strip().count("\n") == 0


@pytest.mark.parametrize("shape", [SHAPES["tiny"], Shape("two tables", 1, 4, 2, 64, 96, 80, tied=False)])
def test_a_shape_has_the_parameters_that_it_says(shape: Shape) -> None:
    subject = from_shape(shape, "fp32", 1)
    assert sum(weight.numel() for weight in subject.model.parameters()) == shape.parameters
    assert subject.weight_bytes == nbytes(subject.model) == 4 * shape.parameters
    assert table_bytes(subject.model) == (0 if shape.tied else 4 * shape.vocabulary * shape.width)


def test_the_peers_file_holds_the_same_shape(tmp_path: Path) -> None:
    shape = SHAPES["tiny"]
    write_gguf(tmp_path / "shape.gguf", shape)
    tensors = GGUFReader(tmp_path / "shape.gguf").tensors
    assert sum(tensor.n_elements for tensor in tensors) == shape.parameters
    assert {tensor.tensor_type.name for tensor in tensors if len(tensor.shape) == 2} == {"Q4_0"}


def test_the_table_keeps_one_row_for_each_measurement(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(f"before\n{BEGIN}\n{END}\nafter\n", encoding="utf-8")
    write(file, RESULT)
    write(file, {**RESULT, "threads": 1})
    write(file, {**RESULT, "decode_tokens_per_s": 41.5})
    write(file, {**RESULT, "kernels": "another", "decode_tokens_per_s": 77.0})
    text = file.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{BEGIN}\n{HEAD}\n") and text.endswith(f"{END}\nafter\n")
    assert text.count("| tiny") == 3
    assert "41.5" in text and "77.0" in text and "40.0" in text.splitlines()[4]


def test_a_file_without_marks_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("nothing here", encoding="utf-8")
    with pytest.raises(InvalidValue):
        write(file, RESULT)
    assert file.read_text(encoding="utf-8") == "nothing here"


def test_a_row_has_a_cell_for_every_column() -> None:
    bare = {name: value for name, value in RESULT.items() if name not in ("busy", "decode_ratio", "prefill_ratio")}
    for result in (RESULT, bare):
        assert row(result).count("|") == HEAD.count("|")


def test_every_figure_has_its_line() -> None:
    assert len(lines(RESULT)) == len(RESULT) + len(RESULT["busy"])
