"""The parts of a GGUF model that lies in several files, told by their names alone: name-00002-of-00003.gguf.

It reads no file and knows no format, so that a list of models needs no GGUF library; whether the parts are what their
names say is judged where they are read, in engine/gguf.py. Source: llama.cpp's gguf-split.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")


def parts(path: Path) -> list[Path]:
    """The paths of all parts in their order, whether there or not; path alone where it is not named as a part."""
    found = PART.fullmatch(path.name)
    if found is None or not 1 <= int(found[2]) <= int(found[3]):
        return [path]
    return [path.with_name(f"{found[1]}-{number:05}-of-{found[3]}.gguf") for number in range(1, int(found[3]) + 1)]


def first(path: Path) -> Path:
    """The part to call the model by: the first one, or path itself where that one is not there."""
    found = parts(path)[0]
    return found if found.is_file() else path


def wholes(paths: Iterable[Path]) -> list[Path]:
    """One path for each model among the paths: the first of its parts that are there."""
    found: dict[Path, Path] = {}
    for path in sorted(paths):
        found.setdefault(parts(path)[0], path)
    return list(found.values())


def title(path: Path) -> str:
    """The file's name without its ending, and without the part's number."""
    found = PART.fullmatch(path.name)
    return found[1] if found else path.stem
