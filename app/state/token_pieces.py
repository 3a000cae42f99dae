"""Which tokens of the loaded model the texts among the sampling settings are, asked of the engine and kept."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QObject, Signal

from app.state.workspace import Workspace
from engine import Event, ModelInfo, Tokenize, Tokenized


class TokenPieces(QObject):
    """changed: the pieces of another text are known, or another model is loaded.

    found: by text, the ids and the pieces of its tokens. vocabulary: how many tokens the model has, 0 without one.
    """

    changed = Signal()

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._model = workspace.info
        self._texts: tuple[str, ...] = ()
        self._asked: dict[int, str] = {}  # texts by their run
        self.found: dict[str, tuple[tuple[int, str], ...]] = {}
        workspace.model_changed.connect(self._on_model)

    @property
    def vocabulary(self) -> int:
        return self._workspace.info.vocabulary if self._workspace.info is not None else 0

    def ask(self, texts: Iterable[str]) -> None:
        """These texts are shown now; what is not known of them is asked."""
        self._texts = tuple(dict.fromkeys(texts))
        if self._workspace.info is not self._model:
            self._model, self.found, self._asked = self._workspace.info, {}, {}
        self.found = {text: self.found[text] for text in self._texts if text in self.found}
        if self.vocabulary:
            for text in self._texts:
                if text not in self.found and text not in self._asked.values():
                    run = self._workspace.submit(Tokenize(text, setting=True), self._take)
                    self._asked[run.id] = text
        self.changed.emit()

    def _take(self, event: Event) -> None:
        """An event of a run that is not known here is of a text cut for the model before."""
        if isinstance(event, Tokenized) and event.run in self._asked:
            self.found[self._asked.pop(event.run)] = tuple(zip(event.ids, event.pieces))
            self.changed.emit()

    def _on_model(self, _: ModelInfo | None) -> None:
        self.ask(self._texts)
