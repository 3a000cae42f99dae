"""What if the settings had been others: every token of the answer in focus drawn again, by the draw that was made.

It knows no model: the engine derives from stored candidates what would have come out. An answer is made ready for this
in a thread of its own, once; then a slider's move takes a few milliseconds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from app.state.captures import Captures
from app.state.presets import Presets
from engine import Drawing, SamplingParams, TokenRecord

if TYPE_CHECKING:
    from engine import Stage, WhatIf

SLICE = 16  # tokens whose tail is listened to between two looks at whether anybody still waits
NOT_KEPT = "What this answer was drawn with was not kept, so it cannot be drawn again."


@dataclass(frozen=True, slots=True)
class Part:
    """Tokens that one run drew: first is the index of the first among the answer's."""

    first: int
    records: tuple[TokenRecord, ...]
    drawing: Drawing


@dataclass(frozen=True, slots=True)
class Outcome:
    """For every token of an answer: whether other settings would have given another, and whether that is uncertain.

    why: the reason where it is uncertain for all of them, or cannot be said.
    """

    changed: tuple[bool, ...] = ()
    uncertain: tuple[bool, ...] = ()
    why: str = ""

    @property
    def differs(self) -> bool:
        """Whether any token would differ, or could."""
        return any(self.changed) or any(self.uncertain)

    @property
    def words(self) -> str:
        """How many would differ, in one line."""
        if self.why:
            return self.why
        total, doubtful = len(self.changed), sum(self.uncertain)
        certain = sum(c and not u for c, u in zip(self.changed, self.uncertain))
        differ = f"{certain:,}" if certain else "None"
        differ += f" of {total:,} {'token' if total == 1 else 'tokens'} would differ"
        return f"{differ}, {doubtful:,} uncertain." if doubtful else f"{differ}."


@dataclass(frozen=True, slots=True)
class Column:
    """One token step by step. record: as these settings would have written it. stages: of its candidates, the raw
    distribution first; the last one's probabilities are what was drawn from.

    uncertain: a token that is not stored could have come out. exact: the settings are the ones that wrote it.
    """

    record: TokenRecord
    stages: tuple[Stage, ...]
    uncertain: bool
    exact: bool


class WhatIfs(QObject):
    """changed: the outcome is new, for the settings or for another answer."""

    changed = Signal()
    _ready = Signal(int, object, bool)

    def __init__(self, captures: Captures, presets: Presets) -> None:
        super().__init__()
        self._captures = captures
        self._presets = presets
        self._watchers: set[str] = set()
        self._prepared: list[tuple[Part, WhatIf]] = []
        self._ticket = 0
        self.message = ""
        """The answer that `outcome` is of."""
        self.outcome = Outcome()
        self._ready.connect(self._on_ready)
        captures.focus_changed.connect(self._on_focus)
        captures.settled.connect(self._on_settled)
        presets.sampling_changed.connect(self._derive)

    def watch(self, who: str, wanted: bool) -> None:
        """Whether somebody looks; for nobody nothing is derived."""
        before = bool(self._watchers)
        (self._watchers.add if wanted else self._watchers.discard)(who)
        if bool(self._watchers) != before:
            self._prepare()

    def column(self, message: str, index: int, sampling: SamplingParams | None = None) -> Column | None:
        """One token under these settings, or under those that wrote it; None where that cannot be said."""
        records = self._captures.records(message)
        if not 0 <= index < len(records):
            return None
        record = records[index]
        drawing = self._captures.drawing(message, record.position)
        if drawing is None or not len(record.candidate_ids):
            return None
        settings = sampling or drawing.sampling
        before = [r.id for r in records[:index] if r.position >= len(drawing.ids)]
        one = _what_if((record,), [*drawing.ids, *before, record.id], drawing)
        one.stored.listen()
        stages, derived = one.stages(0, settings)
        after = stages[-1].probabilities
        total = after.sum()
        share = (after / total if total > 0 else after).astype(record.after.dtype)
        cut = record.cut.copy()
        cut[:] = -1
        for number, stage in enumerate(stages[1:]):
            cut[stage.cut] = number
        drawn = record if sampling is None else dataclasses.replace(record, id=int(derived.chosen[0]))
        shown = dataclasses.replace(drawn, after=share, cut=cut, steps=derived.steps)
        written = derived.steps == record.steps and bool((abs(share - record.after) < 0.01).all())
        return Column(shown, tuple(stages), bool(derived.uncertain[0]), written)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _on_focus(self, message: str, index: int) -> None:
        if message != self.message:
            self.message = message
            self._prepare()

    def _on_settled(self, message: str) -> None:
        if message == self.message:
            self._prepare()

    def _prepare(self) -> None:
        """Make the answer in focus ready in a thread; the answer before is given up."""
        self._ticket += 1
        self._prepared = []
        message = self.message
        parts = _parts(self._captures.records(message), self._captures.drawings(message))
        if not self._watchers or self._captures.writing(message) or not parts:
            missing = bool(self._captures.records(message)) and not self._captures.writing(message) and not parts
            self._show(Outcome(why=NOT_KEPT) if missing else Outcome())
            return
        ticket = self._ticket
        work = threading.Thread(target=self._work, args=(ticket, parts), name="vitrine-what-if", daemon=True)
        work.start()

    def _work(self, ticket: int, parts: Sequence[Part]) -> None:
        with contextlib.suppress(RuntimeError):  # Qt's: the window has closed meanwhile, and nobody waits
            self._make(ticket, parts)

    def _make(self, ticket: int, parts: Sequence[Part]) -> None:
        """In the thread: the candidates as arrays, and then the luck of those that are not stored."""
        made: list[tuple[Part, WhatIf]] = []
        for part in parts:
            if ticket != self._ticket:
                return
            made.append((part, _what_if(part.records, _history(part), part.drawing)))
        self._ready.emit(ticket, made, False)
        for part, what_if in made:
            for start in range(0, len(part.records), SLICE):
                if ticket != self._ticket:
                    return
                what_if.stored.listen(range(start, min(start + SLICE, len(part.records))))
        self._ready.emit(ticket, made, True)

    def _on_ready(self, ticket: int, made: list[tuple[Part, WhatIf]], whole: bool) -> None:
        if ticket == self._ticket:
            self._prepared = made
            self._derive()

    def _derive(self, *_: object) -> None:
        if not self._prepared:
            return
        sampling = self._presets.sampling
        why = next((why for part, _ in self._prepared if (why := _reason(sampling, part.drawing))), "")
        total = len(self._captures.records(self.message))
        changed, uncertain = [False] * total, [True] * total  # what no part holds is uncertain
        for part, what_if in self._prepared:
            derived = what_if.derive(sampling)
            end = part.first + len(part.records)
            changed[part.first : end] = derived.changed.tolist()
            uncertain[part.first : end] = derived.uncertain.tolist()
            forced = sum(record.position < len(part.drawing.ids) + part.drawing.forced for record in part.records)
            changed[part.first : part.first + forced] = uncertain[part.first : part.first + forced] = [False] * forced
        self._show(Outcome(tuple(changed), tuple(uncertain), why))

    def _show(self, outcome: Outcome) -> None:
        if outcome != self.outcome:
            self.outcome = outcome
            self.changed.emit()


def _parts(records: Sequence[TokenRecord], drawings: Sequence[Drawing]) -> list[Part]:
    """The records by the run that drew them: the latest one that began at or before their position."""
    runs: dict[int, list[int]] = {}
    for index, record in enumerate(records):
        run = max((n for n, drawing in enumerate(drawings) if len(drawing.ids) <= record.position), default=-1)
        if run >= 0:
            runs.setdefault(run, []).append(index)
    return [
        Part(found[0], tuple(records[found[0] : found[-1] + 1]), drawings[run]) for run, found in sorted(runs.items())
    ]


def _history(part: Part) -> list[int]:
    """The ids up to the end of a part: its records may begin later than its run."""
    return [*part.drawing.ids, *(record.id for record in part.records)]


def _what_if(records: Sequence[TokenRecord], history: Sequence[int], drawing: Drawing) -> WhatIf:
    from engine import WhatIf

    breakers = frozenset(drawing.breakers)
    return WhatIf(
        records, history, drawing.seed, drawing.vocabulary, drawing.prompt, breakers, written_with=drawing.sampling
    )


def _reason(sampling: SamplingParams, drawing: Drawing) -> str:
    """Why no token can be told under these settings, in a sentence; "" where they can."""
    if sampling.mirostat != "off":
        return "Mirostat follows what was drawn before, so every token is uncertain."
    if sampling.adaptive_target > 0:
        return "Adaptive-p follows what was drawn before, so every token is uncertain."
    if sampling.dry_multiplier > 0 and sampling.dry_breakers != drawing.sampling.dry_breakers:
        return "DRY would break at other texts than when this was written, so every token is uncertain."
    return ""
