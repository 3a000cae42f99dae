"""The sampling in force: a preset and what the person changed from it.

Only the changes are kept, so a preset's values, or the model's own, come through whenever another model is loaded; a
model that was used before gets its last settings back. It knows no slider; whoever writes an answer reads `sampling`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from app.settings import Settings
from app.state.workspace import Workspace
from engine import InvalidValue, ModelInfo, SamplingParams

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "presets"
MODELS_OWN = "Model's own"
KEPT = frozenset(
    {
        "max_new_tokens", "penalty_window", "penalty_scope", "beams", "length_penalty", "speculation", "seed", "stop",
        "order",
    }
)  # fmt: skip
"""Choosing a preset or Neutral leaves these as they are, unless the preset names them."""

FORMS = ("schema", "regex", "grammar")
"""Fields of which one at most says what an answer has to be."""

REMEMBERED = 100  # models whose last settings are kept


@dataclass(frozen=True, slots=True)
class Preset:
    """Named values of some sampling fields. saved: the person's own, so that it can be deleted."""

    name: str
    description: str = ""
    sampling: dict[str, Any] = field(default_factory=dict)
    saved: bool = False


class Presets(QObject):
    """sampling_changed: SamplingParams. presets_changed: another preset is chosen, or one was saved or deleted."""

    sampling_changed = Signal(object)
    presets_changed = Signal()

    def __init__(self, workspace: Workspace, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._own = workspace.info.defaults if workspace.info else SamplingParams()
        self._from_model = workspace.info is None or bool(workspace.info.from_model)  # nothing is said of none
        self._all = {preset.name: preset for preset in (Preset(MODELS_OWN), *_bundled(), *_saved(settings))}
        wanted = settings.value("preset") or MODELS_OWN
        self.name: str = wanted if wanted in self._all else MODELS_OWN
        self._changes = valid(settings.value("sampling"))
        self._model = workspace.info.path if workspace.info else ""
        self._waiting = False  # something was changed before there was a model to remember it for
        self.sampling: SamplingParams = _composed(self.baseline, self._changes)
        workspace.model_changed.connect(self._on_model)

    @property
    def presets(self) -> tuple[Preset, ...]:
        """The model's own first, then the bundled ones, then the person's."""
        return tuple(self._all.values())

    @property
    def preset(self) -> Preset:
        return self._all[self.name]

    @property
    def baseline(self) -> SamplingParams:
        """The chosen preset's values, without the person's changes."""
        return self.values(self.name)

    @property
    def description(self) -> str:
        """The chosen preset in one sentence."""
        if self.name == MODELS_OWN and not self._from_model:
            return "The model asks for nothing special, so these are Vitrine's own values."
        return self.preset.description or ("What the model's makers ask for." if self.name == MODELS_OWN else "")

    @property
    def changed(self) -> bool:
        """Whether anything differs from the preset."""
        return bool(self._changes)

    def changed_from_preset(self, name: str) -> bool:
        """Whether this field differs from the preset."""
        return name in self._changes

    def values(self, name: str) -> SamplingParams:
        """A preset's values. What it does not name is off; see KEPT."""
        if name == MODELS_OWN:
            return self._own
        off = SamplingParams.neutral(**{key: getattr(self._own, key) for key in KEPT})
        return off.replace(**self._all[name].sampling)

    def set_sampling(self, sampling: SamplingParams) -> None:
        """Use these values from the next token on."""
        baseline = self.baseline.to_dict()
        self._changes = {key: value for key, value in sampling.to_dict().items() if value != baseline[key]}
        self._remember()
        self._show()

    def apply(self, name: str) -> None:
        """Choose a preset; the fields in KEPT stay as they are unless it names them."""
        kept = KEPT - set(self._all[name].sampling)
        self._changes = {key: value for key, value in self._changes.items() if key in kept}
        self._choose(name)
        self._remember()
        self._show()

    def reset(self, *names: str) -> None:
        """Back to the preset's value: these fields, or all of them."""
        if not names:
            self.set_sampling(self.baseline)
        else:
            self.set_sampling(self.sampling.replace(**{name: getattr(self.baseline, name) for name in names}))

    def neutral(self) -> None:
        """Switch every step off: the model's raw distribution at temperature 1."""
        self.set_sampling(SamplingParams.neutral(**{key: getattr(self.sampling, key) for key in KEPT}))

    def save(self, name: str) -> str:
        """Keep the values under a name, all but the seed; returns why not, one sentence, or ""."""
        name = name.strip()
        if not name:
            return "Give it a name."
        if name in self._all and not self._all[name].saved:
            return f"{name} comes with Vitrine. Choose another name."
        values = {key: value for key, value in self.sampling.to_dict().items() if key != "seed"}
        self._all[name] = Preset(name, sampling=values, saved=True)
        self._store()
        self._choose(name)
        self.set_sampling(self.sampling)
        return ""

    def add(self, preset: Preset) -> str:
        """Keep a preset that came from elsewhere, and choose it; returns the name that it got, as none is replaced."""
        name, number = preset.name, 2
        while name in self._all:
            name, number = f"{preset.name} {number}", number + 1
        self._all[name] = replace(preset, name=name)
        self._store()
        self.apply(name)
        return name

    def delete(self, name: str) -> None:
        """Remove one of the person's presets; the values stay in force."""
        if not self._all[name].saved:
            return
        sampling = self.sampling
        del self._all[name]
        self._store()
        if self.name == name:
            self._choose(MODELS_OWN)
            self.set_sampling(sampling)
        else:
            self.presets_changed.emit()

    def _choose(self, name: str) -> None:
        self.name = name
        self._settings.set("preset", "" if name == MODELS_OWN else name)
        self.presets_changed.emit()

    def _store(self) -> None:
        saved = {p.name: {"description": p.description, "sampling": p.sampling} for p in self.presets if p.saved}
        self._settings.set("presets", saved)

    def _remember(self) -> None:
        """For the next start, and for the next time that this model is loaded."""
        self._settings.set("sampling", self._changes)
        if not self._model:
            self._waiting = True
            return
        models = dict(self._settings.value("model_sampling"))
        models.pop(self._model, None)
        models[self._model] = {"preset": self.name, "sampling": self._changes}
        self._settings.set("model_sampling", dict(list(models.items())[-REMEMBERED:]))

    def _recall(self) -> None:
        """What was in force when this model was last used; a model that is new goes on with what is in force."""
        known = self._settings.value("model_sampling").get(self._model)
        if isinstance(known, dict) and not self._waiting:
            wanted = known.get("preset")
            self.name = wanted if wanted in self._all else MODELS_OWN
            self._changes = valid(known.get("sampling"))
            self._settings.set("preset", "" if self.name == MODELS_OWN else self.name)
        self._waiting = False
        self._remember()

    def _show(self) -> None:
        self.sampling = _composed(self.baseline, self._changes)
        self.sampling_changed.emit(self.sampling)

    def _on_model(self, info: ModelInfo | None) -> None:
        if info is not None:
            self._own, self._from_model, self._model = info.defaults, bool(info.from_model), info.path
            self._recall()
            self._show()
            self.presets_changed.emit()


def _bundled() -> Iterator[Preset]:
    order = ("balanced", "precise", "creative", "wild", "greedy")
    files = sorted(FOLDER.glob("*.json"), key=lambda f: order.index(f.stem) if f.stem in order else len(order))
    for file in files:
        raw = json.loads(file.read_text("utf-8"))
        yield Preset(raw["name"], raw["description"], valid(raw["sampling"]))


def _saved(settings: Settings) -> Iterator[Preset]:
    for name, raw in settings.value("presets").items():
        if isinstance(raw, dict):
            yield Preset(name, str(raw.get("description", "")), valid(raw.get("sampling")), saved=True)


def _composed(sampling: SamplingParams, changes: dict[str, Any]) -> SamplingParams:
    """These values with some changed; a form among the changes takes the place of the one before."""
    others = dict.fromkeys(FORMS, "") if any(changes.get(form) for form in FORMS) else {}
    return sampling.replace(**{**others, **changes})


def valid(values: Any) -> dict[str, Any]:
    """The fields that are known and in range, of several forms the first; settings may come from another version."""
    result: dict[str, Any] = {}
    for key, value in values.items() if isinstance(values, dict) else ():
        try:
            unknown = SamplingParams.from_dict({key: value})[1]
        except (InvalidValue, TypeError):
            continue
        if not unknown:
            result[key] = value
    for form in [form for form in FORMS if result.get(form)][1:]:
        del result[form]
    return result
