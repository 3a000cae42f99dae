"""What the readers of tokenizers share: files read within bounds, and what they make of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import BadModelFiles

if TYPE_CHECKING:
    import tokenizers

AGAIN = "Download the model's files again."
LARGEST = 64 * 2**20
"""Bytes a vocabulary's file may have."""


@dataclass(frozen=True, slots=True)
class Files:
    """What a model's files say of its tokenizer; settings are in the words of a tokenizer_config.json.

    chat_format: the name of the fallback that template is, "" where it is the model's own.
    tokens: how many of the ids are the model's, where the tokenizer needs further ones for itself. target: the
    tokenizer of what the model writes, where that has a vocabulary of its own.
    """

    backend: tokenizers.Tokenizer
    settings: dict[str, Any]
    template: str | None = None
    chat_format: str = ""
    tokens: int | None = None
    target: Files | None = None


def read_bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST:
            raise BadModelFiles(f"{path.name} in {path.parent} is larger than {LARGEST // 2**20} MB.", AGAIN)
        return path.read_bytes()
    except OSError as error:
        raise BadModelFiles(f"{path.name} in {path.parent} cannot be read: {first_line(error)}.", AGAIN) from error


def read_text(path: Path) -> str:
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadModelFiles(f"{path.name} in {path.parent} cannot be read: it is no text.", AGAIN) from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file that may be absent."""
    if not path.is_file():
        return {}
    try:
        values = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise BadModelFiles(f"{path.name} in {path.parent} cannot be read: {first_line(error)}.", AGAIN) from error
    if not isinstance(values, dict):
        raise BadModelFiles(f"{path.name} in {path.parent} holds no JSON object.", AGAIN)
    return values


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
