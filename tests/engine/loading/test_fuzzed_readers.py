from __future__ import annotations

from pathlib import Path

import fuzz_readers
import pytest
from gguf_models import random_model, written
from ggufs import split


def test_spoiled_folders_are_read_or_refused_in_one_sentence(assets: Path) -> None:
    models = assets / "models"
    assert fuzz_readers.run([models / "stories260K", models / "babyllama-361"], 100)["refused"] > 25


def test_spoiled_gguf_files_are_read_or_refused_in_one_sentence(references: Path) -> None:
    files = sorted((references / "models").rglob("*.gguf"))
    assert fuzz_readers.run(files, 200)["refused"] > 100


def test_spoiled_parts_are_read_or_refused_in_one_sentence(references: Path, tmp_path: Path) -> None:
    whole = references / "models" / "stories260K" / "gguf" / "stories260K-f16.gguf"
    assert fuzz_readers.run(split(whole, tmp_path, 20), 60)["refused"] > 30


def test_spoiled_mixtures_of_experts_are_read_or_refused_in_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    file = written(tmp_path / "experts.gguf", random_model("mixtral"))
    assert fuzz_readers.run([file], 60)["refused"] == 60  # it has no vocabulary
