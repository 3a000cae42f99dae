"""One answer while it is written: its text grows here and reaches the store every second, with only the new records.

It belongs to a message, not to what is on the screen, so an answer goes on when another chat is shown. A save that
fails is said once and tried again until the store has it all, after the answer's end too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from PySide6.QtCore import QObject, QTimer, Signal

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
    SaveMessage,
    Started,
    Stats,
    StoredMessage,
    TokenRecord,
    Tokens,
)

STATUS = {"eos": "done", "stop": "done", "done": "done", "length": "length", "cancelled": "stopped"}
SAVE_EVERY = 1000  # milliseconds


class Answer(QObject):
    """text_added: new text. progress: Progress while the prompt is read. ended: the Failed that ended it, or None.

    stored: it has ended, and all of it is on the disk.
    """

    text_added = Signal(str)
    progress = Signal(object)
    stats = Signal(object)
    ended = Signal(object)
    stored = Signal()

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
        self._unsaved = list(unsaved)  # handed to no save, or to one that failed
        self._drawings = list(drawings)  # the same
        self._saving = 0  # saves not answered yet
        self._failing = self._over = False
        self._message = dataclasses.replace(message, status="writing", settings=command.sampling.to_dict())
        self._timer = QTimer(self, interval=SAVE_EVERY)
        self._timer.timeout.connect(self.save)
        self.save()
        self.run: Run = workspace.submit(command, self._take)
        self._timer.start()

    @property
    def message(self) -> StoredMessage:
        """The message as it stands now."""
        if len(self._texts) > 1:
            self._texts = ["".join(self._texts)]
            self._message = dataclasses.replace(self._message, text=self._texts[0])
        return self._message

    @property
    def wrote(self) -> bool:
        """Whether anything was written in this run."""
        return self.message.text != self._before

    def save(self) -> None:
        """Hand the text so far and the records not yet stored to the store."""
        records = tuple(self._unsaved)
        drawings = tuple(self._drawings) if records else ()  # of a run that wrote nothing there is nothing to say
        self._unsaved.clear()
        del self._drawings[: len(drawings)]
        self._saving += 1
        command = SaveMessage(self.message, records, drawings)
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

    def _take(self, event: Event) -> None:
        match event:
            case Tokens(text=text, records=records):
                self._texts.append(text)
                self._unsaved.extend(records)
                self.text_added.emit(text)
            case Stats():
                self.stats.emit(event)
            case Progress():
                self.progress.emit(event)
            case Started(seed=seed, drawing=drawing):
                self._drawings += [drawing] if drawing is not None else []
                info = self._workspace.info
                self._message = dataclasses.replace(
                    self.message,
                    settings={**self.message.settings, "seed": seed},
                    model=info.name if info else self._message.model,
                )
            case Generated():
                self._keep_figures(event)
            case Done(reason=reason):
                self._end(STATUS.get(reason, "done"), None)
            case Failed():
                self._end("failed", event)

    def _keep_figures(self, event: Generated) -> None:
        figures = {
            "prompt_tokens": len(event.prompt_ids),
            "tokens": len(event.ids),
            "prefill_seconds": round(event.prefill_seconds, 3),
            "decode_seconds": round(event.decode_seconds, 3),
            "tokens_per_second": round(event.tokens_per_second, 2),
        }
        self._message = dataclasses.replace(self.message, stats={**self.message.stats, **figures})

    def _end(self, status: str, failure: Failed | None) -> None:
        stats = dict(self.message.stats)
        if failure is not None:
            stats["error"] = failure.message
        self._message = dataclasses.replace(self.message, status=status, stats=stats)
        self._over = True
        self.save()
        self.ended.emit(failure)
