"""The answers that are being written, one request to a chat, and the messages that are not on the disk yet."""

from __future__ import annotations

from functools import partial

from app.state.answer import Answer
from app.state.several import Several
from app.state.storing import Storing
from engine import Drawing, Run, TokenRecord


class Writing:
    """It says nothing; who begins an answer listens to it."""

    def __init__(self) -> None:
        self._answers: dict[str, Answer | Several] = {}  # by chat
        self._late: dict[str, Storing] = {}  # by message: written, and not stored yet

    def of(self, chat: str) -> Answer | Several | None:
        """What is being written into a chat."""
        return self._answers.get(chat)

    def run(self, chat: str) -> Run | None:
        """The run that writes into a chat."""
        answer = self._answers.get(chat)
        return answer.run if answer is not None else None

    def begin(self, chat: str, answer: Answer | Several) -> None:
        self._answers[chat] = answer

    def end(self, chat: str) -> Answer | Several:
        """The request has ended; what it wrote goes on to the disk."""
        answer = self._answers.pop(chat)
        for key, storing in answer.storings.items():
            if answer.wrote:
                self._late[key] = storing
                storing.stored.connect(partial(self._on_stored, key, storing))
            else:
                storing.leave()
        return answer

    def resume(self, key: str) -> tuple[list[TokenRecord], list[Drawing]] | None:
        """A message is written on: what of it is not on the disk yet, where there is any."""
        late = self._late.pop(key, None)
        return late.leave() if late is not None else None

    def cancel(self, chat: str) -> None:
        """Ask what is written into a chat to end."""
        run = self.run(chat)
        if run is not None:
            run.cancel()

    def cancel_all(self) -> None:
        for chat in self._answers:
            self.cancel(chat)

    @property
    def stored(self) -> bool:
        """Whether nothing is being written, and all that was is on the disk."""
        return not self._answers and not self._late

    def _on_stored(self, key: str, storing: Storing) -> None:
        if self._late.get(key) is storing:
            del self._late[key]
