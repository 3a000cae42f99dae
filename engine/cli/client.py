"""An engine used from one thread, and what every subcommand that runs a model begins with."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from engine.adapters.files import adapter_files
from engine.cli.flags import given
from engine.engine import Engine
from engine.errors import EngineError
from engine.messages import (
    Command,
    Done,
    Event,
    Failed,
    Load,
    LoadDraft,
    Loaded,
    ModelInfo,
    NamePieces,
    Progress,
    Tokenized,
)
from engine.params import AdapterUse, LoadParams, SamplingParams

Answer = TypeVar("Answer", bound=Event)


class Client:
    """An engine used from one thread: run a command, take its events as they come."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._engine = Engine(self._ready.set)

    def __enter__(self) -> Client:
        self._engine.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.stop()

    def run(self, command: Command) -> Iterator[Event]:
        """The command's events, Done last. Failed is raised as EngineError; Ctrl+C cancels and goes on to the end."""
        run = self._engine.submit(command)
        before = signal.signal(signal.SIGINT, lambda *_: run.cancel())
        try:
            while True:
                self._ready.wait()
                self._ready.clear()
                for event in self._engine.drain():
                    if event.run != run.id:
                        continue
                    if isinstance(event, Failed):
                        raise EngineError(event.message, event.hint)
                    yield event
                    if isinstance(event, Done):
                        return
        finally:
            signal.signal(signal.SIGINT, before)


class Timing:
    """How long the parts of a run took, in seconds, one after the other."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self._last = time.perf_counter()

    def mark(self, part: str) -> None:
        """That part ends here, if it has not ended before."""
        now = time.perf_counter()
        if part not in self.parts:
            self.parts[part] = now - self._last
            self._last = now


def load_model(client: Client, arguments: argparse.Namespace, timing: Timing | None = None) -> ModelInfo:
    """Load arguments.model; progress on stderr where that is a terminal. A wrong adapter is told before it."""
    timing = timing or Timing()
    for use in adapters_from(arguments):
        adapter_files(use.path)
    params = LoadParams(**given(arguments, LoadParams))
    info = None
    for event in client.run(Load(arguments.model, params)):
        timing.mark("imports")
        if isinstance(event, Progress) and sys.stderr.isatty():
            share = f" {100 * event.done // event.total} %" if event.total else ""
            print(f"\r{event.phase}{share}\x1b[K", end="", file=sys.stderr, flush=True)
        elif isinstance(event, Loaded):
            info = event.info
    timing.mark("load")
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if info is None:
        raise EngineError("Loading was cancelled.")
    if getattr(arguments, "draft", None):
        list(client.run(LoadDraft(arguments.draft)))
    return info


def sampling_from(arguments: argparse.Namespace, info: ModelInfo) -> SamplingParams:
    """Flags over the model's own defaults; temperature 0 alone is the argmax of the raw logits."""
    flags = given(arguments, SamplingParams)
    lengths = {"max_new_tokens", "min_new_tokens", "end_token", "seed", "speculation"}
    shaping = set(flags) - lengths - {words.name for words in SamplingParams.texts()}
    if shaping == {"temperature"} and flags["temperature"] == 0:
        return SamplingParams.neutral(max_new_tokens=info.defaults.max_new_tokens).replace(**flags)
    return info.defaults.replace(**flags)


def adapters_from(arguments: argparse.Namespace) -> tuple[AdapterUse, ...]:
    """The adapters that were named, each with its weight."""
    return tuple(AdapterUse(path, weight) for path, weight in getattr(arguments, "adapters", None) or ())


def ask(arguments: argparse.Namespace, command: Command, answer: type[Answer]) -> Answer:
    """Load the model and run a command that is answered by one event of that type."""
    with Client() as client:
        load_model(client, arguments)
        found = next((event for event in list(client.run(command)) if isinstance(event, answer)), None)
    if found is None:
        raise EngineError("It was cancelled before there was an answer.")
    return found


def pieces(client: Client, ids: Sequence[int], source: bool = False) -> list[str]:
    """What these tokens look like; source: they are what an encoder-decoder reads."""
    named = (e for e in list(client.run(NamePieces(tuple(ids), source))) if isinstance(e, Tokenized))
    return [piece for event in named for piece in event.pieces]
