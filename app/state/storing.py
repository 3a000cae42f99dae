"""A message on its way to the disk: what the store has not got of it is kept here until it has.

A save that fails is said once and tried again until the store has it all, after the end of the answer too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QObject, QTimer, Signal

from app.state.workspace import Workspace
from engine import Done, Drawing, Event, Failed, SaveMessage, StoredMessage, TokenRecord

SAVE_EVERY = 1000  # milliseconds


class Storing(QObject):
    """stored: the message is whole, and all of it is on the disk."""

    stored = Signal()

    def __init__(
        self,
        workspace: Workspace,
        message: Callable[[], StoredMessage],
        records: Sequence[TokenRecord] = (),
        drawings: Sequence[Drawing] = (),
    ) -> None:
        """message: as it stands when asked. records, drawings: of it so far, those that the store has not got."""
        super().__init__()
        self._workspace = workspace
        self._message = message
        self._unsaved = list(records)  # handed to no save, or to one that failed
        self._drawings = list(drawings)  # the same
        self._saving = 0  # saves not answered yet
        self._failing = self._over = False
        self._timer = QTimer(self, interval=SAVE_EVERY)
        self._timer.timeout.connect(self.save)

    def add(self, records: Sequence[TokenRecord]) -> None:
        """Records that go with the next save."""
        self._unsaved.extend(records)

    def add_drawing(self, drawing: Drawing) -> None:
        """What the records to come are drawn with."""
        self._drawings.append(drawing)

    def start(self) -> None:
        """Save now and every second from now on."""
        self.save()
        self._timer.start()

    def rest(self) -> None:
        """Save now; for a while nothing more is to come."""
        self._timer.stop()
        self.save()

    def end(self) -> None:
        """The message is whole: save it, and try until the store has it all."""
        self._over = True
        self.start()

    def save(self) -> None:
        """Hand the text so far and the records not yet stored to the store."""
        records = tuple(self._unsaved)
        drawings = tuple(self._drawings) if records else ()  # of a run that wrote nothing there is nothing to say
        self._unsaved.clear()
        del self._drawings[: len(drawings)]
        self._saving += 1
        command = SaveMessage(self._message(), records, drawings)
        self._workspace.submit(command, lambda event: self._on_saved(command, event))

    def leave(self) -> tuple[list[TokenRecord], list[Drawing]]:
        """Try no more; returns the records that the store has not got, and what they were drawn with."""
        self._timer.stop()
        self._over = False  # no save still on its way may say `stored`
        self.deleteLater()
        return self._unsaved, self._drawings

    def _on_saved(self, command: SaveMessage, event: Event) -> None:
        self._saving -= isinstance(event, Done | Failed)
        if isinstance(event, Failed):
            self._unsaved[:0], self._drawings[:0] = command.records, command.drawings
            if not self._failing:
                self._workspace.failed.emit(event.message, event.hint, event.details)
            self._failing = True
        elif isinstance(event, Done):
            self._failing = False
            if self._over and not self._saving and not self._unsaved:
                self.leave()
                self.stored.emit()
