"""Several answers to one prompt, written one after the other, each a version of the turn with its score.

The first takes the place that was made for it, the others stand beside it. Each is shown and stored while it grows; one
that is cut short, by the person or by a failure, is kept with what it has. At the end the likeliest is the one to show.
"""

from __future__ import annotations

import dataclasses
import time
import uuid
from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal

from app.state.adapters import settings_of
from app.state.growing import STATUS, Growing, figures
from app.state.storing import Storing
from app.state.workspace import Workspace
from engine import (
    Answered,
    BestOf,
    DeleteMessages,
    Done,
    Event,
    Failed,
    Progress,
    Run,
    SamplingParams,
    Started,
    Stats,
    StoredMessage,
    Tokens,
)


def why_alike(sampling: SamplingParams) -> str:
    """Why these settings write the same answer every time, one sentence; "" where they do not."""
    if sampling.beams > 1:
        return "A beam search finds the same answer every time."
    if sampling.contrast > 0:
        return "A contrastive search writes the same answer every time."
    if sampling.temperature == 0 and sampling.dynamic_range == 0:
        return "At temperature 0 every answer would be the same."
    return ""


@dataclass(slots=True)
class Version:
    """One of the answers. score: the mean log-probability of its tokens so far. whole: it was not cut short."""

    growing: Growing
    score: float = 0.0
    tokens: int = 0
    whole: bool = False

    def add(self, event: Tokens) -> None:
        self.growing.add(event)
        total = self.score * self.tokens + sum(record.logprob for record in event.records)
        self.tokens += len(event.records)
        self.score = total / max(1, self.tokens)


class Several(QObject):
    """began: the message of another answer. text_added: id and new text. changed: the message of one with new figures.

    progress: Progress in words. ended: the Failed that ended it, or None.
    """

    began = Signal(object)
    text_added = Signal(str, str)
    changed = Signal(object)
    progress = Signal(object)
    stats = Signal(object)
    ended = Signal(object)

    def __init__(self, workspace: Workspace, message: StoredMessage, command: BestOf) -> None:
        """message: the place of the first answer."""
        super().__init__()
        self._workspace = workspace
        self._command = command
        self._place = message
        self._number = 1  # of the answer under way
        self._over = False
        self.latest = message.id
        """The id of the answer under way, or of the last that was."""
        self.dropped = ""
        """The id of one that was cut short before its first word, and is no answer."""
        self._versions = [Version(Growing(workspace, message, settings_of(command)))]
        self.run: Run = workspace.submit(command, self._take)

    @property
    def message(self) -> StoredMessage:
        """The answer under way; once all have ended, the likeliest."""
        shown = self._ranked[0] if self._over else self._versions[-1]
        return shown.growing.message

    @property
    def messages(self) -> list[StoredMessage]:
        """All that it has written, or the place that waits for it."""
        return [version.growing.message for version in self._versions]

    @property
    def storings(self) -> dict[str, Storing]:
        """By message, what brings it to the disk."""
        return {version.growing.id: version.growing.storing for version in self._versions}

    @property
    def wrote(self) -> bool:
        return any(version.whole or version.growing.wrote for version in self._versions)

    @property
    def _ranked(self) -> list[Version]:
        """The likeliest first; one that says nothing, or was cut short, comes after all others."""
        return sorted(self._versions, key=lambda one: (one.whole, one.growing.wrote, one.score), reverse=True)

    def _take(self, event: Event) -> None:
        version = self._versions[-1]
        match event:
            case Progress(phase="Writing answers", done=done):
                self._number = done + 1
                self._tell("")
            case Progress():
                self.progress.emit(event)
            case Started():
                self._begin(event)
            case Tokens(text=text):
                version.add(event)
                self.text_added.emit(version.growing.id, text)
            case Stats(new_tokens=count):
                if version.growing.open and version.tokens:
                    version.growing.note(score=round(version.score, 6))
                    self.changed.emit(version.growing.message)
                self._tell(f", {count:,} tokens" if count > 1 else "")
                self.stats.emit(event)
            case Answered():
                self._finish(event)
            case Done(reason=reason):
                self._end(STATUS.get(reason, "done"), None)
            case Failed():
                self._end("failed", event)

    def _tell(self, words: str) -> None:
        phase = f"Answer {self._number} of {self._command.count}{words}"
        self.progress.emit(Progress(self.run.id, phase, 0, 0))

    def _begin(self, event: Started) -> None:
        if not self._versions[-1].growing.open:
            message = dataclasses.replace(self._place, id=uuid.uuid4().hex, created=time.time())
            self._versions.append(Version(Growing(self._workspace, message, settings_of(self._command))))
            self.latest = message.id
            self.began.emit(self.message)
        self._versions[-1].growing.begin(event)

    def _finish(self, event: Answered) -> None:
        version = self._versions[-1]
        version.whole, version.score = event.generated.finish != "cancelled", event.mean_logprob
        version.growing.note(**figures(event.generated), score=round(version.score, 6))
        version.growing.close(STATUS.get(event.generated.finish, "done"))
        version.growing.storing.rest()
        self.changed.emit(version.growing.message)

    def _end(self, status: str, failure: Failed | None) -> None:
        """Say of each whole answer which it is of how many, so that it can be said tomorrow too."""
        last = self._versions[-1]
        if last.growing.open:
            if failure is not None:
                last.growing.note(error=failure.message)
            last.growing.close(status)
        if len(self._versions) > 1 and not (last.whole or last.growing.wrote):
            self._versions.remove(last)
            last.growing.storing.leave()
            self.dropped = last.growing.id
            self._workspace.submit(DeleteMessages((self.dropped,)))
        self._over = True
        whole = [version for version in self._ranked if version.whole]
        for rank, version in enumerate(whole if len(whole) > 1 else (), start=1):
            version.growing.note(rank=rank, ranked=len(whole))
        for version in self._versions:
            version.growing.storing.end()
        self.ended.emit(failure)
