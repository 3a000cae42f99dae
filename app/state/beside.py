"""One text read by the loaded model and by the second, or itself through an adapter: where each looks, and how it tells
positions apart.

Each reads it in its own tokens. Of attention one layer is captured at a time, and those seen before stay; an
encoder-decoder reads the text as its source. Nothing is read before it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from PySide6.QtCore import QObject, Signal

from app.state.adapters import USUAL, Adapters, changed_by
from app.state.attention import BOTH_WAYS, DECODER, ENCODER, Part, Weights
from app.state.names import Names, Vocabulary
from app.state.second import Second
from app.state.workspace import Workspace
from engine import (
    AdapterUse,
    Attend,
    AttentionRows,
    CaptureParams,
    Done,
    Event,
    Failed,
    ModelInfo,
    PositionMaps,
    Positions,
    Progress,
    Prompt,
    Run,
    Started,
)

LONGEST = 500  # characters: a map of more tokens cannot be read
TOO_LONG = f"Give {LONGEST:,} characters at most: a map of more cannot be read."
READ_BY = {"decoder": DECODER, "encoder-decoder": ENCODER, "encoder": BOTH_WAYS}
"""Which attention of a kind of model reads a text."""


@dataclass(slots=True)
class Reading:
    """What one model found. ids: None before it has read. asked: the attention read for, by name; rows: [H, T, T]."""

    ids: tuple[int, ...] | None = None
    asked: set[str] = field(default_factory=set)
    rows: dict[str, Weights] = field(default_factory=dict)
    maps: PositionMaps | None = None
    progress: Progress | None = None
    error: str = ""
    runs: list[Run] = field(default_factory=list)


class Beside(QObject):
    """changed: something was found, or is another model's now."""

    changed = Signal()

    def __init__(self, workspace: Workspace, second: Second, adapters: Adapters) -> None:
        super().__init__()
        self._workspace = workspace
        self._second = second
        self._adapters = adapters
        self.adapter = ""
        """The path of the adapter that the model is compared with itself through, "" for none."""
        self.strength = USUAL
        self._names = Names(workspace)
        self._names.changed.connect(self.changed)
        self._readings = [Reading(), Reading()]
        self.text = ""
        """What was asked to be read."""
        self.error = ""
        self.layer = 0
        workspace.model_changed.connect(self._on_model)
        second.changed.connect(lambda _: self._forget(second=True))
        adapters.changed.connect(self._on_adapters)

    @property
    def running(self) -> bool:
        return any(reading.runs for reading in self._readings)

    def info(self, second: bool) -> ModelInfo | None:
        return self._second.info if self._is_second(second) else self._workspace.info

    def name(self, second: bool) -> str:
        """Who reads: a model, or the loaded one through the adapter; "" for nobody."""
        info = self.info(second)
        return f"{info.name if info else ''} {changed_by(self._uses(second))}".strip()

    def choose(self, adapter: str, strength: float = USUAL) -> None:
        """Compare with the model as this adapter changes it; "" with the second model, where there is one."""
        self.adapter, self.strength = adapter, strength
        self._forget(second=True)

    def reading(self, second: bool) -> Reading:
        """What the loaded model, or the second, found."""
        return self._readings[second]

    def part(self, second: bool) -> Part:
        """The attention that reads a text."""
        info = self.info(second)
        return READ_BY[info.kind] if info is not None else DECODER

    def shape(self, second: bool) -> tuple[int, int]:
        """Layers and heads of that attention."""
        info = self.info(second)
        if info is None:
            return 0, 0
        return (info.encoder_layers, info.encoder_heads) if info.encoder_layers else (info.layers, info.heads)

    def tokens(self, second: bool) -> list[str]:
        """The text as this model reads it; [] before it has."""
        source = self.part(second) is not DECODER
        return self._names.of(Vocabulary(self._is_second(second), source), self._readings[second].ids or ())

    def rows(self, second: bool, layer: int) -> Weights | None:
        """Attention of a layer, float16 [H, T, T]; None where it was not captured."""
        return self._readings[second].rows.get(self.part(second).name(layer))

    def read(self, text: str) -> None:
        """Have both read this text."""
        self.stop()
        self._readings = [Reading(), Reading()]
        self.error = TOO_LONG if len(text) > LONGEST else ""
        self.text = "" if self.error else text
        self.go_on()
        self.changed.emit()

    def show_layer(self, layer: int) -> None:
        """Look at this layer, and read for it where it was not captured."""
        self.layer = layer
        self.go_on()
        self.changed.emit()

    def go_on(self) -> None:
        """Read what is missing of the text that was asked for."""
        for second in (False, True):
            reading, name = self._readings[second], self.part(second).name(self._layer(second))
            if self.info(second) is not None and self.text and not (reading.runs or name in reading.asked):
                reading.asked.add(name)
                self._start(second)
                self.changed.emit()

    def stop(self) -> None:
        for reading in self._readings:
            for run in reading.runs:
                run.cancel()
            reading.runs, reading.progress = [], None
        self.changed.emit()

    def _is_second(self, second: bool) -> bool:
        """Whether the second model reads here."""
        return second and not self.adapter

    def _uses(self, second: bool) -> tuple[AdapterUse, ...]:
        return (AdapterUse(self.adapter, self.strength),) if second and self.adapter else ()

    def _layer(self, second: bool) -> int:
        """The layer looked at, or the last of a model with fewer."""
        return max(0, min(self.layer, self.shape(second)[0] - 1))

    def _start(self, second: bool) -> None:
        source = self.part(second) is ENCODER
        prompt = Prompt(source=self.text) if source else Prompt(text=self.text)
        capture = CaptureParams(candidates=0, attention="layer", layer=self._layer(second))
        command = Attend(prompt, capture, self._is_second(second), self._uses(second))
        run = self._workspace.submit(command, lambda event: self._take(second, event))
        self._readings[second].runs.append(run)
        self._readings[second].progress = Progress(run.id, "Reading", 0, 0)

    def _take(self, second: bool, event: Event) -> None:
        reading = self._readings[second]
        run = next((run for run in reading.runs if run.id == event.run), None)
        if run is None:
            return
        match event:
            case Started(prompt_ids=ids, source_ids=source):
                reading.ids = source or ids
                if reading.maps is None:
                    asked = Positions(len(reading.ids), self._is_second(second))
                    reading.runs.append(self._workspace.submit(asked, lambda event: self._take(second, event)))
            case Progress():
                reading.progress = event
            case AttentionRows():
                self._put(reading, self.part(second), event)
            case PositionMaps():
                reading.maps = event
            case Done() | Failed():
                reading.runs.remove(run)
                reading.progress = reading.progress if reading.runs else None
                if isinstance(event, Failed):
                    reading.error = f"{event.message} {event.hint}".strip()
                elif not reading.runs:
                    self.go_on()  # another layer may have been chosen meanwhile
        self.changed.emit()

    def _put(self, reading: Reading, part: Part, event: AttentionRows) -> None:
        """Keep rows of the attention that reads; a long text's come in parts."""
        import numpy as np

        for layer, weights in zip(event.layers, event.weights):
            if reading.ids is not None and layer.split(".")[::2] == [part.side, part.what]:
                count = len(reading.ids)
                whole = reading.rows.setdefault(layer, np.zeros((len(weights), count, count), np.float16))
                _, height, width = weights.shape
                whole[:, event.start : event.start + height, :width] = weights[:, :, :count]

    def _on_model(self, _: ModelInfo | None) -> None:
        self._forget(second=False)
        if self.adapter:
            self._forget(second=True)

    def _on_adapters(self) -> None:
        """An adapter that is gone, or that the model cannot take, is not chosen any more."""
        if self.adapter and self.adapter not in [path for _, path, why in self._adapters.offers() if not why]:
            self.choose("")
        self.changed.emit()

    def _forget(self, second: bool) -> None:
        """This model is another one now, or goes through another adapter."""
        for run in self._readings[second].runs:
            run.cancel()
        self._readings[second] = Reading()
        self._names.forget(second)
        self.changed.emit()
