"""The token records of the answers, those being written and those that are stored, and the token in focus.

It knows no attention: `Captures` does, on top of this.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QObject, Signal

from app.state.workspace import Workspace
from engine import Done, Drawing, Event, Failed, OpenRecords, Prompt, Records, TokenRecord

KEPT_RECORDS = 8000  # tokens whose records stay in memory (6 KB each); others are read from the store again


class Recorded(QObject):
    """records_changed: message and the first new index. focus_changed: message and index of the token in focus.

    settled: message whose records are whole, for now. follow_changed: whether the focus follows the newest token.
    shown_changed: other messages are on the screen.
    """

    records_changed = Signal(str, int)
    settled = Signal(str)
    focus_changed = Signal(str, int)
    follow_changed = Signal(bool)
    shown_changed = Signal()

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._records: dict[str, list[TokenRecord]] = {}
        self._drawings: dict[str, list[Drawing]] = {}
        self._contexts: dict[str, Prompt] = {}
        self._shown: frozenset[str] | None = None
        self._opening: set[str] = set()
        self._live: dict[int, str] = {}  # run -> the message it writes
        self._watched = 0  # the run that writes what is looked at; 0 for none
        self._wish = True
        self.following = True
        self.focused: tuple[str, int] | None = None

    # --- records ----------------------------------------------------------------------------------------------------

    def records(self, message: str) -> list[TokenRecord]:
        """The records of a message as far as they are here; want() brings those of a stored one."""
        return self._records.get(message, [])

    def drawings(self, message: str) -> list[Drawing]:
        """What the runs that wrote this message drew with, in their order."""
        return self._drawings.get(message, [])

    def drawing(self, message: str, position: int) -> Drawing | None:
        """What the token at this position was drawn with."""
        return next((d for d in reversed(self.drawings(message)) if len(d.ids) <= position), None)

    def writing(self, message: str) -> bool:
        """Whether this message is being written."""
        return message in self._live.values()

    def adopt(self, message: str, records: Sequence[TokenRecord], drawings: Sequence[Drawing]) -> None:
        """Records of a message that came another way: those that a branch begins with, or all of a whole answer's."""
        self._records[message], self._drawings[message] = list(records), list(drawings)
        self.records_changed.emit(message, 0)
        if self.following:
            self._focus_newest(message)
        self._forget_old()

    def want(self, message: str) -> None:
        """Read a stored message's records, unless they are here."""
        if message not in self._opening and not self._records.get(message):
            self._open(message)

    def begin(self, message: str, run: int, watched: bool = True) -> None:
        """This run writes this message from now on. watched: it is the one that is looked at."""
        before = self._live.get(run, message)
        self._live[run] = message
        if watched:
            self._watch(run)
        elif before != message:  # else nobody looks at it any more
            self.settled.emit(before)
        prompt = self._contexts.get(message, Prompt())
        if (prompt.answer_ids or prompt.answer_text) and not self._records.get(message):
            self._open(message)
        self._records[message] = self._records.pop(message, [])
        self._forget_old()

    def set_context(self, message: str, prompt: Prompt) -> None:
        """What the model read before this message."""
        self._contexts[message] = prompt

    def _open(self, message: str) -> None:
        self._opening.add(message)
        self._workspace.submit(OpenRecords(message), lambda event: self._on_stored(message, event))

    def _on_stored(self, message: str, event: Event) -> None:
        if isinstance(event, Records):
            records = list(event.records)
            put_records(records, self.records(message))
            self._records[message] = records
            begun = [d for d in self.drawings(message) if d not in event.drawings]
            self._drawings[message] = [*event.drawings, *begun]
            self.records_changed.emit(message, 0)
            if not self.writing(message):
                self.settled.emit(message)
            if self.following and not self._live:
                self._focus_newest(message)
            self._forget_old()
        elif isinstance(event, Done | Failed):
            self._opening.discard(message)

    def _add(self, message: str, records: Sequence[TokenRecord]) -> None:
        first = put_records(self._records.setdefault(message, []), records)
        self.records_changed.emit(message, first)
        if self.following:
            self._focus_newest(message)

    def _forget_old(self) -> None:
        pinned = {*self._live.values(), self.focused[0] if self.focused else ""}
        kept = sum(map(len, self._records.values()))
        for message in [m for m in self._records if m not in pinned]:
            if kept <= KEPT_RECORDS:
                return
            kept -= len(self._records.pop(message))
            self._drawings.pop(message, None)

    # --- focus ------------------------------------------------------------------------------------------------------

    @property
    def record(self) -> TokenRecord | None:
        """The token in focus."""
        if self.focused is None:
            return None
        records = self.records(self.focused[0])
        return records[self.focused[1]] if self.focused[1] < len(records) else None

    @property
    def live(self) -> bool:
        """Whether an answer is being written."""
        return bool(self._live)

    def focus(self, message: str, index: int) -> None:
        """Look at one token; the focus stops following."""
        if 0 <= index < len(self.records(message)):
            if not self.shows(message):
                self._look_at((message,))
            self._set_following(False)
            self._focus(message, index)

    def step(self, by: int) -> None:
        """Look at the token before or after."""
        if self.focused is not None:
            last = len(self.records(self.focused[0])) - 1
            self.focus(self.focused[0], min(max(self.focused[1] + by, 0), last))

    def follow(self, on: bool = True) -> None:
        """Let the focus follow the newest token, now and in the answers to come, or leave it where it is."""
        self._wish = on
        self._set_following(on)
        if on:
            self._focus_newest(self._live.get(self._watched) or (self.focused[0] if self.focused else ""))

    @property
    def wish(self) -> bool:
        """Whether the answers to come are followed; to look at one token does not change it."""
        return self._wish

    def show(self, messages: Sequence[str]) -> None:
        """These messages are on the screen, in this order; a focus elsewhere moves here, or to nothing.

        The one of them that is being written is looked at from now on, and no other.
        """
        self._look_at(messages)
        if self.focused is not None and not self.shows(self.focused[0]):
            self.focused = None
            self._focus_newest(next((message for message in reversed(messages) if self.records(message)), ""))
            if self.focused is None:
                self.focus_changed.emit("", -1)

    def shows(self, message: str) -> bool:
        """Whether this message is on the screen."""
        return self._shown is None or message in self._shown

    def _look_at(self, messages: Sequence[str]) -> None:
        self._shown = frozenset(messages)
        run = next((run for run, message in reversed(self._live.items()) if self.shows(message)), 0)
        if run != self._watched:
            self._watch(run)
        self.shown_changed.emit()

    def _watch(self, run: int) -> None:
        """What this run writes is looked at from now on; 0: nothing that is being written is."""
        self._watched = run
        if run:
            self._set_following(self._wish)

    def _focus_newest(self, message: str) -> None:
        if self.records(message) and self.shows(message):
            self._focus(message, len(self.records(message)) - 1)

    def _focus(self, message: str, index: int) -> None:
        if self.focused != (message, index):
            self.focused = (message, index)
            self.focus_changed.emit(message, index)

    def _set_following(self, on: bool) -> None:
        if self.following != on:
            self.following = on
            self.follow_changed.emit(on)


def put_records(known: list[TokenRecord], records: Sequence[TokenRecord]) -> int:
    """Add records to those known and return the first new index.

    A position that comes again replaces what stood there and after it: to continue an answer takes its end mark back.
    """
    while records and known and known[-1].position >= records[0].position:
        known.pop()
    first = len(known)
    known.extend(records)
    return first
