"""What adapters lie on this machine, and whether a model could take them, without loading either.

Torch is imported only where a model is asked for, whose modules are then built without weights.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from engine.adapters.files import adapter_files, is_adapter
from engine.errors import EngineError
from engine.lanes import Job
from engine.loading.catalog import DEPTH, MOST_FOLDERS
from engine.loading.checkpoint import checkpoint
from engine.loading.files import described
from engine.messages import AdapterCard, Adapters, FindAdapters, Progress, Run

if TYPE_CHECKING:
    from engine.models.base import LanguageModel


class Outline(NamedTuple):
    """A model's modules, without weights, and what it is called."""

    model: LanguageModel
    name: str


def outline(path: str) -> Outline:
    """Of the model at a path; raises as loading does for what cannot be run."""
    import torch

    from engine.models import family
    from engine.models.reader import Reader

    found = checkpoint(path)
    reader = Reader(found.config, found.source)
    module = family(reader.take("model_type", str))
    with torch.device("meta"):
        return Outline(module.Model(module.Config.read(reader)), found.described[0])


def card(path: str, model: Outline | None = None) -> AdapterCard:
    """The card of an adapter's folder; one that cannot be used, or not by the model, has the reason."""
    folder = Path(path).expanduser().absolute()
    try:
        files = adapter_files(path)
    except EngineError as error:
        return AdapterCard(str(folder), described(folder)[0], reason=error.message, hint=error.hint)
    reason = hint = ""
    if model is not None:
        from engine.adapters.fitting import fit  # with torch

        try:
            fit(files, *model)
        except EngineError as error:
            reason, hint = error.message, error.hint
    return AdapterCard(
        path=str(files.path),
        name=files.name,
        base=files.settings.base,
        rank=max(pair.A[0] for pair in files.pairs.values()),
        alpha=files.settings.alpha,
        modules=tuple(sorted({name.rpartition(".")[2] for name in files.pairs})),
        parameters=files.numbers,
        bytes_on_disk=files.nbytes,
        reason=reason,
        hint=hint,
    )


def find(command: FindAdapters, run: Run) -> Job:
    """The adapters in some folders, as cards."""
    model = outline(command.model) if command.model else None
    cards = []
    for path in adapters_in(command.folders):
        cards.append(card(path, model))
        yield Progress(run.id, "Looking for adapters", len(cards), 0)
    yield Adapters(run.id, tuple(cards))
    return None


def adapters_in(folders: tuple[str, ...]) -> Iterator[str]:
    """The adapters' folders among these and below them, as models are looked for; beside a model's files, too."""
    seen: set[str] = set()
    for folder in folders:
        yield from _below(os.path.expanduser(folder), DEPTH, seen)


def _below(place: str, depth: int, seen: set[str]) -> Iterator[str]:
    real = os.path.realpath(place)
    if real in seen or len(seen) >= MOST_FOLDERS:
        return
    seen.add(real)
    if is_adapter(Path(place)):
        yield place
    if not depth:
        return
    try:
        items = sorted(item.path for item in os.scandir(place) if not item.name.startswith(".") and item.is_dir())
    except OSError:
        return  # not there or not ours to read
    for item in items:
        yield from _below(item, depth - 1, seen)
