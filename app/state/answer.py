"""One answer while it is written: its text grows here and reaches the store every second, with only the new records.

It belongs to a message, not to what is on the screen, so an answer goes on when another chat is shown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QObject, Signal

from app.state.storing import Storing
from app.state.workspace import Workspace
from engine import (
    Done,
    Drawing,
    Event,
    Failed,
    Generate,
    Generated,
    Progress,
    Run,
    Started,
    Stats,
    StoredMessage,
    TokenRecord,
    Tokens,
)

STATUS = {"eos": "done", "stop": "done", "done": "done", "length": "length", "cancelled": "stopped"}


def figures(event: Generated) -> dict[str, Any]:
    """Counts and times of an answer, as they are stored with it."""
    return {
        "prompt_tokens": len(event.prompt_ids),
        "tokens": len(event.ids),
        "prefill_seconds": round(event.prefill_seconds, 3),
        "decode_seconds": round(event.decode_seconds, 3),
        "tokens_per_second": round(event.tokens_per_second, 2),
    }


class Answer(QObject):
    """text_added: new text. progress: Progress while the prompt is read. ended: the Failed that ended it, or None."""

    text_added = Signal(str)
    progress = Signal(object)
    stats = Signal(object)
    ended = Signal(object)

    def __init__(
        self,
        workspace: Workspace,
        message: StoredMessage,
        command: Generate,
        unsaved: Sequence[TokenRecord] = (),
        drawings: Sequence[Drawing] = (),
    ) -> None:
        """unsaved: records of the message so far that the store has not got; drawings: what they were drawn with."""
        super().__init__()
        self._workspace = workspace
        self._before = message.text  # what a continued message already held
        self._texts = [message.text]
        self._message = dataclasses.replace(message, status="writing", settings=command.sampling.to_dict())
        self._storing = Storing(workspace, lambda: self.message, unsaved, drawings)
        self._storing.start()
        self.run: Run = workspace.submit(command, self._take)

    @property
    def message(self) -> StoredMessage:
        """The message as it stands now."""
        if len(self._texts) > 1:
            self._texts = ["".join(self._texts)]
            self._message = dataclasses.replace(self._message, text=self._texts[0])
        return self._message

    @property
    def messages(self) -> list[StoredMessage]:
        """All that it writes."""
        return [self.message]

    @property
    def storings(self) -> dict[str, Storing]:
        """By message, what brings it to the disk."""
        return {self._message.id: self._storing}

    @property
    def wrote(self) -> bool:
        """Whether anything was written in this run."""
        return self.message.text != self._before

    def _take(self, event: Event) -> None:
        match event:
            case Tokens(text=text, records=records):
                self._texts.append(text)
                self._storing.add(records)
                self.text_added.emit(text)
            case Stats():
                self.progress.emit(None)
                self.stats.emit(event)
            case Progress():
                self.progress.emit(event)
            case Started(seed=seed, drawing=drawing):
                if drawing is not None:
                    self._storing.add_drawing(drawing)
                info = self._workspace.info
                self._message = dataclasses.replace(
                    self.message,
                    settings={**self.message.settings, "seed": seed},
                    model=info.name if info else self._message.model,
                )
            case Generated():
                self._message = dataclasses.replace(self.message, stats={**self.message.stats, **figures(event)})
            case Done(reason=reason):
                self._end(STATUS.get(reason, "done"), None)
            case Failed():
                self._end("failed", event)

    def _end(self, status: str, failure: Failed | None) -> None:
        stats = dict(self.message.stats)
        if failure is not None:
            stats["error"] = failure.message
        self._message = dataclasses.replace(self.message, status=status, stats=stats)
        self._storing.end()
        self.ended.emit(failure)
