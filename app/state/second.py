"""The second model: held beside the loaded one, so that two can be compared. Loading it changes nothing else."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from app.state.models import Models
from app.state.workspace import Workspace
from engine import (
    Done,
    Event,
    Failed,
    Forecast,
    ForecastMemory,
    Forecasts,
    LoadSecond,
    ModelCard,
    ModelInfo,
    Progress,
    Run,
    SecondLoaded,
)


class Second(QObject):
    """changed: ModelInfo | None. loading_changed: Progress | None. failed: message, hint, details.

    offers_changed: what can be chosen, after what is free was asked for.
    """

    changed = Signal(object)
    offers_changed = Signal()
    loading_changed = Signal(object)
    failed = Signal(str, str, str)

    def __init__(self, workspace: Workspace, models: Models) -> None:
        super().__init__()
        self._workspace = workspace
        self._models = models
        self._run: Run | None = None
        self._wanted = ""
        self._asked = 0  # the run of the latest question for forecasts
        self._forecasts: dict[str, Forecast] = {}
        self.info: ModelInfo | None = None
        models.forecasts_changed.connect(self.ask_forecasts)

    @property
    def choices(self) -> tuple[ModelCard, ...]:
        """The models that can be loaded."""
        return tuple(card for card in self._models.cards if card.supported)

    @property
    def chosen(self) -> str:
        """The path of the model on its way, or of the one that is loaded; "" for none."""
        if self._run is not None:
            return self._wanted
        return self.info.path if self.info is not None else ""

    @property
    def offers(self) -> list[tuple[str, str, str]]:
        """Name and path of each of them, and why it cannot be loaded now, "" where it can."""
        large = {path for path, forecast in self._forecasts.items() if forecast.verdict == "too large"}
        if self.info is not None:
            large.discard(self.info.path)
        why = "too large for the free memory"
        return [(card.name, card.path, why if card.path in large else "") for card in self.choices]

    def ask_forecasts(self) -> None:
        """Ask what they would take beside the loaded model, which stays; the second one of now would go."""
        if self.choices:
            in_use = self.info.bytes_in_memory if self.info else 0
            question = ForecastMemory(self.choices, self._models.load_params, in_use)
            self._asked = self._workspace.submit(question, self._on_forecasts).id

    @property
    def loading(self) -> bool:
        return self._run is not None

    def load(self, path: str) -> None:
        """Load this one, in place of a load still going on; "" puts the second model down."""
        if self._run is not None:
            self._run.cancel()
        self._wanted = path
        self._run = self._workspace.submit(LoadSecond(path, self._models.load_params), self._take)
        self.loading_changed.emit(Progress(self._run.id, "Waiting", 0, 0))

    def _on_forecasts(self, event: Event) -> None:
        if isinstance(event, Forecasts) and event.run == self._asked:
            self._forecasts = {each.path: each for each in event.forecasts}
            self.offers_changed.emit()

    def _take(self, event: Event) -> None:
        if isinstance(event, SecondLoaded):
            self.info = event.info
            self.changed.emit(event.info)
            self._models.ask_forecasts()  # there is more or less room now, for the first model too
        if self._run is None or event.run != self._run.id:
            return
        if isinstance(event, Progress):
            self.loading_changed.emit(event)
        elif isinstance(event, Done | Failed):
            self._run = None
            self.loading_changed.emit(None)
            if isinstance(event, Failed):
                self.failed.emit(event.message, event.hint, event.details)
