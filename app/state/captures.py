"""What was captured of the answers: their token records, the attention of the context, and the token in focus.

The panes and the transcript's token view meet here and nowhere else. Attention belongs to one context at a time; an
answer whose context begins alike sees the rows that both share, any other is told that nothing was captured.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import QObject, Signal

from app.state.attention import BUDGET, PARTS, AttentionStore, Part, Weights, shared
from app.state.rereading import Rereading, prompt_again
from app.state.rollout import Rollout
from app.state.workspace import Workspace
from engine import (
    AttentionRows,
    AttentionThumbnails,
    CaptureParams,
    Done,
    Drawing,
    Event,
    Failed,
    ModelInfo,
    NamePieces,
    OpenRecords,
    Prompt,
    Records,
    Retune,
    Started,
    Tokenized,
    TokenRecord,
    Tokens,
)

ALL_LAYERS = 64 * 2**20
"""Bytes that the rows of every layer may take for a full context; beyond it only the layer on screen is captured."""

CANDIDATES = 256
"""Recorded for each token: so many that what other settings would have drawn can be told from them."""

KEPT_RECORDS = 8000  # tokens whose records stay in memory (6 KB each); others are read from the store again


class Captures(QObject):
    """records_changed: message and the first new index. focus_changed: message and index of the token in focus.

    settled: message whose records are whole, for now. follow_changed: whether the focus follows the newest token.
    attention_changed: rows, thumbnails or pieces are new.
    """

    records_changed = Signal(str, int)
    settled = Signal(str)
    focus_changed = Signal(str, int)
    follow_changed = Signal(bool)
    attention_changed = Signal()

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._records: dict[str, list[TokenRecord]] = {}
        self._drawings: dict[str, list[Drawing]] = {}
        self._contexts: dict[str, Prompt] = {}
        self._prompts: dict[str, tuple[int, ...]] = {}  # ids of the prompt that led to a message
        self._sources: dict[str, tuple[int, ...]] = {}  # ids that an encoder read for it
        self._shown: frozenset[str] | None = None
        self._joined: tuple[object, list[int]] = (None, [])  # what _ids() found last, and for what
        self._opening: set[str] = set()
        self._live: dict[int, str] = {}  # run -> the message it writes
        self._latest = 0  # the run started last: its attention is the one kept
        self._visible: set[str] = set()
        self._layer = 0
        self._wish = True
        self._store = AttentionStore()
        self._rollout = Rollout(self._store)
        self._thumbnails: dict[str, AttentionThumbnails] = {}  # by the name of their first layer
        self._pieces: dict[tuple[str, int], str] = {}  # by side: a source may have another vocabulary than its target
        self._asked: set[tuple[str, int]] = set()  # those that were asked for
        self.following = True
        self.focused: tuple[str, int] | None = None
        self.source_row = 0
        """The token of the source in focus."""
        self.rereading = Rereading(workspace)
        self.rereading.began.connect(self._on_context)
        self.rereading.captured.connect(self._take_attention)
        workspace.event.connect(self._take)
        workspace.model_changed.connect(self._on_model)

    # --- records ----------------------------------------------------------------------------------------------------

    def records(self, message: str) -> list[TokenRecord]:
        """The records of a message as far as they are here; want() brings those of a stored one."""
        return self._records.get(message, [])

    def drawings(self, message: str) -> list[Drawing]:
        """What the runs that wrote this message drew with, in their order."""
        return self._drawings.get(message, [])

    def drawing(self, message: str, position: int) -> Drawing | None:
        """What the token at this position was drawn with."""
        return next((d for d in reversed(self.drawings(message)) if len(d.ids) <= position), None)

    def writing(self, message: str) -> bool:
        """Whether this message is being written."""
        return message in self._live.values()

    def adopt(self, message: str, records: Sequence[TokenRecord], drawings: Sequence[Drawing]) -> None:
        """Records of a message that came another way: those that a branch begins with, or all of a whole answer's."""
        self._records[message], self._drawings[message] = list(records), list(drawings)
        self.records_changed.emit(message, 0)
        if self.following:
            self._focus_newest(message)
        self._forget_old()

    def want(self, message: str) -> None:
        """Read a stored message's records, unless they are here."""
        if message not in self._opening and not self._records.get(message):
            self._open(message)

    def begin(self, message: str, run: int) -> None:
        """This run writes this message from now on."""
        self._live[run] = message
        self._latest = run
        self.rereading.cancel()
        prompt = self._contexts.get(message, Prompt())
        if (prompt.answer_ids or prompt.answer_text) and not self._records.get(message):
            self._open(message)
        self._records[message] = self._records.pop(message, [])
        self._set_following(self._wish)
        self._forget_old()

    def set_context(self, message: str, prompt: Prompt) -> None:
        """What the model read before this message: from it the attention of a stored answer is captured again."""
        if self._contexts.get(message) != prompt:
            self._contexts[message] = prompt
            self._prompts.pop(message, None)
            self._sources.pop(message, None)

    def watch(self, key: str, prompt: Prompt, row: int = 0) -> None:
        """Look at a text that an encoder reads; nothing is written, so its focus is a row of the source."""
        self.set_context(key, prompt)
        if prompt.ids is not None:
            self._sources[key] = prompt.ids
        self.show((key,))
        self.focused, self.source_row = (key, 0), row
        self.focus_changed.emit(key, 0)

    def _open(self, message: str) -> None:
        self._opening.add(message)
        self._workspace.submit(OpenRecords(message), lambda event: self._on_stored(message, event))

    def _on_stored(self, message: str, event: Event) -> None:
        if isinstance(event, Records):
            records = list(event.records)
            put_records(records, self.records(message))
            self._records[message] = records
            begun = [d for d in self.drawings(message) if d not in event.drawings]
            self._drawings[message] = [*event.drawings, *begun]
            self.records_changed.emit(message, 0)
            if not self.writing(message):
                self.settled.emit(message)
            if self.following and not self._live:
                self._focus_newest(message)
            self._forget_old()
        elif isinstance(event, Done | Failed):
            self._opening.discard(message)

    def _add(self, message: str, records: Sequence[TokenRecord]) -> None:
        first = put_records(self._records.setdefault(message, []), records)
        self.records_changed.emit(message, first)
        if self.following:
            self._focus_newest(message)

    def _forget_old(self) -> None:
        pinned = {*self._live.values(), self.focused[0] if self.focused else ""}
        kept = sum(map(len, self._records.values()))
        for message in [m for m in self._records if m not in pinned]:
            if kept <= KEPT_RECORDS:
                return
            kept -= len(self._records.pop(message))
            self._drawings.pop(message, None)

    # --- focus ------------------------------------------------------------------------------------------------------

    @property
    def record(self) -> TokenRecord | None:
        """The token in focus."""
        if self.focused is None:
            return None
        records = self.records(self.focused[0])
        return records[self.focused[1]] if self.focused[1] < len(records) else None

    @property
    def live(self) -> bool:
        """Whether an answer is being written."""
        return bool(self._live)

    def focus(self, message: str, index: int) -> None:
        """Look at one token; the focus stops following."""
        if 0 <= index < len(self.records(message)):
            self._set_following(False)
            self._focus(message, index)

    def focus_source(self, row: int) -> None:
        """Look from one token of the source."""
        if 0 <= row < len(self.source_ids) and row != self.source_row:
            self.source_row = row
            self.attention_changed.emit()

    def step(self, by: int) -> None:
        """Look at the token before or after."""
        if self.focused is not None:
            last = len(self.records(self.focused[0])) - 1
            self.focus(self.focused[0], min(max(self.focused[1] + by, 0), last))

    def follow(self, on: bool = True) -> None:
        """Let the focus follow the newest token, now and in the answers to come, or leave it where it is."""
        self._wish = on
        self._set_following(on)
        if on:
            self._focus_newest(self._live.get(self._latest) or (self.focused[0] if self.focused else ""))

    @property
    def wish(self) -> bool:
        """Whether the answers to come are followed; to look at one token does not change it."""
        return self._wish

    def show(self, messages: Sequence[str]) -> None:
        """These messages are on the screen, in this order; a focus elsewhere moves here, or to nothing."""
        self._shown = frozenset(messages)
        if self.focused is not None and self.focused[0] not in self._shown:
            self.focused = None
            for message in messages:
                self._focus_newest(message)
            if self.focused is None:
                self.focus_changed.emit("", -1)

    def _focus_newest(self, message: str) -> None:
        if self.records(message) and (self._shown is None or message in self._shown):
            self._focus(message, len(self.records(message)) - 1)

    def _focus(self, message: str, index: int) -> None:
        if self.focused != (message, index):
            self.focused = (message, index)
            self.focus_changed.emit(message, index)

    def _set_following(self, on: bool) -> None:
        if self.following != on:
            self.following = on
            self.follow_changed.emit(on)

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

    def capture_params(self) -> CaptureParams:
        """What an answer must capture for the panes in sight."""
        info = self._workspace.info
        if "attention" not in self._visible or info is None:
            return CaptureParams(candidates=CANDIDATES)
        heads = sum(layers * count for layers, count in map(self.shape, self.parts))
        affordable = heads * info.context**2 <= ALL_LAYERS
        return CaptureParams(
            candidates=CANDIDATES,
            attention="all" if affordable else "layer",
            layer=min(self._layer, max(info.layers, info.encoder_layers) - 1),
            thumbnails=48 if heads <= 64 else 32 if heads <= 400 else 16,
        )

    def _retune(self) -> None:
        if self._latest in self._live:
            self._workspace.submit(Retune(self._latest, capture=self.capture_params()))

    # --- attention --------------------------------------------------------------------------------------------------

    @property
    def parts(self) -> tuple[Part, ...]:
        """The kinds of attention that the loaded model has."""
        return PARTS[self._workspace.info.kind] if self._workspace.info is not None else ()

    def shape(self, part: Part) -> tuple[int, int]:
        """Layers and heads of this part."""
        info = self._workspace.info
        if info is None:
            return 0, 0
        return (info.encoder_layers, info.encoder_heads) if part.side == "encoder" else (info.layers, info.heads)

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
        return self.capture_params().attention == "all" and self._rollout.fits(layers, count)

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
        """The pieces of any ids of the loaded model; those not known yet show as their id until they are."""
        if ids:  # else the records may be another model's, to which the same ids say something else
            self._ask_for_pieces(side, ids)
        return [self._pieces.get((side, i), f"<id {i}>") for i in ids]

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
        last, capture = self.records(self.focused[0])[-1].position, self.capture_params()
        shapes = [self.shape(part) for part in self.parts]
        heads = sum(a * b for a, b in shapes) if capture.attention == "all" else max(b for _, b in shapes)
        return last - record.position >= max(1, BUDGET // 2 // (2 * heads * last))  # a pass may take half of it

    def reread(self) -> None:
        """Read the context in focus again for its attention: up to the end of the message, or where that is too much,
        up to the token in focus, whose rows are then the latest.
        """
        if self.focused is not None:
            message = self.focused[0]
            prompt = self._contexts.get(message)
            if prompt is not None and not self._live:
                known = self._prompts.get(message)
                records = self.records(message)
                if self.beyond:
                    records = records[: self.focused[1] + 1]
                self.rereading.start(message, prompt, known, records, self.capture_params())

    def prompt_again(self, end: int) -> Prompt | None:
        """What to read so that the last row is the one that wrote token `end` of the message in focus, or None.

        Of a text that an encoder reads it is all of it.
        """
        if self.focused is None or self.focused[0] not in self._contexts:
            return None
        message = self.focused[0]
        records = self.records(message)[: end + 1]
        return prompt_again(self._workspace.info, self._contexts[message], self._prompts.get(message), records)

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
        if source != self._store.source:
            return 0
        return shared(self._store.ids, self._ids()) if part.looks == "target" else len(source)

    def _columns(self, part: Part) -> int | None:
        return None if part.causal else len(self.source_ids)

    def _ask_for_pieces(self, side: str, ids: Sequence[int]) -> None:
        for record in self.records(self.focused[0]) if self.focused else ():
            if ("target", record.id) not in self._pieces:
                piece = record.pieces[record.chosen] if record.chosen >= 0 else record.text
                self._pieces["target", record.id] = piece
        unknown = {(side, i) for i in ids if (side, i) not in self._pieces} - self._asked
        if unknown:
            self._asked |= unknown
            asked = NamePieces(tuple(sorted(i for _, i in unknown)), source=side == "source")
            self._workspace.submit(asked, partial(self._on_pieces, side))

    def _on_pieces(self, side: str, event: Event) -> None:
        if isinstance(event, Tokenized):
            self._pieces.update(((side, i), piece) for i, piece in zip(event.ids, event.pieces))
            self.attention_changed.emit()

    # --- events -----------------------------------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        message = self._live.get(event.run)
        if message is None:
            return
        match event:
            case Started(prompt_ids=ids, source_ids=source, drawing=drawing):
                if drawing is not None:
                    self._drawings.setdefault(message, []).append(drawing)
                self._on_context(message, ids, self._contexts.get(message, Prompt()).answer_ids, source)
            case Tokens(records=records):
                if event.run == self._latest:
                    put_ids(self._store.ids, records)
                self._add(message, records)
            case AttentionRows() | AttentionThumbnails():
                if event.run == self._latest:
                    self._take_attention(event)
            case Done() | Failed():
                del self._live[event.run]
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
        """What is captured from here on belongs to this context."""
        self._prompts[message], self._sources[message] = prompt, source
        self._store.restart((*prompt, *answer), source)
        self._thumbnails.clear()
        self.attention_changed.emit()

    def _on_model(self, info: ModelInfo | None) -> None:
        self.rereading.cancel()
        self._prompts.clear()
        self._sources.clear()
        self._pieces.clear()
        self._asked.clear()
        self._store.clear()
        self._thumbnails.clear()
        self.attention_changed.emit()


def put_records(known: list[TokenRecord], records: Sequence[TokenRecord]) -> int:
    """Add records to those known and return the first new index.

    A position that comes again replaces what stood there and after it: to continue an answer takes its end mark back.
    """
    while records and known and known[-1].position >= records[0].position:
        known.pop()
    first = len(known)
    known.extend(records)
    return first


def put_ids(ids: list[int], records: Sequence[TokenRecord]) -> None:
    """Put the records' ids at their positions; one that comes again replaces what followed."""
    for record in records:
        if record.position <= len(ids):
            ids[record.position :] = [record.id]
