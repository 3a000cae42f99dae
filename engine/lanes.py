"""A lane: one plain thread that turns generator jobs in rotation, and ends each run with exactly one Done or Failed.

It knows commands, runs and events, not what they do: that is the `Jobs` it is given. Round-robin over `next()` is what
lets two answers stream side by side without a lock.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol

from engine.errors import Cancelled, EngineError, OutOfMemory, is_out_of_memory
from engine.messages import Command, Done, Event, Failed, Run
from engine.outbox import Outbox

Job = Generator[Event, None, str | None]
"""A job yields events and returns its reason for ending ("eos", "length", ...), None for plain "done".

Cancelling throws Cancelled into it at its next turn; it may yield last events (what it still held) before it returns.
"""


class Jobs(Protocol):
    """What a lane can do: commands to generators."""

    def start(self, command: Command, run: Run) -> Job:
        """The job for a command. Nothing happens before its first `next()`."""
        ...

    def alone(self, command: Command) -> bool:
        """Whether it waits for running jobs to end and lets none start beside it."""
        ...

    def at_once(self, command: Command) -> bool:
        """Whether it overtakes what waits (a slider must not queue behind a load)."""
        ...

    def close(self) -> None:
        """The lane's thread is ending: release what is held."""
        ...


@dataclass(slots=True)
class _Active:
    command: Command
    run: Run
    job: Job
    told: bool = False  # that it is cancelled


class Lane:
    """One thread. factory makes its Jobs inside that thread, so slow imports happen there."""

    def __init__(self, name: str, outbox: Outbox, factory: Callable[[], Jobs], finish_on_stop: bool = False) -> None:
        self._outbox = outbox
        self._factory = factory
        self._finish_on_stop = finish_on_stop
        self._inbox: queue.SimpleQueue[tuple[Command, Run] | None] = queue.SimpleQueue()
        self._waiting: deque[tuple[Command, Run]] = deque()
        self._active: deque[_Active] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._main, name=f"vitrine-{name}", daemon=True)
        self._starting = threading.Lock()

    def start(self) -> None:
        """Start the thread now; otherwise its first command does."""
        with self._starting:
            if self._thread.ident is None:
                self._thread.start()

    def submit(self, command: Command, run: Run) -> None:
        self._inbox.put((command, run))
        self.start()

    def stop(self) -> None:
        """Ask the thread to end: after all it was given (finish_on_stop), or after the step in hand."""
        self._stopping.set()
        self._inbox.put(None)

    def join(self, timeout: float) -> bool:
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    # --- inside the thread ------------------------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            jobs = self._factory()
        except BaseException as error:  # a broken installation must answer every command, not hang it
            self._refuse(error)
            return
        try:
            while self._take_in(jobs):
                self._start_waiting(jobs)
                if self._active:
                    self._turn()
            for active in self._active:
                with contextlib.suppress(Exception):  # nobody is left to read why; the others still get their Done
                    active.job.close()
                self._outbox.put(Done(active.run.id, "cancelled"))
            for _, run in self._waiting:
                self._outbox.put(Done(run.id, "cancelled"))
        finally:
            jobs.close()

    def _take_in(self, jobs: Jobs) -> bool:
        """Move what was submitted to the waiting line; sleeps where there is nothing to do. False: end the thread."""
        idle = not self._active and not self._waiting and not self.stopping
        while True:
            try:
                item = self._inbox.get(block=idle)
            except queue.Empty:
                return not self.stopping or (self._finish_on_stop and bool(self._active or self._waiting))
            idle = False
            if item is None:
                continue
            if jobs.at_once(item[0]):
                self._run_now(jobs, *item)
            else:
                self._waiting.append(item)

    def _start_waiting(self, jobs: Jobs) -> None:
        while self._waiting:
            if any(jobs.alone(active.command) for active in self._active):
                return
            command, run = self._waiting[0]
            if jobs.alone(command) and self._active and not run.cancelled:
                return
            self._waiting.popleft()
            if run.cancelled:
                self._outbox.put(Done(run.id, "cancelled"))
                continue
            self._active.append(_Active(command, run, jobs.start(command, run)))

    def _run_now(self, jobs: Jobs, command: Command, run: Run) -> None:
        active = _Active(command, run, jobs.start(command, run))
        while self._advance(active):
            pass

    def _turn(self) -> None:
        active = self._active.popleft()
        if self._advance(active):
            self._active.append(active)

    def _advance(self, active: _Active) -> bool:
        """One step of one job; False when its run has ended (and its Done or Failed is in the outbox)."""
        run = active.run.id
        try:
            if active.run.cancelled and not active.told:
                active.told = True
                event = active.job.throw(Cancelled())
            else:
                event = next(active.job)
        except StopIteration as end:
            self._outbox.put(Done(run, "cancelled" if active.told else end.value or "done"))
        except Cancelled:
            self._outbox.put(Done(run, "cancelled"))
        except Exception as error:
            self._outbox.put(_failed(run, error))
        else:
            self._outbox.put(event)
            return True
        return False

    def _refuse(self, error: BaseException) -> None:
        message, hint = f"This part of Vitrine could not start: {error}", "Run packaging/start.py again to repair it."
        details = "".join(traceback.format_exception(error))
        if isinstance(error, EngineError):
            message, hint, details = error.message, error.hint, ""
        while True:
            with contextlib.suppress(queue.Empty):
                item = self._inbox.get(timeout=0.1)
                if item is not None:
                    self._outbox.put(Failed(item[1].id, message, hint, details))
            if self.stopping and self._inbox.empty():
                return


def _failed(run: int, error: Exception) -> Failed:
    if is_out_of_memory(error) and not isinstance(error, OutOfMemory):
        error = OutOfMemory(
            "There is not enough free memory for this.",
            "Close other programs, choose a smaller model or a lower precision, or start a shorter chat.",
        )
    if isinstance(error, EngineError):
        return Failed(run, error.message, error.hint)
    return Failed(
        run,
        f"Vitrine ran into an unexpected {type(error).__name__}: {error}",
        "Nothing was lost. Try again; the details below help to report it.",
        "".join(traceback.format_exception(error)),
    )
