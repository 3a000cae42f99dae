"""What models lie on this machine and whether they can be run, without loading one.

The importing of this module, and all it reads, is free of torch but for one thing: whether a config is supported is
asked of the family itself. A model that cannot be run still gets a card, which says why.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from engine.gguf_parts import first, wholes
from engine.lanes import Job
from engine.loading import memory
from engine.loading.checkpoint import checkpoint
from engine.loading.drafters import refusals
from engine.loading.files import described
from engine.loading.forecast import forecast, sizes_of, weights_of
from engine.messages import (
    Cards,
    Command,
    CountKept,
    Drafters,
    FindDrafters,
    Forecast,
    ForecastMemory,
    Forecasts,
    Inspect,
    Kept,
    ModelCard,
    Progress,
    Run,
    Scan,
    Tokenized,
    TokenizeWith,
)
from engine.models import family
from engine.models.reader import Reader
from engine.params import LoadParams
from engine.text.tokenizer import Tokenizer

BUNDLED = (Path(__file__).parents[2] / "assets" / "models").resolve()
SIZED_AS = {"nf4": "int4"}
"""Precisions that are told in the figures of another, which takes a little more."""

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
    sizes = None
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
            parameters, in_memory = weights_of(weights, outline)
            sizes = sizes_of(weights, outline)
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
        sizes=sizes,
    )


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
    """What the files' lane can do (engine.lanes.Jobs). more: jobs on files of a kind that is not known here."""

    def __init__(self, more: Mapping[type[Command], Callable[[Any, Run], Job]] | None = None) -> None:
        self._jobs: dict[type[Command], Callable[[Any, Run], Job]] = {
            Scan: _scan_job,
            Inspect: _inspect_job,
            CountKept: _kept_job,
            ForecastMemory: _forecast_job,
            FindDrafters: _drafters_job,
            TokenizeWith: _tokenize_job,
            **(more or {}),
        }

    def start(self, command: Command, run: Run) -> Job:
        return self._jobs[type(command)](command, run)

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


def _tokenize_job(command: TokenizeWith, run: Run) -> Job:
    tokenizer = _tokenizer(command.path)
    ids = tokenizer.encode(command.text, special=command.special)
    pieces = tuple(tokenizer.piece(id) for id in ids)
    raw = tuple(tokenizer.raw_bytes(id) or piece.encode() for id, piece in zip(ids, pieces))
    yield Tokenized(run.id, tuple(ids), pieces, tokenizer.vocabulary_size, raw)
    return None


def _drafters_job(command: FindDrafters, run: Run) -> Job:
    found = []
    for refusal in refusals(inspect(command.path), command.cards):
        found.append(refusal)
        yield Progress(run.id, "Comparing tokenizers", len(found), len(command.cards))
    yield Drafters(run.id, tuple(found))
    return None


@lru_cache(maxsize=4)
def _tokenizer(path: str) -> Tokenizer:
    """Those looked at last: a text is tokenised anew at every key."""
    return Tokenizer.load(path)


def _kept_job(command: CountKept, run: Run) -> Job:
    from engine.quantize import cache  # with torch

    yield Kept(run.id, *(cache.clear() if command.clear else cache.count()))
    return None


def _forecast_job(command: ForecastMemory, run: Run) -> Job:
    yield Forecasts(run.id, tuple(foreseen(command.cards, command.params, command.in_use)))
    return None


def foreseen(cards: tuple[ModelCard, ...], params: LoadParams, in_use: int = 0) -> Iterator[Forecast]:
    """What the models would take in memory, loaded in this way, without those that cannot be.

    in_use: the bytes of a model in memory that would go first.
    """
    import torch  # which the families that the cards are of have imported by now

    from engine.loading.precision import choose

    device = "cuda" if params.device != "cpu" and torch.cuda.is_available() else "cpu"
    free = memory.available(device)
    free = None if free is None else free + in_use
    for card in cards:
        if card.supported:
            with contextlib.suppress(EngineError):  # loading will say what is wrong
                chosen = choose(params.precision, card, device).name
                found = forecast(card, SIZED_AS.get(chosen, chosen), free, params.cache == "8-bit")
                if found is not None:
                    yield found
