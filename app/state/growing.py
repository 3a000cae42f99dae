"""A message while it is written: its text grows here and reaches the store every second, with only the new records.

It hears what a run says of one answer, and knows neither the run nor what else it writes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from app.state.storing import Storing
from app.state.workspace import Workspace
from engine import Drawing, Generated, Started, StoredMessage, TokenRecord, Tokens

STATUS = {"eos": "done", "stop": "done", "done": "done", "length": "length", "cancelled": "stopped"}
"""Of a message, by how its run ended."""


def figures(event: Generated) -> dict[str, Any]:
    """Counts and times of an answer, as they are stored with it."""
    return {
        "prompt_tokens": len(event.prompt_ids),
        "tokens": len(event.ids),
        "prefill_seconds": round(event.prefill_seconds, 3),
        "decode_seconds": round(event.decode_seconds, 3),
        "tokens_per_second": round(event.tokens_per_second, 2),
    }


class Growing:
    """One message. id: its own. storing: what brings it to the disk."""

    def __init__(
        self,
        workspace: Workspace,
        message: StoredMessage,
        settings: dict[str, Any],
        unsaved: Sequence[TokenRecord] = (),
        drawings: Sequence[Drawing] = (),
    ) -> None:
        """unsaved: records of the message so far that the store has not got; drawings: what they were drawn with."""
        self._workspace = workspace
        self.id = message.id
        self._before = message.text  # what a continued message already held
        self._texts = [message.text]
        self._message = dataclasses.replace(message, status="writing", settings=settings)
        self.storing = Storing(workspace, lambda: self.message, unsaved, drawings)
        self.storing.start()

    @property
    def message(self) -> StoredMessage:
        """The message as it stands now."""
        if len(self._texts) > 1:
            self._texts = ["".join(self._texts)]
            self._message = dataclasses.replace(self._message, text=self._texts[0])
        return self._message

    @property
    def open(self) -> bool:
        """Whether more is to come."""
        return self._message.status == "writing"

    @property
    def wrote(self) -> bool:
        """Whether anything was written since it began."""
        return self.message.text != self._before

    def begin(self, event: Started) -> None:
        if event.drawing is not None:
            self.storing.add_drawing(event.drawing)
        info = self._workspace.info
        settings = {**self.message.settings, "seed": event.seed}
        self._change(settings=settings, model=info.name if info else self._message.model)

    def add(self, event: Tokens) -> None:
        self._texts.append(event.text)
        self.storing.add(event.records)

    def note(self, **stats: Any) -> None:
        """Keep these figures with it."""
        self._change(stats={**self.message.stats, **stats})

    def close(self, status: str) -> None:
        """Nothing more will be written into it."""
        self._change(status=status)

    def _change(self, **changes: Any) -> None:
        self._message = dataclasses.replace(self.message, **changes)
