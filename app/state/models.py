"""The models on this machine: what comes with Vitrine and what lies in folders the person added.

Looking into folders is the engine's work, on its files' thread; here are only the cards it brought.
"""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject, Signal

from app.settings import DEFAULTS, Settings
from app.state.workspace import Workspace
from engine import Cards, Done, Event, Failed, InvalidValue, LoadParams, ModelCard, Run, Scan

BUNDLED = Path(__file__).resolve().parents[2] / "assets" / "models"


class Models(QObject):
    """cards_changed: the list or the scanning. failed: message and hint of a scan that went wrong."""

    cards_changed = Signal()
    failed = Signal(str, str)

    def __init__(self, workspace: Workspace, settings: Settings) -> None:
        super().__init__()
        self._workspace = workspace
        self._settings = settings
        self._scan: Run | None = None
        self.cards: tuple[ModelCard, ...] = ()

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

    def load(self, path: str) -> None:
        self._workspace.load(path, self.load_params)

    def add_folder(self, path: str) -> None:
        """Look into this folder from now on: a model's own, or one that holds several."""
        folder = str(Path(path))
        if folder not in self.folders:
            self._settings.set("folders", [*self.folders, folder])
        self.refresh()

    def remove_folder(self, path: str) -> None:
        """Stop looking there; nothing on the disk is touched."""
        self._settings.set("folders", [folder for folder in self.folders if folder != path])
        self.refresh()

    def folder_of(self, card: ModelCard) -> str:
        """The added folder that a card comes from; "" for a bundled model."""
        place = Path(card.path)
        return next((folder for folder in self.folders if Path(folder) in (place, *place.parents)), "")

    def refresh(self) -> None:
        """Look through all folders again; a scan still going on is given up."""
        if self._scan is not None:
            self._scan.cancel()
        self._scan = self._workspace.submit(Scan((str(BUNDLED), *self.folders)), self._take)
        self.cards_changed.emit()

    def _take(self, event: Event) -> None:
        if self._scan is None or event.run != self._scan.id:
            return
        if isinstance(event, Cards):
            self.cards = event.cards
        elif isinstance(event, Done | Failed):
            self._scan = None
            self.cards_changed.emit()
        if isinstance(event, Failed):
            self.failed.emit(event.message, event.hint)
