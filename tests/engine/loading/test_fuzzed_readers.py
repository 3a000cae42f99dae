from __future__ import annotations

from pathlib import Path

import fuzz_readers


def test_spoiled_folders_are_read_or_refused_in_one_sentence(assets: Path) -> None:
    models = assets / "models"
    assert fuzz_readers.run([models / "stories260K", models / "babyllama-361"], 100)["refused"] > 25


def test_spoiled_gguf_files_are_read_or_refused_in_one_sentence(references: Path) -> None:
    files = sorted((references / "models").rglob("*.gguf"))
    assert fuzz_readers.run(files, 200)["refused"] > 100
