"""The engine as the app holds it: submit commands, drain events. Three lanes behind one outbox.

The model's lane imports torch when its thread starts; the files' and the store's lanes answer meanwhile.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from engine.home import data_folder
from engine.importing import open_libraries, unhurried
from engine.lanes import Jobs, Lane
from engine.messages import (
    Command,
    CountKept,
    Done,
    Event,
    Failed,
    FindAdapters,
    FindDrafters,
    ForecastMemory,
    Inspect,
    Run,
    Scan,
    StoreCommand,
    TokenizeWith,
)
from engine.outbox import Outbox


class Engine:
    """Runs models and keeps chats on threads of its own.

    wake: called from any thread when events are waiting. home: the folder for chats; the person's own by default.
    """

    def __init__(self, wake: Callable[[], None] = lambda: None, home: Path | None = None) -> None:
        self._outbox = Outbox(wake)
        self._home = home
        self._model = Lane("model", self._outbox, _model_jobs)
        self._files = Lane("files", self._outbox, _files_jobs)
        self._store = Lane("store", self._outbox, self._store_jobs, finish_on_stop=True)
        self._runs: dict[int, Run] = {}
        self._stopped = False

    def start(self) -> None:
        # Python hands the interpreter over every 5 ms by default; a window next door needs it sooner.
        sys.setswitchinterval(0.001)
        self._model.start()  # it has torch to import; the others start with their first command

    def submit(self, command: Command) -> Run:
        """Queue a command; its events carry the returned run's id. Never blocks."""
        run = Run()
        if self._stopped:
            self._outbox.put(Done(run.id, "cancelled"))
            return run
        lane = self._lane(command)
        if lane is not self._store:  # what the store was given is written whatever happens
            self._runs[run.id] = run
        lane.submit(command, run)
        return run

    def drain(self) -> list[Event]:
        """The events since the last call, merged. Never blocks."""
        events = self._outbox.drain()
        for event in events:
            if isinstance(event, Done | Failed):
                self._runs.pop(event.run, None)
        return events

    def stop(self, timeout: float = 10.0) -> bool:
        """Cancel what runs, write what the store was given, end the threads. False if one did not end in time."""
        self._stopped = True
        lanes = (self._model, self._files, self._store)
        for run in list(self._runs.values()):
            run.cancel()
        for lane in lanes:
            lane.stop()
        end = time.monotonic() + timeout
        return all([lane.join(max(0.0, end - time.monotonic())) for lane in lanes])

    def _lane(self, command: Command) -> Lane:
        if isinstance(command, StoreCommand):
            return self._store
        files = Scan | Inspect | FindDrafters | CountKept | ForecastMemory | TokenizeWith | FindAdapters
        return self._files if isinstance(command, files) else self._model

    def _store_jobs(self) -> Jobs:
        from engine.memory.jobs import StoreJobs

        return StoreJobs((self._home or data_folder()) / "vitrine.db")


def _model_jobs() -> Jobs:
    open_libraries()
    with unhurried():
        from engine.jobs import ModelJobs

    return ModelJobs()


def _files_jobs() -> Jobs:
    from engine.adapters import catalog as adapters
    from engine.loading.catalog import FilesJobs

    return FilesJobs({FindAdapters: adapters.find})
