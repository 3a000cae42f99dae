"""The draft model: a smaller one beside the loaded model, that guesses ahead for it so that it answers sooner.

Which model drafts for which is kept, and it is loaded again with it. Whether one fits is the engine's to say.
"""

from __future__ import annotations

import os

from PySide6.QtCore import QObject, Signal

from app.settings import Settings
from app.state.models import Models
from app.state.workspace import Workspace
from engine import (
    Done,
    Drafters,
    DraftLoaded,
    Event,
    Failed,
    FindDrafters,
    Forecast,
    ForecastMemory,
    Forecasts,
    LoadDraft,
    ModelInfo,
    Progress,
    Run,
)

Offer = tuple[str, str, str]
"""A model to choose: its name, its path, and why it cannot be chosen, "" where it can."""


class Drafting(QObject):
    """changed: which model drafts, which ones could, or how far one is loaded. failed: message, hint, details.

    path: of the model that drafts now, "" for none. loading: while one is on its way.
    """

    changed = Signal()
    failed = Signal(str, str, str)

    def __init__(self, workspace: Workspace, models: Models, settings: Settings) -> None:
        super().__init__()
        self._workspace = workspace
        self._models = models
        self._settings = settings
        self._run: Run | None = None
        self._wanted = ""
        self._asked: Run | None = None  # the latest question
        self._refusals: dict[str, str] = {}
        self._forecasts: dict[str, Forecast] = {}
        self.path = ""
        self.bytes_in_memory = 0
        self.loading: Progress | None = None
        workspace.model_changed.connect(self._on_model)

    @property
    def possible(self) -> bool:
        """Whether the loaded model is one that can be drafted for."""
        return self._workspace.info is not None and self._workspace.info.kind == "decoder"

    @property
    def chosen(self) -> str:
        """The path of the model on its way, or of the one that drafts."""
        return self.path if self.loading is None else self._wanted

    @property
    def offers(self) -> list[Offer]:
        """The models that can be run, those that can be chosen first."""
        offers = []
        for card in self._models.cards:
            why = self._refusals.get(card.path)
            if why is None or self._is_loaded(card.path):
                continue
            forecast = self._forecasts.get(card.path)
            if forecast is not None and forecast.verdict == "too large" and card.path != self.path:
                why = "too large for the free memory"
            offers.append((card.name, card.path, why))
        return sorted(offers, key=lambda offer: bool(offer[2]))

    def ask(self) -> None:
        """Ask which models could draft for the loaded one now."""
        info = self._workspace.info
        if self._asked is not None:
            self._asked.cancel()
        if info is not None and self.possible and self._models.cards:
            self._asked = self._workspace.submit(FindDrafters(info.path, self._models.cards), self._on_answer)

    def load(self, path: str) -> None:
        """Let this one draft, in place of one that is still on its way; "" puts the draft model down."""
        if not path:
            self._keep("")
        self._start(path)

    def cancel(self) -> None:
        if self._run is not None:
            self._run.cancel()

    def _start(self, path: str) -> None:
        self.cancel()
        self._wanted = path
        self._run = self._workspace.submit(LoadDraft(path, self._models.load_params), self._take)
        self.loading = Progress(self._run.id, "Waiting", 0, 0) if path else None
        self.changed.emit()

    def _on_model(self, info: ModelInfo | None) -> None:
        """Another model: what drafted for the one before has gone with it."""
        late = self._run is not None
        self.cancel()
        self._run, self._asked, self.loading = None, None, None
        self._refusals, self._forecasts = {}, {}
        self._hold("", 0)
        kept = self._settings.value("drafts").get(_key(info.path), "") if info is not None else ""
        if self.possible and (kept or late):  # what was on its way may have come to this model
            self._start(str(kept))
        self.changed.emit()

    def _on_answer(self, event: Event) -> None:
        """First who could, then whether there is memory for each of them."""
        if self._asked is None or event.run != self._asked.id:
            return
        if isinstance(event, Drafters):
            self._refusals = dict(event.refusals)
            able = tuple(card for card in self._models.cards if self._refusals.get(card.path) == "")
            self.changed.emit()
            if able:
                question = ForecastMemory(able, self._models.load_params, self.bytes_in_memory)
                self._asked = self._workspace.submit(question, self._on_answer)
        elif isinstance(event, Forecasts):
            self._forecasts = {each.path: each for each in event.forecasts}
            self.changed.emit()

    def _take(self, event: Event) -> None:
        if self._run is None or event.run != self._run.id:
            return
        if isinstance(event, DraftLoaded):
            self._hold(self._wanted if event.name else "", event.bytes_in_memory)
            if event.name:
                self._keep(self._wanted)
        elif isinstance(event, Progress):
            self.loading = event if self._wanted else None
        elif isinstance(event, Done | Failed):
            self._run, self.loading = None, None
            if isinstance(event, Failed):
                self._keep(self.path)
                self.failed.emit(event.message, event.hint, event.details)
        self.changed.emit()

    def _hold(self, path: str, nbytes: int) -> None:
        self.path, self.bytes_in_memory = path, nbytes
        self._models.set_draft_bytes(nbytes)

    def _keep(self, path: str) -> None:
        """Remember what drafts for the loaded model."""
        if self._workspace.info is not None:
            drafts = dict(self._settings.value("drafts"))
            drafts.pop(_key(self._workspace.info.path), None)
            self._settings.set("drafts", drafts | ({_key(self._workspace.info.path): path} if path else {}))

    def _is_loaded(self, path: str) -> bool:
        return self._workspace.info is not None and _key(path) == _key(self._workspace.info.path)


def _key(path: str) -> str:
    return os.path.normpath(path)
