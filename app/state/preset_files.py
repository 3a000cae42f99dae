"""Presets as JSON files: the sampling of now written to one, another's read from one, neither on the GUI thread.

A file is what assets/presets holds: a name, a description and the values that are not to be off. What is unknown in it,
or out of range, is left out and said.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QThreadPool, Signal

from app.state.presets import Preset, Presets, valid
from app.state.saving import Saver

LARGEST = 2**20  # bytes; a preset takes two thousand


class PresetFiles(QObject):
    """said: one sentence on what was done, or why it was not."""

    said = Signal(str)
    _read = Signal(object, str)

    def __init__(self, presets: Presets) -> None:
        super().__init__()
        self._presets = presets
        self._saver = Saver()
        self._saver.saved.connect(lambda path: self.said.emit(f"Saved as {Path(path).name}."))
        self._saver.failed.connect(self.said)
        self._read.connect(self._take)

    def save(self, path: str) -> None:
        """Write the sampling of now, all but the seed, under the chosen preset's name."""
        name = self._presets.name
        values = {key: value for key, value in self._presets.sampling.to_dict().items() if key != "seed"}
        preset = {"name": name, "description": self._presets.preset.description, "sampling": values}
        text = json.dumps(preset, indent=2, ensure_ascii=False) + "\n"
        self._saver.save(path, partial(_write, text))

    def open(self, path: str) -> None:
        """Read a preset, keep it among the person's own, and choose it."""
        QThreadPool.globalInstance().start(lambda: self._read.emit(*_opened(Path(path))))

    def _take(self, preset: Preset | None, words: str) -> None:
        if preset is not None:
            name = self._presets.add(preset)
            words = f"{name} was added. {words}".strip()
        self.said.emit(words)


def _write(text: str, path: Path) -> None:
    path.write_text(text, "utf-8")


def _opened(path: Path) -> tuple[Preset | None, str]:
    """The preset in a file, and what is to be said of it; None where there is none."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        raw: Any = json.loads(data.decode("utf-8")) if len(data) <= LARGEST else None
    except OSError as error:
        return None, f"{path.name} could not be read: {error.strerror or error}."
    except (ValueError, RecursionError):
        return None, f"{path.name} is no JSON file."
    given = raw.get("sampling", {}) if isinstance(raw, dict) else {}
    values = valid(given)
    if not values:
        return None, f"{path.name} holds no preset of this program."
    left = sorted(set(given) - set(values))
    words = f"Left out, as unknown or out of range: {', '.join(left)}." if left else ""
    name, description = raw.get("name"), raw.get("description")
    name = name.strip() if isinstance(name, str) and name.strip() else path.stem
    return Preset(name[:60], description if isinstance(description, str) else "", values, saved=True), words
