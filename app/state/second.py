"""The second model: held beside the loaded one, so that two can be compared. Loading it changes nothing else."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from app.state.models import Models
from app.state.workspace import Workspace
from engine import Done, Event, Failed, LoadSecond, ModelCard, ModelInfo, Progress, Run, SecondLoaded


class Second(QObject):
    """changed: ModelInfo | None. loading_changed: Progress | None. failed: message, hint, details."""

    changed = Signal(object)
    loading_changed = Signal(object)
    failed = Signal(str, str, str)

    def __init__(self, workspace: Workspace, models: Models) -> None:
        super().__init__()
        self._workspace = workspace
        self._models = models
        self._run: Run | None = None
        self.info: ModelInfo | None = None

    @property
    def choices(self) -> tuple[ModelCard, ...]:
        """The models that can be loaded."""
        return tuple(card for card in self._models.cards if card.supported)

    @property
    def loading(self) -> bool:
        return self._run is not None

    def load(self, path: str) -> None:
        """Load this one, in place of a load still going on; "" puts the second model down."""
        if self._run is not None:
            self._run.cancel()
        self._run = self._workspace.submit(LoadSecond(path, self._models.load_params), self._take)
        self.loading_changed.emit(Progress(self._run.id, "Waiting", 0, 0))

    def _take(self, event: Event) -> None:
        if isinstance(event, SecondLoaded):
            self.info = event.info
            self.changed.emit(event.info)
        if self._run is None or event.run != self._run.id:
            return
        if isinstance(event, Progress):
            self.loading_changed.emit(event)
        elif isinstance(event, Done | Failed):
            self._run = None
            self.loading_changed.emit(None)
            if isinstance(event, Failed):
                self.failed.emit(event.message, event.hint, event.details)
