"""The adapters on this machine, whether the models in memory can take them, and which are on, how strongly.

They lie in the folders that models are looked for in. What is on counts from the next answer, text or sentence on, and
is kept for each model. Whether one fits is the engine's to say; until it has, what was kept is taken on trust.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from app.settings import Settings
from app.state.models import BUNDLED, Models
from app.state.second import Second
from app.state.workspace import Workspace
from engine import AdapterCard, AdapterUse, BestOf, Event, Failed, FindAdapters, Generate, InvalidValue, ModelInfo
from engine import Adapters as Found

Offer = tuple[str, str, str]
"""An adapter to choose: its name, its path, and why it cannot be chosen, "" where it can."""

USUAL: float = AdapterUse.table()[0].default
"""How strongly one is on that was just put on."""


class Adapters(QObject):
    """changed: what was found, whether it fits, or what is on."""

    changed = Signal()

    def __init__(self, workspace: Workspace, models: Models, second: Second, settings: Settings) -> None:
        super().__init__()
        self._workspace = workspace
        self._models = models
        self._second = second
        self._settings = settings
        self._asked: set[int] = set()  # the runs of the latest questions
        self._found: dict[str, tuple[AdapterCard, ...]] = {}  # by the path of a model, "" for none
        self._brought: set[str] = set()  # dropped, and to be put on where they fit
        workspace.model_changed.connect(self._ask)
        second.changed.connect(self._ask)
        models.cards_changed.connect(self._on_cards)
        models.adapters_brought.connect(self._on_brought)

    # --- what there is ------------------------------------------------------------------------------------------------

    def cards(self, second: bool = False) -> tuple[AdapterCard, ...]:
        """All of them; those that the loaded model, or the second, cannot take have a reason."""
        info = self._info(second)
        return self._found.get(info.path if info is not None else "", self._found.get("", ()))

    def offers(self, second: bool = False) -> list[Offer]:
        """Those to choose from for a model, the ones that fit first."""
        offers = [(card.name, card.path, "does not fit" if card.reason else "") for card in self.cards(second)]
        return sorted(offers, key=lambda offer: bool(offer[2]))

    @property
    def choices(self) -> list[Offer]:
        """Those that the loaded model can be compared with itself through, named beside models."""
        return [(f"Adapter {name}", path, why) for name, path, why in self.offers()]

    # --- what is on ---------------------------------------------------------------------------------------------------

    @property
    def uses(self) -> tuple[AdapterUse, ...]:
        """Those that are on for the loaded model."""
        info = self._workspace.info
        known = self._found.get(info.path) if info is not None else None
        fitting = None if known is None else {card.path for card in known if not card.reason}
        kept = uses_in({"adapters": list(self._weights.items())})
        return tuple(use for use in kept if use.weight and (fitting is None or use.path in fitting))

    def weight(self, path: str) -> float:
        """How strongly this one is on; 0 where it is off."""
        return next((use.weight for use in self.uses if use.path == path), 0.0)

    def set_weight(self, path: str, weight: float) -> None:
        """Use this adapter so strongly from the next answer on; 0 puts it off."""
        info = self._workspace.info
        if info is not None and weight != self.weight(path):
            weights = {**self._weights, path: weight}
            kept = {key: value for key, value in self._settings.value("adapters").items() if key != info.path}
            self._settings.set("adapters", {**kept, info.path: {key: w for key, w in weights.items() if w}})
            self.changed.emit()

    @property
    def _weights(self) -> dict[str, Any]:
        info = self._workspace.info
        kept = self._settings.value("adapters").get(info.path) if info is not None else None
        return kept if isinstance(kept, dict) else {}

    # --- asking -------------------------------------------------------------------------------------------------------

    def _info(self, second: bool) -> ModelInfo | None:
        return self._second.info if second else self._workspace.info

    def _ask(self, *_: object) -> None:
        """First what there is, which is soon said; then, where there is any, whether each fits."""
        self._asked = {self._submit("")}

    def _submit(self, model: str) -> int:
        question = FindAdapters((str(BUNDLED), *self._models.folders), model)
        return self._workspace.submit(question, partial(self._take, model)).id

    def _take(self, model: str, event: Event) -> None:
        if event.run not in self._asked:
            return
        if isinstance(event, Failed):
            cards = self._found.get("", ())
            self._hold(model, tuple(replace(card, reason=event.message, hint=event.hint) for card in cards))
        elif isinstance(event, Found):
            self._hold(model, event.cards)

    def _hold(self, model: str, cards: tuple[AdapterCard, ...]) -> None:
        if model:
            self._found[model] = cards
        else:
            infos = (self._info(False), self._info(True))
            models = {info.path for info in infos if info is not None and cards}
            self._found = {"": cards, **{path: known for path, known in self._found.items() if path in models}}
            self._asked |= {self._submit(path) for path in models}
        self._put_brought_on()
        self.changed.emit()

    def _on_cards(self) -> None:
        if not self._models.scanning:
            self._ask()

    def _on_brought(self, cards: tuple[AdapterCard, ...]) -> None:
        self._brought |= {card.path for card in cards}

    def _put_brought_on(self) -> None:
        """What was dropped is meant to be used."""
        info = self._workspace.info
        for card in self._found.get(info.path, ()) if info is not None else ():
            if card.path in self._brought:
                self._brought.discard(card.path)
                if not card.reason:
                    self.set_weight(card.path, self.weight(card.path) or USUAL)


def changed_by(uses: Sequence[AdapterUse]) -> str:
    """What a model is changed by: "with a at 0.5 and b"; "" for nothing. An adapter is called as its folder is."""
    told = [Path(use.path).name + ("" if use.weight == USUAL else f" at {use.weight:g}") for use in uses if use.weight]
    return f"with {' and '.join(told)}" if told else ""


def uses_in(settings: dict[str, Any]) -> tuple[AdapterUse, ...]:
    """The adapters that a message's settings name; what is not understood is left out."""
    uses = []
    for kept in settings.get("adapters", ()):
        try:
            path, weight = kept
            uses.append(AdapterUse(str(path), float(weight)))
        except (InvalidValue, TypeError, ValueError):
            continue
    return tuple(uses)


def settings_of(command: Generate | BestOf) -> dict[str, Any]:
    """What a message is written with, as it is kept with it."""
    adapters = [[use.path, use.weight] for use in command.adapters]
    return command.sampling.to_dict() | ({"adapters": adapters} if adapters else {})
