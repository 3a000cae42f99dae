"""Jobs that bring models into memory and put them down."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from engine.errors import EngineError, OutOfMemory
from engine.jobs.models import Models
from engine.jobs.workbench import KINDS, set_up
from engine.lanes import Job
from engine.loading import LoadedModel
from engine.loading import load as load_folder
from engine.messages import (
    DraftLoaded,
    Event,
    Load,
    LoadDraft,
    Loaded,
    LoadSecond,
    Progress,
    Run,
    SecondLoaded,
    Unload,
    Unloaded,
)
from engine.models.base import Decoder
from engine.text.tokenizer import Tokenizer


def load(models: Models, command: Load, run: Run) -> Job:
    """Its tokenizer is read first: what is wrong there is told before the weights are read."""
    tokenizer = Tokenizer.load(command.path)
    loaded = yield from _in_place(models, command, run)
    bench = set_up(loaded, tokenizer, command.params)
    models.put_down()
    models.first = bench
    yield Loaded(run.id, bench.info)
    return None


def load_draft(models: Models, command: LoadDraft, run: Run) -> Job:
    bench = models.require()
    if bench.speculation is None:
        raise bench.cannot("Only a model that writes text can be drafted for.")
    if not command.path:
        bench.speculation.use(None)
        yield DraftLoaded(run.id, "")
        return None
    tokenizer = Tokenizer.load(command.path)
    if not _alike(tokenizer, bench.tokenizer):
        raise EngineError(
            f"{tokenizer.name} has another tokenizer than {bench.info.name}, so it cannot draft for it.",
            "Choose a smaller model of the same family.",
        )
    params = command.params.replace(device=bench.loaded.device, threads=bench.loaded.threads)
    draft = yield from _loading(replace(command, params=params), run)
    if not isinstance(draft.model, Decoder):
        raise EngineError(f"{draft.name} is {KINDS[draft.kind]}", "Choose a model that writes text.")
    bench.speculation.use(draft.model)
    yield DraftLoaded(run.id, draft.name, draft.bytes_in_memory)
    return None


def load_second(models: Models, command: LoadSecond, run: Run) -> Job:
    bench = None
    if command.path:
        tokenizer = Tokenizer.load(command.path)
        bench = set_up((yield from _loading(command, run)), tokenizer, command.params)
    models.put_second_down()
    models.second = bench
    yield SecondLoaded(run.id, bench.info if bench is not None else None)
    return None


def unload(models: Models, command: Unload, run: Run) -> Job:
    models.put_down()
    yield Unloaded(run.id)
    return None


def _in_place(models: Models, command: Load, run: Run) -> Generator[Event, None, LoadedModel]:
    """Load a model beside the one in use, or, where there is no room for both, in its place."""
    try:
        return (yield from _loading(command, run))
    except OutOfMemory as error:
        held = models.contexts.nbytes + (0 if models.first is None else models.first.loaded.bytes_in_memory)
        if not 0 < error.missing <= held:
            raise
    models.put_down()
    yield Unloaded(run.id)
    return (yield from _loading(command, run))


def _loading(command: Load | LoadDraft | LoadSecond, run: Run) -> Generator[Event, None, LoadedModel]:
    """Load the command's model; yields Progress."""
    phases = load_folder(command.path, command.params, lambda: run.cancelled)
    try:
        while True:
            yield Progress(run.id, *next(phases))
    except StopIteration as end:
        loaded: LoadedModel = end.value
        return loaded
    finally:
        phases.close()


def _alike(a: Tokenizer, b: Tokenizer) -> bool:
    """Whether two tokenizers name the same ids the same; one may have more of them."""
    return all(a.token(id) == b.token(id) for id in range(min(a.vocabulary_size, b.vocabulary_size)))
