"""The one holder of the engine: commands go in here, events come out here, and the loaded model is known here.

It knows no chat and no widget. A command may bring a receiver, which gets the events of its run and no others; an
error whose run has no receiver belongs to no place and is said by `failed`.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Signal

from app.bridge import Bridge
from engine import (
    Command,
    Done,
    Event,
    Failed,
    Load,
    Loaded,
    LoadParams,
    ModelInfo,
    Progress,
    Run,
    StoreCommand,
    Unload,
    Unloaded,
)

Receiver = Callable[[Event], None]


class Workspace(QObject):
    """event: every event. model_changed: ModelInfo | None. loading_changed: Progress | None.

    failed and load_failed carry message, hint and details of an error. mended: what the store says it has mended.
    """

    event = Signal(object)  # type: ignore[assignment]  # the word is worth more than QObject.event, unused here
    model_changed = Signal(object)
    loading_changed = Signal(object)
    load_failed = Signal(str, str, str)
    failed = Signal(str, str, str)
    mended = Signal(str)

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge
        self._receivers: dict[int, Receiver] = {}
        self._of_store: set[int] = set()  # runs that the store has not ended yet
        self._loading: Run | None = None
        self.info: ModelInfo | None = None
        self.loading: Progress | None = None
        self.loading_path = ""
        bridge.arrived.connect(self._take)

    def submit(self, command: Command, receiver: Receiver | None = None) -> Run:
        """Give the engine a command. receiver gets its run's events on the GUI thread and is dropped at the end."""
        run = self._bridge.engine.submit(command)
        if receiver is not None:
            self._receivers[run.id] = receiver
        if isinstance(command, StoreCommand):
            self._of_store.add(run.id)
        return run

    def load(self, path: str, params: LoadParams | None = None) -> Run:
        """Load a model folder, in place of a load still going on.

        The model before stays until this one is whole, where there is memory for both.
        """
        self.cancel_load()
        self.loading_path = path
        self._loading = self.submit(Load(path, params or LoadParams()), self._on_load)
        self._show_loading(Progress(self._loading.id, "Waiting", 0, 0))
        return self._loading

    def cancel_load(self) -> None:
        if self._loading is not None:
            self._loading.cancel()

    def unload(self) -> Run:
        return self.submit(Unload(), self._on_unload)

    def _take(self, event: Event) -> None:
        ended = isinstance(event, Done | Failed)
        receiver = self._receivers.pop(event.run, None) if ended else self._receivers.get(event.run)
        if isinstance(event, Progress) and event.run in self._of_store:
            self.mended.emit(event.phase)
        elif ended:
            self._of_store.discard(event.run)
        if receiver is not None:
            receiver(event)
        elif isinstance(event, Failed):
            self.failed.emit(event.message, event.hint, event.details)
        self.event.emit(event)

    def _on_load(self, event: Event) -> None:
        if isinstance(event, Loaded):
            self._show_model(event.info)
        elif isinstance(event, Unloaded):  # there was no room for both
            self._show_model(None)
        current = self._loading is not None and event.run == self._loading.id
        if isinstance(event, Progress) and current:
            self._show_loading(event)
        elif isinstance(event, Done | Failed) and current:
            self._loading = None
            self._show_loading(None)
        if isinstance(event, Failed):
            self.load_failed.emit(event.message, event.hint, event.details)

    def _on_unload(self, event: Event) -> None:
        if isinstance(event, Unloaded):
            self._show_model(None)
        elif isinstance(event, Failed):
            self.failed.emit(event.message, event.hint, event.details)

    def _show_model(self, info: ModelInfo | None) -> None:
        self.info = info
        self.model_changed.emit(info)

    def _show_loading(self, progress: Progress | None) -> None:
        self.loading = progress
        self.loading_changed.emit(progress)
