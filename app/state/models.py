"""The models on this machine: what comes with Vitrine and what lies in folders the person added.

Looking into folders is the engine's work, on its files' thread; here are only the cards it brought.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from app.settings import DEFAULTS, Settings
from app.state.workspace import Workspace
from engine import (
    Adapters,
    Cards,
    CountKept,
    Done,
    Event,
    Failed,
    FindAdapters,
    Forecast,
    ForecastMemory,
    Forecasts,
    Inspect,
    InvalidValue,
    Kept,
    LoadParams,
    ModelCard,
    Run,
    Scan,
)

BUNDLED = Path(__file__).resolve().parents[2] / "assets" / "models"


class Models(QObject):
    """cards_changed: the list or the scanning. failed: message and hint of a scan that went wrong.

    forecasts: by path, what the models would take in memory, loaded as they now would be. kept: what is kept on the
    disk of quantised models, None until it is counted; kept_changed: it, or whether it is being cleared.
    adapters_brought: the cards of adapters that were dropped.
    """

    cards_changed = Signal()
    forecasts_changed = Signal()
    kept_changed = Signal()
    failed = Signal(str, str)
    adapters_brought = Signal(object)

    def __init__(self, workspace: Workspace, settings: Settings) -> None:
        super().__init__()
        self._workspace = workspace
        self._settings = settings
        self._scan: Run | None = None
        self.cards: tuple[ModelCard, ...] = ()
        self.forecasts: dict[str, Forecast] = {}
        self.kept: Kept | None = None
        self.clearing = False
        self._asked = 0  # the run of the latest question for forecasts
        self._draft_bytes = 0  # of what drafts for the loaded model, and goes with it
        workspace.model_changed.connect(self.ask_forecasts)

    @property
    def scanning(self) -> bool:
        """Whether folders are being looked through."""
        return self._scan is not None

    @property
    def folders(self) -> list[str]:
        """The folders the person added."""
        return [str(folder) for folder in self._settings.value("folders")]

    @property
    def load_params(self) -> LoadParams:
        """How models are brought into memory."""
        try:
            return LoadParams.from_dict(self._settings.value("load"))[0]
        except (InvalidValue, TypeError):
            return self.usual_load_params

    @property
    def usual_load_params(self) -> LoadParams:
        """The same as long as nobody has chosen anything."""
        return LoadParams.from_dict(DEFAULTS["load"])[0]

    def set_load_params(self, params: LoadParams) -> None:
        self._settings.set("load", params.to_dict())
        self.ask_forecasts()

    def load(self, path: str, precision: str = "") -> None:
        """Load a model as is set, or this once in another precision."""
        params = self.load_params
        self._workspace.load(path, params.replace(precision=precision) if precision else params)

    def ask_forecasts(self, *_: object) -> None:
        """Ask what the models found would take in memory now."""
        if self.cards:
            info = self._workspace.info
            in_use = info.bytes_in_memory + self._draft_bytes if info else 0
            question = ForecastMemory(self.cards, self.load_params, in_use)
            self._asked = self._workspace.submit(question, self._on_forecasts).id

    def set_draft_bytes(self, nbytes: int) -> None:
        """What the model that drafts for the loaded one takes; 0 where none does."""
        if nbytes != self._draft_bytes:
            self._draft_bytes = nbytes
            self.ask_forecasts()

    def ask_kept(self) -> None:
        """Ask how much is kept of quantised models."""
        self._workspace.submit(CountKept(), self._on_kept)

    def clear_kept(self) -> None:
        """Remove what is kept of quantised models; the loaded one stays as it is."""
        if not self.clearing:
            self.clearing = True
            self._workspace.submit(CountKept(clear=True), self._on_cleared)
            self.kept_changed.emit()

    def add_folder(self, path: str) -> None:
        """Look into this folder from now on: a model's own, or one that holds several."""
        folder = str(Path(path))
        if folder not in self.folders:
            self._settings.set("folders", [*self.folders, folder])
        self.refresh()

    def open(self, paths: Sequence[str]) -> None:
        """What was dropped: the first model is loaded, and every model and folder of models joins the list.

        A file of a model's folder stands for it. What holds no model may hold adapters; what holds neither is told with
        the engine's reason.
        """
        places = tuple(dict.fromkeys(str(_place(Path(path))) for path in paths))
        self._workspace.submit(Scan(places), lambda event: self._on_opened(places, event))

    def remove_folder(self, path: str) -> None:
        """Stop looking there; nothing on the disk is touched."""
        self._settings.set("folders", [folder for folder in self.folders if folder != path])
        self.refresh()

    def folder_of(self, path: str) -> str:
        """The added folder that a model or an adapter lies in; "" for a bundled one."""
        place = Path(path)
        return next((folder for folder in self.folders if Path(folder) in (place, *place.parents)), "")

    def refresh(self) -> None:
        """Look through all folders again; a scan still going on is given up."""
        if self._scan is not None:
            self._scan.cancel()
        self._scan = self._workspace.submit(Scan((str(BUNDLED), *self.folders)), self._take)
        self.cards_changed.emit()

    def _on_forecasts(self, event: Event) -> None:
        if isinstance(event, Forecasts) and event.run == self._asked:
            self.forecasts = {each.path: each for each in event.forecasts}
            self.forecasts_changed.emit()

    def _on_kept(self, event: Event) -> None:
        if isinstance(event, Kept):
            self.kept = event
            self.kept_changed.emit()

    def _on_cleared(self, event: Event) -> None:
        if isinstance(event, Done | Failed):
            self.clearing = False
            self.ask_kept()
        if isinstance(event, Failed):
            self.failed.emit(event.message, event.hint)

    def _on_opened(self, places: tuple[str, ...], event: Event) -> None:
        if isinstance(event, Failed):
            self.failed.emit(event.message, event.hint)
        if not isinstance(event, Cards):
            return
        whole = [card for card in event.cards if card.path in places]
        added = [place for place in places if any(Path(place) in (p := Path(c.path), *p.parents) for c in event.cards)]
        self._settings.set("folders", [*dict.fromkeys((*self.folders, *added))])
        self.refresh()
        first = next((card for card in whole if card.supported), None)
        if first is not None:
            self.load(first.path)
        elif whole:
            self.failed.emit(whole[0].reason, whole[0].hint)
        others = tuple(place for place in places if place not in added)
        if others:
            self._workspace.submit(FindAdapters(others), lambda event: self._on_adapters(others, event))

    def _on_adapters(self, places: tuple[str, ...], event: Event) -> None:
        """The adapters in what was dropped and holds no model."""
        if not isinstance(event, Adapters):
            self._on_refused(event)
            return
        added = [place for place in places if any(Path(place) in (p := Path(c.path), *p.parents) for c in event.cards)]
        if added:
            self._settings.set("folders", [*dict.fromkeys((*self.folders, *added))])
            self.adapters_brought.emit(event.cards)
            self.refresh()
        damaged = next((card for card in event.cards if card.reason), None)
        if damaged is not None:
            self.failed.emit(damaged.reason, damaged.hint)
        for place in [place for place in places if place not in added][:1]:
            self._workspace.submit(Inspect(place), self._on_refused)

    def _on_refused(self, event: Event) -> None:
        if isinstance(event, Failed):
            self.failed.emit(event.message, event.hint)

    def _take(self, event: Event) -> None:
        if self._scan is None or event.run != self._scan.id:
            return
        if isinstance(event, Cards):
            self.cards = event.cards
            self.ask_forecasts()
        elif isinstance(event, Done | Failed):
            self._scan = None
            self.cards_changed.emit()
        if isinstance(event, Failed):
            self.failed.emit(event.message, event.hint)


def _place(path: Path) -> Path:
    """A .json or .safetensors file means the folder that it lies in; anything else means itself."""
    return path.parent if path.suffix in (".json", ".safetensors") else path
