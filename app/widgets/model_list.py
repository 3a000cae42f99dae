"""The models and adapters of this machine as cards, folder by folder. It knows no way to load or to find one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.widgets.adapter_card import AdapterView
from app.widgets.model_card import Card, words
from app.widgets.named import named
from engine import AdapterCard, ModelCard

LOOKING = "Looking for models."
TINY = "Tiny: good for seeing how it works, not for answers to rely on."
Folder = tuple[str, Sequence[ModelCard], Sequence[AdapterCard]]
"""A folder, and what lies in it."""
NOTHING = (
    "No model was found here. A model is a .gguf file, or a folder that holds config.json, tokenizer.json and "
    ".safetensors files."
)


class ModelList(QWidget):
    """load, unload: as of a card. removed: a folder that is to be looked into no more. used: an adapter, on or off.

    cards, adapters: in the order they are shown. removers: by folder, the button that removes it.
    """

    load = Signal(str, str)
    unload = Signal()
    removed = Signal(str)
    used = Signal(str, bool)

    def __init__(self) -> None:
        super().__init__()
        self.cards: list[Card] = []
        self.adapters: list[AdapterView] = []
        self.removers: dict[str, QPushButton] = {}
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(8)
        self._column.addWidget(words(LOOKING, "caption"))

    @property
    def current(self) -> Card | None:
        """The card of the model in use."""
        return next((card for card in self.cards if card.current), None)

    def show_models(self, strange: ModelCard | None, bundled: Sequence[ModelCard], folders: Sequence[Folder]) -> None:
        """Make all cards anew. strange: a model in use that none of the folders holds."""
        shown: list[Card | AdapterView] = [*self.cards, *self.adapters]
        focused = next((card.card.path for card in shown if card.button.hasFocus()), "")
        self.cards.clear()
        self.adapters.clear()
        self.removers.clear()
        while (item := self._column.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        if strange is not None:
            self._column.addWidget(words("Opened from elsewhere", "heading"))
            self._add_cards([strange])
        self._column.addWidget(words("Comes with Vitrine", "heading"))
        self._column.addWidget(words(TINY, "caption"))
        self._add_cards(bundled)
        for folder, models, adapters in folders:
            self._column.addWidget(self._folder_head(folder))
            self._add_cards(models)
            self._add_adapters(adapters)
            if not (models or adapters):
                self._column.addWidget(words(NOTHING, "caption"))
        shown = [*self.cards, *self.adapters]
        for card in shown:
            if card.card.path == focused:
                card.button.setFocus()

    def _add_cards(self, models: Sequence[ModelCard]) -> None:
        for model in sorted(models, key=lambda model: not model.supported):
            card = Card(model)
            card.load.connect(self.load)
            card.unload.connect(self.unload)
            self.cards.append(card)
            self._column.addWidget(card)

    def _add_adapters(self, adapters: Sequence[AdapterCard]) -> None:
        for adapter in sorted(adapters, key=lambda adapter: bool(adapter.reason)):
            view = AdapterView(adapter)
            view.used.connect(partial(self.used.emit, adapter.path))
            self.adapters.append(view)
            self._column.addWidget(view)

    def _folder_head(self, folder: str) -> QWidget:
        head = QWidget()
        name = words(_place_words(folder), "heading")
        name.setToolTip(folder)
        remove = named(QPushButton("Remove"), "removeFolder", f"Stop looking for models in {folder}")
        remove.setProperty("kind", "quiet")
        remove.setToolTip("Stop looking here. Nothing on the disk is touched.")
        remove.clicked.connect(lambda: self.removed.emit(folder))
        self.removers[folder] = remove
        line = QHBoxLayout(head)
        line.setContentsMargins(0, 4, 0, 0)
        line.addWidget(name, 1)
        line.addWidget(remove)
        return head


def _place_words(folder: str) -> str:
    """A folder's path, short where it lies in the person's own, with places at which the line may break."""
    place = Path(folder)
    short = str(Path("~", place.relative_to(Path.home()))) if place.is_relative_to(Path.home()) else folder
    return re.sub(r"([/\\._-])", "\\1\N{ZERO WIDTH SPACE}", short)
