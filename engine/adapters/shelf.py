"""The adapters that were read for one loaded model: those used last stay, and go with the model at the latest."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from engine.adapters.files import adapter_files, located, stamp
from engine.adapters.fitting import fit
from engine.adapters.lora import Adaptation, Adapter, read
from engine.messages import Event, Progress
from engine.models.base import LanguageModel
from engine.params import AdapterUse

ROOM = 2**30
"""Bytes of adapters that stay when no run uses them."""


class Shelf:
    """Of one model, which is called so in messages."""

    def __init__(self, model: LanguageModel, called: str) -> None:
        self._model, self._called = model, called
        self._kept: dict[str, Adapter] = {}  # by path; the one used last stands last

    @property
    def nbytes(self) -> int:
        return sum(adapter.nbytes for adapter in self._kept.values())

    def adaptation(self, run: int, uses: Sequence[AdapterUse]) -> Generator[Event, None, Adaptation]:
        """What these adapters make of the model together, in whatever order; yields Progress while one is read.

        Raises BadModelFiles or UnsupportedModel for one that the model cannot take.
        """
        found = []
        for index, use in enumerate(sorted(uses, key=lambda use: (use.path, use.weight))):
            folder = located(use.path)
            adapter = self._kept.pop(str(folder), None)
            if adapter is None or adapter.stamp != stamp(folder):
                yield Progress(run, f"Reading {folder.name}", index, len(uses))
                files = adapter_files(use.path)
                places = fit(files, self._model, self._called)
                adapter = read(files, places, next(self._model.parameters()).device)
            self._kept[str(folder)] = adapter
            found.append((adapter, use.weight))
        while self.nbytes > ROOM and len(self._kept) > 1:
            del self._kept[next(iter(self._kept))]
        return Adaptation(self._model, found)

    def clear(self) -> None:
        self._kept.clear()
