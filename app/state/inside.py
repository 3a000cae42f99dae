"""What a model would say after each of its layers, and how it tells positions apart: asked for, kept, and its cost.

The lens reads the context of the token in focus again; what it found stays while the focus moves inside it. The maps
of positions need no text and stay until another model is loaded.
"""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from app.state.captures import Captures
from app.state.second import Second
from app.state.workspace import Workspace
from engine import (
    Done,
    Event,
    Failed,
    Lens,
    LensRows,
    ModelInfo,
    PositionMaps,
    Positions,
    Progress,
    Run,
)

MOST_ROWS, LEAST_ROWS = 48, 8  # positions that the layers are asked about
SPEED = 2e10  # multiplications a second, about, on two cores
HEADS = 2e10  # multiplications that asking the layers may take: about a second
NOT_KEPT = "This answer was written by another model, or its tokens were not recorded from the start."


class Inside(QObject):
    """lens_changed: rows, progress or error. maps_changed: maps or their error."""

    lens_changed = Signal()
    maps_changed = Signal()

    def __init__(self, workspace: Workspace, captures: Captures, second: Second) -> None:
        super().__init__()
        self._workspace = workspace
        self._captures = captures
        self._run: Run | None = None
        self._asking: Run | None = None
        self._message = ""
        self._reading = ""  # the message that is being read
        self._rows: LensRows | None = None
        self.progress: Progress | None = None
        self.error = ""
        self.maps: PositionMaps | None = None
        self.maps_error = ""
        workspace.model_changed.connect(self._on_model)
        second.changed.connect(self._forget_rows)

    # --- the lens -----------------------------------------------------------------------------------------------------

    @property
    def rows(self) -> LensRows | None:
        """What the layers say around the token in focus; None where they were not asked."""
        return self._rows if self.place >= 0 else None

    @property
    def place(self) -> int:
        """Which of the rows is in focus: the one that wrote the token, or of a text that is read, the token's own."""
        rows, focused = self._rows, self._captures.focused
        if rows is None or focused is None or focused[0] != self._message:
            return -1
        position, reads = self._position(), self._captures.record is None
        if reads and rows.ids != self._captures.source_ids:
            return -1
        for record in self._captures.records(self._message)[: focused[1] + 1]:
            if record.position < len(rows.ids) and rows.ids[record.position] != record.id:
                return -1  # written anew since
        return position - rows.first if rows.first <= position < len(rows.ids) else -1

    def cost(self) -> tuple[int, int, int, float]:
        """Tokens to be read again, layers, positions at which they are asked, and about how many seconds it takes."""
        info, end = self._captures.info, self._end()
        if info is None or end < 1:
            return 0, 0, 0, 0.0
        layers = info.layers + 1
        each = layers * info.vocabulary * info.width
        count = min(max(int(HEADS / each), LEAST_ROWS), MOST_ROWS, end)
        return end, layers, count, (info.parameters * end + each * count) / SPEED

    def look(self) -> None:
        """Read the context of the token in focus again, to ask the layers about it and those around it."""
        focused = self._captures.focused
        if focused is None or self._captures.live:
            return
        self.cancel()
        end, _, count, _ = self.cost()
        prompt = self._captures.prompt_again(focused[1] + self._after())
        if prompt is None or not count or self._captures.foreign:
            self.error = self._captures.foreign or NOT_KEPT
        else:
            self.error, self._reading = "", focused[0]
            first = max(0, min(end - count, self._position()))
            self._run = self._workspace.submit(Lens(prompt, first, 1, *self._captures.reader), self._take)
            self.progress = Progress(self._run.id, "Reading", 0, 0)
        self.lens_changed.emit()

    def cancel(self) -> None:
        """Leave it; what was found before stays."""
        if self._run is not None:
            self._run.cancel()
            self._finish("")

    def _position(self) -> int:
        """The row of the token in focus."""
        record = self._captures.record
        return record.position - 1 if record is not None else self._captures.source_row

    def _after(self) -> int:
        """How many tokens behind the one in focus are looked at too, so that the focus may move."""
        focused = self._captures.focused
        if focused is None or self._captures.record is None:
            return 0
        return min(MOST_ROWS // 4, len(self._captures.records(focused[0])) - 1 - focused[1])

    def _end(self) -> int:
        """How many tokens are read."""
        if self._captures.record is None:
            return len(self._captures.source_ids)
        return self._position() + 1 + self._after()

    def _take(self, event: Event) -> None:
        if self._run is None or event.run != self._run.id:
            return
        match event:
            case Progress():
                self.progress = event
                self.lens_changed.emit()
            case LensRows():
                self._rows, self._message = event, self._reading
            case Done():
                self._finish("")
            case Failed(message=message, hint=hint):
                self._finish(f"{message} {hint}".strip())

    def _finish(self, error: str) -> None:
        self._run, self.progress, self.error = None, None, error
        self.lens_changed.emit()

    # --- positions ----------------------------------------------------------------------------------------------------

    def ask_for_maps(self, length: int) -> None:
        """The maps of so many positions; 0 is the whole context."""
        if self._asking is not None:
            self._asking.cancel()
        if self._workspace.info is not None:
            self._asking = self._workspace.submit(Positions(length), self._take_maps)

    def _take_maps(self, event: Event) -> None:
        if self._asking is None or event.run != self._asking.id:
            return
        if isinstance(event, PositionMaps):
            self.maps, self.maps_error = event, ""
        elif isinstance(event, Failed):
            self.maps, self.maps_error = None, f"{event.message} {event.hint}".strip()
        if isinstance(event, Done | Failed):
            self._asking = None
            self.maps_changed.emit()

    def _on_model(self, info: ModelInfo | None) -> None:
        self._forget_rows()
        self.maps, self._asking, self.maps_error = None, None, ""
        self.maps_changed.emit()

    def _forget_rows(self, *_: object) -> None:
        self.cancel()
        self._rows, self.error = None, ""
        self.lens_changed.emit()
