"""What was captured of the answers: the attention of the context in focus, on top of their token records.

The panes and the transcript's token view meet here and nowhere else. Attention belongs to one context at a time; an
answer whose context begins alike sees the rows that both share, any other is told that nothing was captured. Of several
answers being written only the one that is looked at captures any. What an answer looked at is read again by the model
that wrote it, the loaded one or the second, or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from PySide6.QtCore import Signal

from app.state.attention import BUDGET, PARTS, AttentionStore, Part, Weights, shared
from app.state.names import Names, Vocabulary
from app.state.recorded import Recorded
from app.state.rereading import Rereading, prompt_again
from app.state.rollout import Rollout
from app.state.second import Second
from app.state.workspace import Workspace
from engine import (
    AdapterUse,
    AttentionRows,
    AttentionThumbnails,
    CaptureParams,
    Done,
    Event,
    Failed,
    ModelInfo,
    Prompt,
    Retune,
    Started,
    TokenRecord,
    Tokens,
)

ALL_LAYERS = 64 * 2**20
"""Bytes that the rows of every layer may take for a full context; beyond it only the layer on screen is captured."""

UNSEEN = CaptureParams(candidates=256)
"""Of an answer that is not looked at. So many candidates that what other settings would have drawn can be told."""


class Reader(NamedTuple):
    """Who reads: the loaded model or the second, through these adapters."""

    second: bool = False
    adapters: tuple[AdapterUse, ...] = ()


class Captures(Recorded):
    """attention_changed: rows, thumbnails or pieces are new."""

    attention_changed = Signal()

    def __init__(self, workspace: Workspace, second: Second) -> None:
        super().__init__(workspace)
        self._second = second
        self._writers: dict[str, tuple[str, Reader]] = {}  # the name of a message's model, and what it went through
        self._prompts: dict[str, tuple[int, ...]] = {}  # ids of the prompt that led to a message
        self._sources: dict[str, tuple[int, ...]] = {}  # ids that an encoder read for it
        self._readers: dict[str, Reader] = {}  # who read these ids
        self._joined: tuple[object, list[int]] = (None, [])  # what _ids() found last, and for what
        self._visible: set[str] = set()
        self._layer = 0
        self._store = AttentionStore()
        self._stored = Reader()  # whose rows those in the store are
        self._told: dict[int, CaptureParams] = {}  # what each run that writes was told to capture
        self._rollout = Rollout(self._store)
        self._thumbnails: dict[str, AttentionThumbnails] = {}  # by the name of their first layer
        self._names = Names(workspace)
        self._names.changed.connect(self.attention_changed)
        self.source_row = 0
        """The token of the source in focus."""
        self.rereading = Rereading(workspace)
        self.rereading.began.connect(self._on_context)
        self.rereading.captured.connect(self._take_attention)
        workspace.event.connect(self._take)
        workspace.model_changed.connect(lambda _: self._forget(second=False))
        second.changed.connect(lambda _: self._forget(second=True))

    # --- the context in focus ---------------------------------------------------------------------------------------

    def set_context(
        self,
        message: str,
        prompt: Prompt,
        model: str = "",
        second: bool = False,
        adapters: tuple[AdapterUse, ...] = (),
    ) -> None:
        """What the model read before this message: from it the attention of a stored answer is captured again.

        model: its name, "" for the one that is loaded. second: it was the second one, or it may be either. adapters:
        those that it was written through.
        """
        loaded = self._workspace.info.name if self._workspace.info is not None else ""
        self._writers[message] = (model or loaded, Reader(second, adapters))
        if self._contexts.get(message) != prompt:
            super().set_context(message, prompt)
            self._prompts.pop(message, None)
            self._sources.pop(message, None)

    def begin(self, message: str, run: int, watched: bool = True) -> None:
        """This run writes this message from now on, told to capture what `capture_params` says, or UNSEEN.

        watched: it is the one that is looked at. A run that writes a message after another begins as it was told first.
        """
        self.rereading.cancel()
        if self._told.pop(run, None) is None:
            self._told[run] = self.capture_params(bool(self.wrote(message))) if watched else UNSEEN
        super().begin(message, run, watched)
        self._retune()

    def watch(self, key: str, prompt: Prompt, row: int = 0, adapters: tuple[AdapterUse, ...] = ()) -> None:
        """Look at a text that an encoder reads; nothing is written, so its focus is a row of the source."""
        self.set_context(key, prompt, adapters=adapters)
        if prompt.ids is not None:
            self._sources[key], self._readers[key] = prompt.ids, self._writers[key][1]
        self.show((key,))
        self.focused, self.source_row = (key, 0), row
        self.focus_changed.emit(key, 0)

    def focus_source(self, row: int) -> None:
        """Look from one token of the source."""
        if 0 <= row < len(self.source_ids) and row != self.source_row:
            self.source_row = row
            self.attention_changed.emit()

    def wrote(self, message: str) -> bool | None:
        """Which model wrote this message, or is to: False the loaded one, True the second; None if neither is it."""
        name, (second, _) = self._writers.get(message, ("", Reader()))
        models = ((False, self._workspace.info), (True, self._second.info))
        fitting = [slot for slot, info in models if info is not None and name in (info.name, "")]
        return second if second in fitting else fitting[0] if fitting else None

    @property
    def second(self) -> bool:
        """Whether the second model wrote the token in focus."""
        return self.focused is not None and bool(self.wrote(self.focused[0]))

    @property
    def reader(self) -> Reader:
        """Who reads the token in focus again: the model that wrote it, and the adapters that it went through."""
        return self._reader(self.focused[0]) if self.focused is not None else Reader()

    def _reader(self, message: str) -> Reader:
        _, writer = self._writers.get(message, ("", Reader()))
        return writer._replace(second=bool(self.wrote(message)))

    @property
    def info(self) -> ModelInfo | None:
        """The model that wrote the token in focus; the loaded one where that is not at hand."""
        return self._second.info if self.second else self._workspace.info

    @property
    def foreign(self) -> str:
        """Why what is in focus cannot be read again, in a sentence: its model is not at hand. "" if it is."""
        if self.focused is None or self.wrote(self.focused[0]) is not None:
            return ""
        name, _ = self._writers.get(self.focused[0], ("", Reader()))
        return f"This answer was written by {name}: load it, as the model or as the second one, to read it again."

    # --- what is asked of the engine --------------------------------------------------------------------------------

    def set_visible(self, pane: str, visible: bool) -> None:
        """A pane came into sight or left it; what nobody sees is not captured."""
        (self._visible.add if visible else self._visible.discard)(pane)
        self._retune()

    def set_layer(self, layer: int) -> None:
        """The layer whose head is on screen."""
        if layer != self._layer:
            self._layer = layer
            self._retune()

    def capture_params(self, second: bool = False) -> CaptureParams:
        """What an answer of the loaded model, or of the second, must capture for the panes in sight."""
        info = self._second.info if second else self._workspace.info
        if "attention" not in self._visible or info is None:
            return UNSEEN
        heads = sum(layers * count for layers, count in (_shape(info, part) for part in PARTS[info.kind]))
        affordable = heads * info.context**2 <= ALL_LAYERS
        return UNSEEN.replace(
            attention="all" if affordable else "layer",
            layer=min(self._layer, max(info.layers, info.encoder_layers) - 1),
            thumbnails=48 if heads <= 64 else 32 if heads <= 400 else 16,
        )

    def _retune(self) -> None:
        """Have the answer that is looked at capture what the panes in sight show, and no other anything."""
        for run, message in self._live.items():
            wanted = self.capture_params(bool(self.wrote(message))) if run == self._watched else UNSEEN
            if self._told.get(run) != wanted:
                self._told[run] = wanted
                self._workspace.submit(Retune(run, capture=wanted))

    def _watch(self, run: int) -> None:
        super()._watch(run)
        self._retune()
        message = self._live.get(run, "")
        if message in self._prompts:
            self._hold(message)

    # --- attention --------------------------------------------------------------------------------------------------

    @property
    def parts(self) -> tuple[Part, ...]:
        """The kinds of attention that the model has."""
        return PARTS[self.info.kind] if self.info is not None else ()

    def shape(self, part: Part) -> tuple[int, int]:
        """Layers and heads of this part."""
        return (0, 0) if self.info is None else _shape(self.info, part)

    def row_of(self, part: Part) -> int:
        """The row in focus: of what is written, the one that wrote the token in focus; -1 for none."""
        if part.looks == "source":
            return self.source_row if self.source_row < len(self.source_ids) else -1
        return self.record.position - 1 if self.record is not None else -1

    def row(self, part: Part, layer: int, head: int, position: int) -> Weights | None:
        """Where the token at this position of the context in focus looked, or None: float32, as wide as it could see.

        That is position + 1 where the part is causal, else all of the source.
        """
        if position >= self._known(part):
            return None
        return self._store.row(part.name(layer), head, position, self._columns(part))

    def map(self, part: Part, layer: int, head: int) -> tuple[Weights, int]:
        """The rows captured of the context in focus, float32 [rows, S] with NaN where not, and the first's position."""
        return self._store.map(part.name(layer), head, self._known(part), self._columns(part))

    def rollout(self, part: Part, position: int) -> Weights | None:
        """How much of each token is in that one's state behind all layers; None where that is not, or not yet, known.

        Cross attention alone has none.
        """
        if part.looks != part.seen or position >= self._known(part):
            return None
        layers = [part.name(layer) for layer in range(self.shape(part)[0])]
        return self._rollout.row(layers, position, self._columns(part))

    def rollable(self, part: Part) -> bool:
        """Whether all that a rollout needs can be kept."""
        layers, position = self.shape(part)[0], self.row_of(part)
        count = len(self.source_ids) if part.looks == "source" else position + 1
        return self.capture_params(self.second).attention == "all" and self._rollout.fits(layers, count)

    @property
    def rolling(self) -> bool:
        """Whether the rollout asked for last is still being worked on."""
        return self._rollout.pending

    def thumbnails(self, part: Part) -> AttentionThumbnails | None:
        """The small maps of all heads, if they are of the context in focus."""
        ids = self._ids() if part.looks == "target" else self.source_ids
        whole = bool(ids) and self._known(part) >= len(ids) - (part.looks == "target")
        return self._thumbnails.get(part.name(0)) if whole else None

    def tokens(self, side: str = "target") -> list[str]:
        """The pieces of the context in focus, or of its source; those not known yet show as their id until they are."""
        return self.names(self._ids() if side == "target" else self.source_ids, side)

    def names(self, ids: Sequence[int], side: str = "target") -> list[str]:
        """The pieces of any ids of the model; those not known yet show as their id until they are."""
        if ids and self.focused is not None:  # else the records may be another model's, to which they say other things
            self._names.learn(Vocabulary(self.second), self.records(self.focused[0]))
        return self._names.of(Vocabulary(self.second, side == "source"), ids)

    @property
    def source_ids(self) -> tuple[int, ...]:
        """What an encoder read for the context in focus; () if not known, or there is none."""
        return self._sources.get(self.focused[0], ()) if self.focused is not None else ()

    @property
    def beyond(self) -> bool:
        """Whether the row in focus lies further back than the rows that one reading of all could keep."""
        record = self.record
        if record is None or self.focused is None:
            return False
        last, capture = self.records(self.focused[0])[-1].position, self.capture_params(self.second)
        shapes = [self.shape(part) for part in self.parts]
        heads = sum(a * b for a, b in shapes) if capture.attention == "all" else max(b for _, b in shapes)
        return last - record.position >= max(1, BUDGET // 2 // (2 * heads * last))  # a pass may take half of it

    def reread(self) -> None:
        """Read the context in focus again for its attention: up to the end of the message, or where that is too much,
        up to the token in focus, whose rows are then the latest.
        """
        if self.focused is None or self._live or self.focused[0] not in self._contexts:
            return
        message = self.focused[0]
        slot, prompt, records = self.wrote(message), self._contexts[message], self.records(message)
        if slot is None:
            self.rereading.refuse(self.foreign)
            return
        if self.beyond:
            records = records[: self.focused[1] + 1]
        again = prompt_again(self.info, prompt, self._prompts.get(message), records)
        self.rereading.start(message, again, records, self.capture_params(slot), *self.reader)

    def prompt_again(self, end: int) -> Prompt | None:
        """What to read so that the last row is the one that wrote token `end` of the message in focus, or None.

        Of a text that an encoder reads it is all of it.
        """
        if self.focused is None or self.focused[0] not in self._contexts:
            return None
        message = self.focused[0]
        records = self.records(message)[: end + 1]
        return prompt_again(self.info, self._contexts[message], self._prompts.get(message), records)

    def _ids(self) -> list[int]:
        """The ids of the context in focus: the prompt, and the answer up to its newest token; [] if not known."""
        if self.focused is None or self.focused[0] not in self._prompts:
            return []
        message = self.focused[0]
        prompt, records = self._prompts[message], self.records(message)
        state = (message, prompt, len(records), records[-1] if records else None)
        if self._joined[0] != state:
            ids = list(prompt)
            put_ids(ids, records)
            self._joined = (state, ids)
        return self._joined[1]

    def _known(self, part: Part) -> int:
        """How many positions of those that look have the same past as the rows kept."""
        source = self.source_ids
        if source != self._store.source or self.reader != self._stored:
            return 0
        return shared(self._store.ids, self._ids()) if part.looks == "target" else len(source)

    def _columns(self, part: Part) -> int | None:
        return None if part.causal else len(self.source_ids)

    # --- events -----------------------------------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        message = self._live.get(event.run)
        if message is None:
            return
        match event:
            case Started(prompt_ids=ids, source_ids=source, drawing=drawing):
                if drawing is not None:
                    self._drawings.setdefault(message, []).append(drawing)
                self._note(message, ids, source)
                if event.run == self._watched:
                    self._hold(message, self._contexts.get(message, Prompt()).answer_ids)
            case Tokens(records=records):
                if event.run == self._watched:
                    put_ids(self._store.ids, records)
                self._add(message, records)
            case AttentionRows() | AttentionThumbnails():
                if event.run == self._watched:
                    self._take_attention(event)
            case Done() | Failed():
                del self._live[event.run]
                self._told.pop(event.run, None)
                self.attention_changed.emit()
                self.settled.emit(message)

    def _take_attention(self, event: Event) -> None:
        if isinstance(event, AttentionRows):
            self._store.add(event.start, event.layers, event.weights)
        elif isinstance(event, AttentionThumbnails):
            self._thumbnails[event.layers[0]] = event
        self.attention_changed.emit()

    def _on_context(
        self, message: str, prompt: tuple[int, ...], answer: tuple[int, ...], source: tuple[int, ...]
    ) -> None:
        """A message is read again."""
        self._note(message, prompt, source)
        self._hold(message, answer)

    def _note(self, message: str, prompt: tuple[int, ...], source: tuple[int, ...]) -> None:
        self._prompts[message], self._sources[message] = prompt, source
        self._readers[message] = self._reader(message)

    def _hold(self, message: str, answer: Sequence[int] | None = None) -> None:
        """What is captured from here on belongs to this message. answer: its ids so far, else those recorded."""
        ids = [*self._prompts[message], *(answer or ())]
        if answer is None:
            put_ids(ids, self.records(message))
        reader = self._readers[message]
        if reader != self._stored:  # to another model, or through other adapters, the same ids say something else
            self._store.clear()
            self._stored = reader
        self._store.restart(ids, self._sources[message])
        self._thumbnails.clear()
        self.attention_changed.emit()

    def _forget(self, second: bool) -> None:
        """The loaded model, or the second, is another one now."""
        self.rereading.cancel()
        for message in [message for message, reader in self._readers.items() if reader.second == second]:
            for known in (self._prompts, self._sources, self._readers):
                known.pop(message, None)
        self._names.forget(second)
        if self._stored.second == second:
            self._store.clear()
            self._thumbnails.clear()
        self.attention_changed.emit()


def _shape(info: ModelInfo, part: Part) -> tuple[int, int]:
    return (info.encoder_layers, info.encoder_heads) if part.side == "encoder" else (info.layers, info.heads)


def put_ids(ids: list[int], records: Sequence[TokenRecord]) -> None:
    """Put the records' ids at their positions; one that comes again replaces what followed."""
    for record in records:
        if record.position <= len(ids):
            ids[record.position :] = [record.id]
