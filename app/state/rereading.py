"""Reading a stored answer's context again, or a text that was never answered, only to capture its attention.

The model's thread says what the prompt's ids are before it reads. If they do not lead to the positions that were
recorded, the answer is another model's, and it says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from PySide6.QtCore import QObject, Signal

from app.state.workspace import Workspace
from engine import (
    AdapterUse,
    Attend,
    AttentionRows,
    AttentionThumbnails,
    CaptureParams,
    Done,
    Event,
    Failed,
    ModelInfo,
    Progress,
    Prompt,
    Run,
    Started,
    TokenRecord,
)

FOREIGN = "This answer was written by another model, or its tokens were not recorded from the start."


class Rereading(QObject):
    """began: message, ids of the prompt, ids of the answer, ids of the source. captured: rows or thumbnails.

    changed: progress or error is new.
    """

    began = Signal(str, object, object, object)
    captured = Signal(object)
    changed = Signal()

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._run: Run | None = None
        self._message = ""
        self._records: tuple[TokenRecord, ...] = ()
        self._written: list[int] = []  # the answer's ids
        self.progress: Progress | None = None
        self.error = ""

    @property
    def running(self) -> bool:
        return self._run is not None

    def start(
        self,
        message: str,
        prompt: Prompt | None,
        records: Sequence[TokenRecord],
        capture: CaptureParams,
        second: bool,
        adapters: tuple[AdapterUse, ...] = (),
    ) -> None:
        """Read this message again: prompt is what `prompt_again` says. second: by the second model.

        Without records nothing was written: a text that an encoder reads.
        """
        if prompt is None:
            self.refuse(FOREIGN)
            return
        self.cancel()
        self.error = ""
        self._message, self._records = message, tuple(records)
        self._written = written(records)
        self._run = self._workspace.submit(Attend(prompt, capture, second, adapters), self._take)
        self.progress = Progress(self._run.id, "Reading again", 0, 0)
        self.changed.emit()

    def refuse(self, words: str) -> None:
        """It cannot be read; words say why."""
        self.cancel()
        self._end(words)

    def cancel(self) -> None:
        """Leave it; what was captured so far stays."""
        if self._run is not None:
            self._run.cancel()
            self._end("")

    def _take(self, event: Event) -> None:
        if self._run is None or event.run != self._run.id:
            return
        match event:
            case Started(prompt_ids=ids, source_ids=source):
                if self._records and self._records[0].position != len(ids):
                    self._run.cancel()
                    self._end(FOREIGN)
                else:
                    self.began.emit(self._message, ids, tuple(self._written), source)
            case Progress():
                self.progress = replace(event, phase="Reading again")
                self.changed.emit()
            case AttentionRows() | AttentionThumbnails():
                self.captured.emit(event)
            case Done():
                self._end("")
            case Failed(message=message, hint=hint):
                self._end(f"{message} {hint}".strip())

    def _end(self, error: str) -> None:
        self._run, self.progress, self.error = None, None, error
        self.changed.emit()


def written(records: Sequence[TokenRecord]) -> list[int]:
    """The ids of an answer; a position that comes again replaces what followed."""
    ids: list[int] = []
    for record in records:
        ids[record.position - records[0].position :] = [record.id]
    return ids


def prompt_again(
    info: ModelInfo | None, prompt: Prompt, known: tuple[int, ...] | None, records: Sequence[TokenRecord]
) -> Prompt | None:
    """What to read so that the last row is the one that wrote the last of these records; None if it is not to be had.

    known: the ids of the prompt, where they are known.
    """
    if info is not None and info.kind == "decoder":
        if not records or (known is not None and records[0].position != len(known)):
            return None
        if known is not None:
            prompt = Prompt(ids=known)
        elif prompt.text is not None:
            prompt = replace(prompt, text=prompt.text + prompt.answer_text)
    # The last token needs no row of its own: each was written by the row before it.
    return replace(prompt, answer_ids=tuple(written(records)[:-1]), answer_text="")
