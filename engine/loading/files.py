"""A model folder's small files: JSON read with limits, and what its SOURCE.md says. Free of torch."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from engine.errors import BadModelFiles

LARGEST = 64 * 2**20
"""Bytes a JSON file may have; the index of the largest models has a few."""

DOWNLOAD_AGAIN = "Download the model again."


def model_folder(path: str) -> Path:
    """The folder, checked to be one that holds a config.json."""
    folder = Path(path).expanduser()
    if not folder.exists():
        raise BadModelFiles(f"There is nothing at {folder}.", "Choose a folder that holds a model.")
    if not folder.is_dir():
        raise BadModelFiles(f"{folder.name} is a file, not a model folder.", "Choose the folder that holds it.")
    if not (folder / "config.json").is_file():
        raise BadModelFiles(
            f"{folder.name} is not a model folder: it has no config.json.",
            "Choose a folder with config.json, tokenizer.json and model.safetensors.",
        )
    return folder


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; BadModelFiles names the file where it is too large, unreadable or something else."""
    label = f"{path.parent.name}/{path.name}"
    try:
        if path.stat().st_size > LARGEST:
            raise BadModelFiles(f"{label} is larger than {LARGEST // 2**20} MB.", DOWNLOAD_AGAIN)
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise BadModelFiles(f"{label} cannot be read: {error.strerror or error}.", "Check the file.") from error
    except (ValueError, RecursionError) as error:
        raise BadModelFiles(f"{label} is not valid JSON.", DOWNLOAD_AGAIN) from error
    if not isinstance(value, dict):
        raise BadModelFiles(f"{label} does not hold a JSON object.", DOWNLOAD_AGAIN)
    return value


def read_optional(path: Path) -> dict[str, Any]:
    """The same, or nothing where there is no such file."""
    return read_json(path) if path.is_file() else {}


FORMATS = ("hf", "huggingface", "safetensors", "pytorch", "model", "gguf")
"""Names of folders that say what their files are, not what the model is."""


def described(folder: Path) -> tuple[str, str]:
    """A model's name and a note: its SOURCE.md's heading and first paragraph; without one, the folder's name.

    A folder called after the format of its files, like hf in somebody/story-model/hf, is named by the one it lies in.
    """
    folder = folder.absolute()
    name = folder.name
    if name.lower() in FORMATS and folder.parent.name:
        name = folder.parent.name
    if folder.parent.name == "snapshots":  # a Hugging Face cache: models--owner--name/snapshots/<commit>
        name = folder.parent.parent.name.rpartition("--")[2]
    try:
        with open(folder / "SOURCE.md", encoding="utf-8", errors="replace") as file:
            text = file.read(20_000)
    except OSError:
        return name, ""
    heading, *paragraphs = re.split(r"\n\s*\n", text.strip())
    note = next((p for p in paragraphs if p[:1].isalnum()), "")
    if heading.startswith("# "):
        name = heading[2:].splitlines()[0].strip() or name
    return name, " ".join(note.split())
