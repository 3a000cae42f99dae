"""Commands to generators for the model's lane."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from engine.errors import OutOfMemory, is_out_of_memory
from engine.jobs import encoders, loading, reading, writing
from engine.jobs.models import Models
from engine.lanes import Job
from engine.loading import memory
from engine.loading.relief import not_loaded, too_long
from engine.messages import (
    Attend,
    BestOf,
    CheckStructure,
    Classify,
    Command,
    Embed,
    Fill,
    Generate,
    Lens,
    Load,
    LoadDraft,
    LoadSecond,
    NamePieces,
    NearestWords,
    Positions,
    RenderTemplate,
    Retune,
    Run,
    Score,
    Tokenize,
    Unload,
)
from engine.params import AdapterUse

JOBS: dict[type[Command], Callable[[Models, Any, Run], Job]] = {
    Load: loading.load,
    LoadDraft: loading.load_draft,
    LoadSecond: loading.load_second,
    Unload: loading.unload,
    Generate: writing.generate,
    BestOf: writing.best_of,
    CheckStructure: writing.check_structure,
    Retune: writing.retune,
    Attend: reading.attend,
    Lens: reading.lens,
    Positions: reading.positions,
    Score: reading.score,
    Tokenize: reading.tokenize,
    NamePieces: reading.name_pieces,
    RenderTemplate: reading.render,
    Fill: encoders.fill,
    Classify: encoders.classify,
    Embed: encoders.embed,
    NearestWords: encoders.nearest,
}


class ModelJobs:
    """What the model's lane can do (engine.lanes.Jobs)."""

    def __init__(self) -> None:
        self._models = Models()

    def start(self, command: Command, run: Run) -> Job:
        job = JOBS[type(command)](self._models, command, run)
        uses = tuple(use for use in getattr(command, "adapters", ()) if use.weight)
        return self._relieved(command, self._adapted(command, uses, run, job) if uses else job)

    def alone(self, command: Command) -> bool:
        return isinstance(command, Load | LoadDraft | LoadSecond | Unload)

    def at_once(self, command: Command) -> bool:
        return isinstance(command, Retune)

    def close(self) -> None:
        self._models.put_down()
        self._models.put_second_down()

    def _adapted(self, command: Command, uses: tuple[AdapterUse, ...], run: Run, job: Job) -> Job:
        """The job with these adapters in place at each of its steps."""
        bench = self._models.require(getattr(command, "second", False))
        adaptation = yield from bench.adapters.adaptation(run.id, uses)
        return (yield from adaptation.over(job))

    def _relieved(self, command: Command, job: Job) -> Job:
        """The job; where memory runs out it gives back all that can be had again, and says what would fit."""
        try:
            return (yield from job)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            told = error if isinstance(error, OutOfMemory) else None
            traceback.clear_frames(error.__traceback__)  # what was begun is still held there
        self._models.clear()
        memory.give_back()
        if told is None:
            bench = self._models.second if getattr(command, "second", False) else self._models.first
            if isinstance(command, Load | LoadDraft | LoadSecond):
                told = not_loaded(command.path, command.params)
            else:
                told = too_long(bench.loaded, bench.eight_bit) if bench is not None else too_long(None, False)
        raise told
