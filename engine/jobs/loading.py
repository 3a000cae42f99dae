"""Jobs that bring models into memory and put them down."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace

from engine.errors import EngineError, OutOfMemory
from engine.jobs.models import Models
from engine.jobs.workbench import KINDS, set_up
from engine.lanes import Job
from engine.loading import LoadedModel, memory
from engine.loading import load as load_folder
from engine.loading.checkpoint import checkpoint
from engine.loading.drafters import alike, compared
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


def _tokenizer(path: str) -> Tokenizer:
    """A model's tokenizer; where there is no model, BadModelFiles says that rather than what else is missing."""
    checkpoint(path)
    return Tokenizer.load(path)


def load(models: Models, command: Load, run: Run) -> Job:
    """Its tokenizer is read first: what is wrong there is told before the weights are read."""
    tokenizer = _tokenizer(command.path)

    def leave() -> Event:
        models.put_down()
        return Unloaded(run.id)

    loaded = yield from _in_place(models, command, run, models.first.nbytes if models.first else 0, leave)
    bench = set_up(loaded, tokenizer, command.params)
    models.put_down()
    models.first = bench
    yield Loaded(run.id, bench.info)
    return None


def load_draft(models: Models, command: LoadDraft, run: Run) -> Job:
    bench = models.require()
    speculation = bench.speculation
    if speculation is None:
        raise bench.cannot("Only a model that writes text can be drafted for.")

    def leave() -> Event:
        speculation.use(None)
        memory.give_back()
        return DraftLoaded(run.id, "")

    if not command.path:
        yield leave()
        return None
    if not any(compared(bench.loaded.path, [command.path])):
        tokenizer = _tokenizer(command.path)  # says itself what is wrong with it, if something is
        if not alike(tokenizer, bench.tokenizer):
            raise EngineError(
                f"{tokenizer.name} has another tokenizer than {bench.info.name}, so it cannot draft for it.",
                "Choose a smaller model of the same family.",
            )
    params = command.params.replace(device=bench.loaded.device, threads=bench.loaded.threads)
    draft = yield from _in_place(models, replace(command, params=params), run, speculation.nbytes, leave)
    if not isinstance(draft.model, Decoder):
        raise EngineError(f"{draft.name} is {KINDS[draft.kind]}", "Choose a model that writes text.")
    speculation.use(draft.model)
    memory.give_back()  # the one before
    yield DraftLoaded(run.id, draft.name, draft.bytes_in_memory)
    return None


def load_second(models: Models, command: LoadSecond, run: Run) -> Job:
    bench = None
    if command.path:
        tokenizer = _tokenizer(command.path)

        def leave() -> Event:
            models.put_second_down()
            return SecondLoaded(run.id, None)

        loaded = yield from _in_place(models, command, run, models.second.nbytes if models.second else 0, leave)
        bench = set_up(loaded, tokenizer, command.params)
    models.put_second_down()
    models.second = bench
    yield SecondLoaded(run.id, bench.info if bench is not None else None)
    return None


def unload(models: Models, command: Unload, run: Run) -> Job:
    models.put_down()
    yield Unloaded(run.id)
    return None


def _in_place(
    models: Models, command: Load | LoadDraft | LoadSecond, run: Run, old: int, leave: Callable[[], Event]
) -> Generator[Event, None, LoadedModel]:
    """Load a model beside the one that it replaces, or, where there is no room for both, in its place.

    What was read of texts goes first, then the one before: old are its bytes, leave puts it down and tells so.
    """
    try:
        return (yield from _loading(command, run))
    except OutOfMemory as error:
        kept, missing = models.contexts.nbytes, error.missing
        if not 0 < missing <= kept + old:
            raise
    models.contexts.clear()
    memory.give_back()
    if missing <= kept:
        return (yield from _in_place(models, command, run, old, leave))
    yield leave()
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
