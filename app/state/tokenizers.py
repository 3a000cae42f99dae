"""One text through several tokenizers: which, and what each made of it. No weights are read for it."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject, Signal

from app.state.models import Models
from app.state.workspace import Workspace
from engine import Event, Failed, ModelInfo, Tokenized, TokenizeWith

MOST = 4


class Tokenizers(QObject):
    """changed: other tokenizers are looked at, or one has read the text. failed: message, hint, details."""

    changed = Signal()
    failed = Signal(str, str, str)

    def __init__(self, workspace: Workspace, models: Models) -> None:
        super().__init__()
        self._workspace = workspace
        self._models = models
        self._latest: dict[str, int] = {}
        self.paths: list[str] = []
        self.found: dict[str, Tokenized] = {}
        self.text = ""
        workspace.model_changed.connect(self._on_model)
        models.cards_changed.connect(self.changed)

    @property
    def choices(self) -> dict[str, str]:
        """Names of the models of this machine by their paths."""
        cards = {card.path: card.name for card in self._models.cards if card.tokenizer}
        return cards | {path: Path(path).name for path in self.paths if path not in cards}

    def read(self, text: str) -> None:
        """Have all of them read this text."""
        self.text = text
        for path in self.paths:
            self._ask(path)

    def put(self, place: int, path: str) -> None:
        """Take another tokenizer for this place; one place more adds it."""
        if path in self.paths:
            return
        self.paths[place : place + 1] = [path]
        self._ask(path)
        self.changed.emit()

    def open(self, path: str) -> None:
        """Look at the tokenizer of a GGUF file, or of the folder that another file lies in."""
        self.put(len(self.paths), path if path.endswith(".gguf") else str(Path(path).parent))

    def remove(self, place: int) -> None:
        del self.paths[place]
        self.changed.emit()

    def _ask(self, path: str) -> None:
        run = self._workspace.submit(TokenizeWith(path, self.text, special=False), lambda e: self._take(path, e))
        self._latest[path] = run.id

    def _take(self, path: str, event: Event) -> None:
        if event.run != self._latest.get(path):
            return
        if isinstance(event, Tokenized):
            self.found[path] = event
            self.changed.emit()
        elif isinstance(event, Failed):
            self.failed.emit(event.message, event.hint, event.details)
            if path in self.paths:
                self.remove(self.paths.index(path))

    def _on_model(self, info: ModelInfo | None) -> None:
        """The loaded model's stands first."""
        if info is not None and info.path not in self.paths:
            self.paths[:1] = [info.path]
            self._ask(info.path)
            self.changed.emit()
