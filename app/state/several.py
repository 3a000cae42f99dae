"""Several answers to one prompt, written one after the other, each a version of the turn with its score.

The first takes the place that was made for it, the others stand beside it. What is finished is stored at once, and all
of it is kept when the person stops the rest; the likeliest is the one to show.
"""

from __future__ import annotations

import dataclasses
import time
import uuid
from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal

from app.state.answer import STATUS, figures
from app.state.storing import Storing
from app.state.workspace import Workspace
from engine import (
    Answered,
    BestOf,
    Done,
    Drawing,
    Event,
    Failed,
    Progress,
    Run,
    SamplingParams,
    Stats,
    StoredMessage,
    TokenRecord,
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
    """One of the answers. score: the mean log-probability of its tokens. whole: it was not stopped."""

    message: StoredMessage
    records: tuple[TokenRecord, ...]
    drawings: tuple[Drawing, ...]
    score: float
    whole: bool
    storing: Storing


class Several(QObject):
    """answered: Version. progress: Progress in words. ended: the Failed that ended it, or None."""

    answered = Signal(object)
    progress = Signal(object)
    stats = Signal(object)
    ended = Signal(object)

    def __init__(self, workspace: Workspace, message: StoredMessage, command: BestOf) -> None:
        """message: the place of the first answer."""
        super().__init__()
        self._workspace = workspace
        self._count = command.count
        self._begun = 0  # the number of the answer being written
        self._place = dataclasses.replace(message, status="writing", settings=command.sampling.to_dict())
        self._place_storing = Storing(workspace, lambda: self._place)
        self._place_storing.save()
        self.versions: list[Version] = []
        self.run: Run = workspace.submit(command, self._take)

    @property
    def message(self) -> StoredMessage:
        """The likeliest answer so far; before the first, the place that waits for it."""
        return self._ranked[0].message if self.versions else self._place

    @property
    def messages(self) -> list[StoredMessage]:
        """All that it has written, or the place that waits for it."""
        return [version.message for version in self.versions] or [self._place]

    @property
    def storings(self) -> dict[str, Storing]:
        """By message, what brings it to the disk."""
        known = {version.message.id: version.storing for version in self.versions}
        return known or {self._place.id: self._place_storing}

    @property
    def wrote(self) -> bool:
        return bool(self.versions)

    @property
    def _ranked(self) -> list[Version]:
        """The likeliest first; one that says nothing, or was stopped, comes after all others."""
        begun = self._place.text
        return sorted(self.versions, key=lambda one: (one.whole, one.message.text != begun, one.score), reverse=True)

    def _take(self, event: Event) -> None:
        match event:
            case Progress(phase="Writing answers", done=done):
                self._begun = done + 1
                self._tell("")
            case Progress():
                self.progress.emit(event)
            case Stats(new_tokens=count):
                self._tell(f", {count:,} tokens" if count > 1 else "")
                self.stats.emit(event)
            case Answered():
                self._keep(event)
            case Done(reason=reason):
                self._end(STATUS.get(reason, "done"), None)
            case Failed():
                self._end("failed", event)

    def _tell(self, words: str) -> None:
        self.progress.emit(Progress(self.run.id, f"Answer {self._begun} of {self._count}{words}", 0, 0))

    def _keep(self, event: Answered) -> None:
        generated, place = event.generated, self._place
        if generated.finish == "cancelled" and not generated.text:
            return
        info = self._workspace.info
        message = dataclasses.replace(
            place,
            id=uuid.uuid4().hex if self.versions else place.id,
            created=time.time() if self.versions else place.created,
            text=place.text + generated.text,
            status=STATUS.get(generated.finish, "done"),
            model=info.name if info else place.model,
            settings={**place.settings, "seed": event.started.seed},
            stats={**place.stats, **figures(generated), "score": round(event.mean_logprob, 6)},
        )
        drawings = (event.started.drawing,) if event.started.drawing is not None else ()
        storing = Storing(self._workspace, lambda: version.message, event.records, drawings)
        whole = generated.finish != "cancelled"
        version = Version(message, event.records, drawings, event.mean_logprob, whole, storing)
        self.versions.append(version)
        storing.save()
        self.answered.emit(version)

    def _end(self, status: str, failure: Failed | None) -> None:
        """Say of each whole answer which it is of how many, so that it can be said tomorrow too."""
        self._place = dataclasses.replace(self._place, status=status)
        if not self.versions:
            self._place_storing.end()
        whole = [version for version in self._ranked if version.whole]
        for rank, version in enumerate(whole if len(whole) > 1 else (), start=1):
            stats = {**version.message.stats, "rank": rank, "ranked": len(whole)}
            version.message = dataclasses.replace(version.message, stats=stats)
        for version in self.versions:
            version.storing.end()
        self.ended.emit(failure)
