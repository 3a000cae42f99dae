"""Reading a stored answer's context again, only to capture its attention.

Two steps on the model's thread: the prompt's ids, unless they are known, then an Attend over them and the answer's own.
If the ids do not lead to the positions that were recorded, the answer is another model's, and it says so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from PySide6.QtCore import QObject, Signal

from app.state.workspace import Workspace
from engine import (
    Attend,
    AttentionRows,
    AttentionThumbnails,
    CaptureParams,
    Command,
    Done,
    Event,
    Failed,
    Progress,
    Prompt,
    Rendered,
    RenderTemplate,
    Run,
    Tokenize,
    Tokenized,
    TokenRecord,
)

FOREIGN = "This answer was written by another model, or its tokens were not recorded from the start."


class Rereading(QObject):
    """began: message, ids of the prompt, ids of the answer. captured: rows or thumbnails.

    changed: progress or error is new.
    """

    began = Signal(str, object, object)
    captured = Signal(object)
    changed = Signal()

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._run: Run | None = None
        self._message = ""
        self._records: tuple[TokenRecord, ...] = ()
        self._capture = CaptureParams()
        self.progress: Progress | None = None
        self.error = ""

    @property
    def running(self) -> bool:
        return self._run is not None

    def start(
        self,
        message: str,
        prompt: Prompt,
        known: tuple[int, ...] | None,
        records: Sequence[TokenRecord],
        capture: CaptureParams,
    ) -> None:
        """Read the context of this message. known: the ids of its prompt, where they are known."""
        self.cancel()
        self.error = ""
        self._message, self._records, self._capture = message, tuple(records), capture
        if known is not None:
            self._attend(known)
        elif prompt.ids is not None:
            self._attend(prompt.ids)
        elif prompt.text is not None:
            self._submit(Tokenize(prompt.text + prompt.answer_text))
        else:
            self._submit(RenderTemplate(prompt.messages or ()))

    def cancel(self) -> None:
        """Leave it; what was captured so far stays."""
        if self._run is not None:
            self._run.cancel()
            self._end("")

    def _submit(self, command: Command) -> None:
        self._run = self._workspace.submit(command, self._take)
        self.progress = Progress(self._run.id, "Reading again", 0, 0)
        self.changed.emit()

    def _attend(self, prompt: tuple[int, ...]) -> None:
        if not self._records or self._records[0].position != len(prompt):
            self._end(FOREIGN)
            return
        ids: list[int] = []
        for record in self._records:
            ids[record.position - len(prompt) :] = [record.id]
        self.began.emit(self._message, prompt, tuple(ids))
        # The last token needs no row of its own: each was written by the row before it.
        self._submit(Attend(Prompt(ids=prompt, answer_ids=tuple(ids[:-1])), self._capture))

    def _take(self, event: Event) -> None:
        if self._run is None or event.run != self._run.id:
            return
        match event:
            case Tokenized(ids=ids) | Rendered(ids=ids):
                self._attend(ids)
            case Progress():
                self.progress = dataclasses.replace(event, phase="Reading again")
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
