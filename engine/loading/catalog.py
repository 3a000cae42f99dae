"""What models lie on this machine and whether they can be run, without loading one.

The importing of this module, and all it reads, is free of torch but for one thing: whether a config is supported is
asked of the family itself. A model that cannot be run still gets a card, which says why.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from engine.errors import BadModelFiles, EngineError
from engine.lanes import Job
from engine.loading.files import described, model_folder, read_json, read_optional
from engine.loading.safetensors import Weights
from engine.messages import Cards, Command, Inspect, ModelCard, Progress, Run, Scan
from engine.models import family
from engine.models.reader import Reader

BUNDLED = (Path(__file__).parents[2] / "assets" / "models").resolve()
DEPTH = 3
"""Folders below the one that was named; three reach into a Hugging Face cache."""

MOST_FOLDERS = 2000
"""Folders looked into in one scan: a home directory must not keep it busy for minutes."""

TOKENIZER_HEAD = re.compile(rb'"model"\s*:\s*\{\s*"type"\s*:\s*"(\w+)"')


def inspect(path: str) -> ModelCard:
    """The card of a model folder; BadModelFiles where it is none, or where its config.json cannot be read."""
    folder = model_folder(path)
    raw = read_json(folder / "config.json")
    name, note = described(folder)
    tokenizer_config = read_optional(folder / "tokenizer_config.json")
    reason = hint = model_type = ""
    context = parameters = size = 0
    precision = ""
    # Each part is read as far as it goes: a card of a model that cannot be run is as full as it can be.
    try:
        weights = Weights(folder)
        parameters, size, precision = weights.parameters, weights.nbytes, weights.precision
    except EngineError as error:
        reason, hint = error.message, error.hint
    tokenizer = _tokenizer(folder)
    if not tokenizer:
        reason, hint = f"{folder.name} has no tokenizer.json.", "Download it too; it turns text into ids and back."
    try:
        reader = Reader(raw, f"{folder.name}/config.json")
        model_type = reader.take("model_type", str)
        context = family(model_type).Config.read(reader).context
    except EngineError as error:
        reason, hint = error.message, error.hint
    return ModelCard(
        path=str(folder),
        name=name,
        family=model_type,
        kind="encoder-decoder" if raw.get("is_encoder_decoder") is True else "decoder",
        supported=not reason,
        reason=reason,
        hint=hint,
        parameters=parameters,
        bytes_on_disk=size,
        context=context,
        precision=precision,
        tokenizer=tokenizer,
        chat_template="chat_template" in tokenizer_config or (folder / "chat_template.jinja").is_file(),
        bundled=BUNDLED in folder.resolve().parents,
        note=note,
    )


def scan(folders: tuple[str, ...]) -> Iterator[ModelCard]:
    """The models in these folders, each a model itself or a folder of them, in the order of their paths.

    Links are followed, but no folder is looked into twice; hidden folders are left out.
    """
    seen: set[str] = set()
    for folder in folders:
        yield from _scan(os.path.expanduser(folder), DEPTH, seen)


def _scan(folder: str, depth: int, seen: set[str]) -> Iterator[ModelCard]:
    real = os.path.realpath(folder)
    if real in seen or len(seen) >= MOST_FOLDERS:
        return
    seen.add(real)
    if os.path.isfile(os.path.join(folder, "config.json")):
        try:
            yield inspect(folder)
        except BadModelFiles as error:
            name = described(Path(folder))[0]
            yield ModelCard(path=folder, name=name, reason=error.message, hint=error.hint)
        return
    if depth == 0:
        return
    try:
        below = sorted(item.path for item in os.scandir(folder) if item.is_dir() and not item.name.startswith("."))
    except OSError:
        return  # not there or not ours to read: there is no model to show
    for path in below:
        yield from _scan(path, depth - 1, seen)


def _tokenizer(folder: Path) -> str:
    """The kind of tokenizer that tokenizer.json holds ("BPE", "Unigram", ...); empty where there is no such file.

    Found by its pattern: parsing the vocabulary of a large one would hold up the window for a third of a second.
    """
    try:
        found = TOKENIZER_HEAD.search((folder / "tokenizer.json").read_bytes())
    except OSError:
        return ""
    return found[1].decode() if found else "unknown"


class FilesJobs:
    """What the files' lane can do (engine.lanes.Jobs)."""

    def start(self, command: Command, run: Run) -> Job:
        if isinstance(command, Scan):
            return _scan_job(command, run)
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
