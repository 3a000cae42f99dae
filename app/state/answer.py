"""One answer: the request for it, and the message that it is written into.

It belongs to a message, not to what is on the screen, so an answer goes on when another chat is shown.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QObject, Signal

from app.state.adapters import settings_of
from app.state.growing import STATUS, Growing, figures
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


class Answer(QObject):
    """text_added: id and new text. progress: Progress while the prompt is read. ended: Failed where that ended it."""

    text_added = Signal(str, str)
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
        self._growing = Growing(workspace, message, settings_of(command), unsaved, drawings)
        self.run: Run = workspace.submit(command, self._take)

    @property
    def message(self) -> StoredMessage:
        """The message as it stands now."""
        return self._growing.message

    @property
    def messages(self) -> list[StoredMessage]:
        """All that it writes."""
        return [self.message]

    @property
    def storings(self) -> dict[str, Storing]:
        """By message, what brings it to the disk."""
        return {self._growing.id: self._growing.storing}

    @property
    def wrote(self) -> bool:
        """Whether anything was written in this run."""
        return self._growing.wrote

    def _take(self, event: Event) -> None:
        match event:
            case Tokens(text=text):
                self._growing.add(event)
                self.text_added.emit(self._growing.id, text)
            case Stats():
                self.progress.emit(None)
                self.stats.emit(event)
            case Progress():
                self.progress.emit(event)
            case Started():
                self._growing.begin(event)
            case Generated():
                self._growing.note(**figures(event))
            case Done(reason=reason):
                self._end(STATUS.get(reason, "done"), None)
            case Failed():
                self._growing.note(error=event.message)
                self._end("failed", event)

    def _end(self, status: str, failure: Failed | None) -> None:
        self._growing.close(status)
        self._growing.storing.end()
        self.ended.emit(failure)
