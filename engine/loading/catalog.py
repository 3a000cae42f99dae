"""What models lie on this machine and whether they can be run, without loading one.

The importing of this module, and all it reads, is free of torch but for one thing: whether a config is supported is
asked of the family itself. A model that cannot be run still gets a card, which says why.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import EngineError
from engine.gguf_parts import first, wholes
from engine.lanes import Job
from engine.loading.checkpoint import checkpoint
from engine.loading.files import described
from engine.messages import Cards, Command, CountKept, Inspect, Kept, ModelCard, Progress, Run, Scan
from engine.models import family
from engine.models.reader import Reader

if TYPE_CHECKING:
    from engine.loading.gguf import GGUFWeights
    from engine.loading.safetensors import Weights
    from engine.models.base import LanguageModel

BUNDLED = (Path(__file__).parents[2] / "assets" / "models").resolve()
DEPTH = 3
"""Folders below the one that was named; three reach into a Hugging Face cache."""

MOST_FOLDERS = 2000
"""Folders looked into in one scan: a home directory must not keep it busy for minutes."""


def inspect(path: str) -> ModelCard:
    """The card of a model folder or GGUF file; BadModelFiles where it is none, or where its config cannot be read."""
    found = checkpoint(path)
    model_type = found.family
    name, note = found.described
    chat_template, chat_format = found.template.source is not None or found.joins_turns, found.template.format
    reason = hint = ""
    kind = "decoder"
    context = parameters = size = 0
    precision = ""
    weights = None
    in_memory: tuple[tuple[str, int], ...] = ()
    # Each part is read as far as it goes: a card of a model that cannot be run is as full as it can be.
    try:
        weights = found.weights()
        parameters, size, precision = weights.parameters, weights.nbytes, weights.precision
    except EngineError as error:
        reason, hint = error.message, error.hint
    tokenizer = found.tokenizer
    if not tokenizer:
        reason, hint = (
            f"{found.path.name} has no tokenizer, such as a tokenizer.json.",
            "Download it too; it turns text into ids and back.",
        )
    try:
        reader = Reader(found.config, found.source)
        model_type = reader.take("model_type", str)
        module = family(model_type)
        kind = module.Model.kind
        config = module.Config.read(reader)
        context = config.context
        outline = module.Model.outline(config)
        note = " ".join(filter(None, (note, outline.note)))
        if weights is not None:
            parameters, in_memory = _needed(weights, outline)
    except EngineError as error:
        reason, hint = error.message, error.hint
    return ModelCard(
        path=str(found.path),
        name=name,
        family=model_type,
        kind=kind,
        supported=not reason,
        reason=reason,
        hint=hint,
        parameters=parameters,
        bytes_on_disk=size,
        bytes_in_memory=in_memory,
        context=context,
        precision=precision,
        tokenizer=tokenizer,
        chat_template=chat_template,
        chat_format=chat_format,
        bundled=BUNDLED in found.path.resolve().parents,
        note=note,
    )


def _needed(weights: Weights | GGUFWeights, model: LanguageModel) -> tuple[int, tuple[tuple[str, int], ...]]:
    """How many parameters the file holds, without the masks that older ones have beside them; their bytes in memory."""
    from engine.quantize import DTYPES  # with torch, which the family has imported by now

    count = exact = 0
    for entry in weights.entries.values():
        name = model.rename(entry.name)
        if name is not None:
            count += math.prod(entry.shape)
            exact += math.prod(entry.shape) if name.endswith(model.exact) else 0
    wide = {"fp16": 2 * exact}
    return count, tuple((name, count * dtype.itemsize + wide.get(name, 0)) for name, dtype in DTYPES.items())


def scan(folders: tuple[str, ...]) -> Iterator[ModelCard]:
    """The models in these folders, each a model itself or a folder of them, in the order of their paths.

    Links are followed, but no folder is looked into twice; hidden folders are left out.
    """
    seen: set[str] = set()
    for folder in folders:
        yield from _scan(os.path.expanduser(folder), DEPTH, seen)


def _scan(place: str, depth: int, seen: set[str]) -> Iterator[ModelCard]:
    if place.endswith(".gguf"):
        place = str(first(Path(place)))
    real = os.path.realpath(place)
    if real in seen or len(seen) >= MOST_FOLDERS:
        return
    seen.add(real)
    if place.endswith(".gguf") and os.path.isfile(place):
        yield _card(place)
        return
    try:
        items = sorted(
            (item for item in os.scandir(place) if not item.name.startswith(".")), key=lambda item: item.path
        )
    except OSError:
        return  # not there or not ours to read: there is no model to show
    files = wholes(Path(item.path) for item in items if item.name.endswith(".gguf") and item.is_file())
    for path in files:
        yield from _scan(str(path), 0, seen)
    if os.path.isfile(os.path.join(place, "config.json")):
        if not files or any(item.name.endswith(".safetensors") for item in items):
            yield _card(place)
    elif depth:
        for item in items:
            if item.is_dir():
                yield from _scan(item.path, depth - 1, seen)


def _card(path: str) -> ModelCard:
    """The card of what lies there; what cannot be read has one too, which says why."""
    try:
        return inspect(path)
    except EngineError as error:
        name = described(Path(path))[0]
        return ModelCard(path=path, name=name, reason=error.message, hint=error.hint)


class FilesJobs:
    """What the files' lane can do (engine.lanes.Jobs)."""

    def start(self, command: Command, run: Run) -> Job:
        if isinstance(command, Scan):
            return _scan_job(command, run)
        if isinstance(command, CountKept):
            return _kept_job(command, run)
        assert isinstance(command, Inspect)
        return _inspect_job(command, run)

    def alone(self, command: Command) -> bool:
        return False

    def at_once(self, command: Command) -> bool:
        return False

    def close(self) -> None:
        pass


def _scan_job(command: Scan, run: Run) -> Job:
    cards = []
    for card in scan(command.folders):
        cards.append(card)
        yield Progress(run.id, "Looking for models", len(cards), 0)
    yield Cards(run.id, tuple(cards))
    return None


def _inspect_job(command: Inspect, run: Run) -> Job:
    yield Cards(run.id, (inspect(command.path),))
    return None


def _kept_job(command: CountKept, run: Run) -> Job:
    from engine.quantize import cache  # with torch

    yield Kept(run.id, *(cache.clear() if command.clear else cache.count()))
    return None
