"""Side by side: one prompt, two to four answers written at once with other settings or seeds, one of them kept.

It asks in the chat's place, with all that was said before, and writes nothing into the chat until an answer is kept.
Each side is the settings of the Sampling pane, or a preset, and what the person changed from them; the seeds are the
sides' own, so that two sides that are otherwise alike still differ. One side at a time is looked at: while it writes,
what the other panes show is captured of it and of no other.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field, replace
from typing import Any

from PySide6.QtCore import QObject, Signal

from app.state.adapters import USUAL, Adapters, Offer, changed_by, settings_of
from app.state.captures import UNSEEN, Captures
from app.state.conversation import Conversation
from app.state.differing import Difference, differences
from app.state.growing import STATUS
from app.state.library import Library, title_of
from app.state.presets import Presets
from app.state.second import Second
from app.state.workspace import Workspace
from engine import (
    AdapterUse,
    Done,
    Drawing,
    Event,
    Failed,
    Generate,
    Generated,
    Message,
    ModelInfo,
    Prompt,
    Retune,
    Run,
    SamplingParams,
    SaveMessage,
    Started,
    Stats,
    StoredMessage,
    Tokens,
)

FEWEST, MOST = 2, 4
LETTERS = "ABCD"
AS_SET, PLAIN = "", "none"
"""In an adapter's place: what is on for the model, and nothing at all."""


@dataclass(slots=True)
class Side:
    """One answer and how it is written. preset: "" is what the Sampling pane says. key: of its records in Captures.

    status: "" before the first prompt, then writing, done, length, stopped or failed. seed: the one drawn.
    kept: the message that it became in the chat, or "". second: whether the second model writes it. adapter: the path
    of the one that it is written through, AS_SET or PLAIN; strength: how strongly. uses: what it was written through.
    """

    preset: str = ""
    second: bool = False
    adapter: str = AS_SET
    strength: float = USUAL
    changes: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    key: str = ""
    status: str = ""
    seed: int = -1
    run: Run | None = None
    sampling: SamplingParams = field(default_factory=SamplingParams)
    speed: float = 0.0
    tokens: int = 0
    model: str = ""
    error: str = ""
    kept: str = ""
    drawings: list[Drawing] = field(default_factory=list)
    uses: tuple[AdapterUse, ...] = ()


class Comparison(QObject):
    """sides_changed: there are more or fewer, or one has other settings. text_added: number of a side and new text.

    side_changed: number of a side that began, ended or was kept. running_changed: whether any is being written.
    looked_changed: another side is looked at, or none. refused: message, hint, details of what could not be done.
    """

    sides_changed = Signal()
    side_changed = Signal(int)
    text_added = Signal(int, str)
    running_changed = Signal(bool)
    looked_changed = Signal()
    refused = Signal(str, str, str)

    def __init__(
        self,
        workspace: Workspace,
        conversation: Conversation,
        library: Library,
        presets: Presets,
        captures: Captures,
        second: Second,
        adapters: Adapters,
    ) -> None:
        super().__init__()
        self._adapters = adapters
        self._offers: list[list[Offer]] = []
        self._workspace = workspace
        self._talk = conversation
        self._library = library
        self._presets = presets
        self._captures = captures
        self._second = second
        self._chat = ""  # where it was asked
        self._asked: tuple[StoredMessage, ...] = ()  # what the answers answer; in the chat once one of them is kept
        self._continued = ""  # the text that they continue
        self._looked = 0  # the side chosen to be looked at
        self.sides: list[Side] = []
        for _ in range(FEWEST):
            self.sides.append(self._new_side())
        presets.sampling_changed.connect(self._on_sampling)
        presets.presets_changed.connect(self.sides_changed)
        workspace.model_changed.connect(self._on_model)
        second.changed.connect(self._on_model)
        adapters.changed.connect(self._on_adapters)
        captures.shown_changed.connect(self.looked_changed)

    @property
    def running(self) -> bool:
        return any(side.run is not None for side in self.sides)

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models that can write a side: the loaded one, and the second where there is one."""
        return tuple(info.name for info in (self._workspace.info, self._second.info) if info is not None)

    # --- how it is written --------------------------------------------------------------------------------------------

    def baseline(self, side: Side) -> SamplingParams:
        """What a side's settings are without its own changes."""
        known = side.preset in {preset.name for preset in self._presets.presets}
        return self._presets.values(side.preset) if known else self._presets.sampling

    def settings(self, side: Side) -> SamplingParams:
        """What a side will be written with, or is being written with from the next token on."""
        return self.baseline(side).replace(**side.changes)

    def add(self) -> None:
        if len(self.sides) < MOST and not self.running:
            self.sides.append(self._new_side())
            self.sides_changed.emit()

    def remove(self, number: int) -> None:
        if len(self.sides) > FEWEST and not self.running:
            del self.sides[number]
            self._looked = min(self._looked - (number < self._looked), len(self.sides) - 1)
            self.sides_changed.emit()

    def choose(self, number: int, preset: str) -> None:
        """Write this side with a preset, "" for what the Sampling pane says; its seed stays."""
        side = self.sides[number]
        side.preset, side.changes = preset, {name: side.changes[name] for name in ("seed",) if name in side.changes}
        self._settle(side)

    def choose_model(self, number: int, second: bool) -> None:
        """Have this side written by the loaded model, or by the second one."""
        if self.sides[number].run is None:
            self.sides[number].second = second
            self._settle_adapters()

    def adapters(self, side: Side) -> list[Offer]:
        """The adapters to choose from for a side, by its model."""
        return self._adapters.offers(side.second)

    def choose_adapter(self, number: int, path: str) -> None:
        """Have this side written through an adapter from its next answer on; AS_SET and PLAIN name none."""
        self.sides[number].adapter = path
        self.sides_changed.emit()

    def set_strength(self, number: int, strength: float) -> None:
        """How strongly its adapter is on, from its next answer on."""
        self.sides[number].strength = strength

    def through(self, side: Side) -> str:
        """The model that wrote a side, and the adapters that it went through."""
        return f"{side.model} {changed_by(side.uses)}".strip()

    def _uses(self, side: Side) -> tuple[AdapterUse, ...]:
        if side.adapter == AS_SET:
            return () if side.second else self._adapters.uses
        return () if side.adapter == PLAIN else (AdapterUse(side.adapter, side.strength),)

    def change(self, number: int, sampling: SamplingParams) -> None:
        """Use these values for this side."""
        side = self.sides[number]
        baseline = self.baseline(side).to_dict()
        side.changes = {name: value for name, value in sampling.to_dict().items() if value != baseline[name]}
        self._settle(side)

    def reset(self, number: int, name: str) -> None:
        """One field back to what the preset says."""
        self.sides[number].changes.pop(name, None)
        self._settle(self.sides[number])

    def _new_side(self) -> Side:
        seeds = {side.changes.get("seed") for side in self.sides}
        return Side(changes={"seed": next(seed for seed in range(1, MOST + 2) if seed not in seeds)})

    def _settle(self, side: Side) -> None:
        if side.run is not None:
            self._workspace.submit(Retune(side.run.id, sampling=self.settings(side)))
        self.sides_changed.emit()

    # --- what is looked at --------------------------------------------------------------------------------------------

    @property
    def looked(self) -> int:
        """The side that the other panes show, or will once it writes; -1 where they show something else."""
        key = self.sides[self._looked].key
        return self._looked if not key or self._captures.shows(key) else -1

    def look_at(self, number: int) -> None:
        """Have the other panes show this side, live while it is written."""
        self._looked = number
        if self.sides[number].key:
            self._captures.show((self.sides[number].key,))
        else:
            self.looked_changed.emit()

    def focus(self, number: int, index: int) -> None:
        """Look at one token of a side."""
        self.look_at(number)
        self._captures.focus(self.sides[number].key, index)

    # --- writing ------------------------------------------------------------------------------------------------------

    def ask(self, text: str) -> bool:
        """Have every side answer this, or continue it where the chat continues texts. False: it was refused."""
        info = self._workspace.info
        if self.running or not text.strip():
            return False
        if info is None or info.kind == "encoder":
            message = "No model is loaded." if info is None else f"{info.name} writes no text."
            self.refused.emit(message, "Choose one in the Models pane.", "")
            return False
        chat, path = self._talk.chat, self._talk.path
        self._chat, self._continued, self._asked = chat.id, "", ()
        if not info.chat_template and info.kind != "decoder":
            prompt = Prompt(source=text)
        elif chat.mode == "complete":
            prompt, self._continued = Prompt(text=text), text
        else:
            self._asked = (self._message("user", text, path[-1].id if path else ""),)
            system = [Message("system", chat.system)] if chat.system.strip() else []
            turns = [Message(each.role, each.text) for each in (*path, *self._asked) if each.text]
            prompt = Prompt(messages=(*system, *turns))
        for number, side in enumerate(self.sides):
            self._write(number, side, prompt, info)
        self.look_at(self._looked)
        self.running_changed.emit(True)
        return True

    def stop(self) -> None:
        """End them all; what they have written stays."""
        for side in self.sides:
            if side.run is not None:
                side.run.cancel()

    def _write(self, number: int, side: Side, prompt: Prompt, info: ModelInfo) -> None:
        sampling = self.settings(side)
        other = self._second.info if side.second else None
        fresh = Side(
            side.preset,
            side.second,
            side.adapter,
            side.strength,
            side.changes,
            status="writing",
            sampling=sampling,
            model=info.name if other is None else other.name,
            uses=self._uses(side),
        )
        self.sides[number] = fresh
        watched = number == self._looked
        capture = self._captures.capture_params(fresh.second) if watched else UNSEEN
        command = Generate(prompt, sampling, capture, fresh.second, fresh.uses)
        fresh.run = self._workspace.submit(command, lambda event: self._take(number, event))
        fresh.key = f"side-{fresh.run.id}"
        self._captures.set_context(fresh.key, prompt, fresh.model, fresh.second, fresh.uses)
        self._captures.begin(fresh.key, fresh.run.id, watched)
        self.side_changed.emit(number)

    def _take(self, number: int, event: Event) -> None:
        side = self.sides[number]
        match event:
            case Started(seed=seed, drawing=drawing):
                side.seed = seed
                side.drawings += [drawing] if drawing is not None else []
            case Tokens(text=text, records=records):
                side.text += text
                side.tokens += len(records)
                self.text_added.emit(number, text)
            case Stats(tokens_per_second=speed):
                side.speed = speed
            case Generated(text=text, ids=ids, tokens_per_second=speed):
                side.text, side.tokens, side.speed = text, len(ids), speed
            case Done() | Failed():
                side.run = None
                side.status = STATUS.get(event.reason, "done") if isinstance(event, Done) else "failed"
                side.error = f"{event.message} {event.hint}".strip() if isinstance(event, Failed) else ""
                self.side_changed.emit(number)
                if not self.running:
                    self.running_changed.emit(False)

    # --- what came of it ----------------------------------------------------------------------------------------------

    def differences(self, number: int) -> list[Difference]:
        """How a side's answer differs from the first side's."""
        return differences(self.sides[0].text, self.sides[number].text)

    @property
    def can_keep(self) -> bool:
        """Whether the answers are of a kind that a chat holds."""
        return bool(self._asked or self._continued)

    def keep(self, number: int) -> bool:
        """Take this answer into the chat, after what it answers. False: it was refused, and `refused` says why."""
        side, talk = self.sides[number], self._talk
        if side.run is not None or not side.text or side.kept or not self.can_keep:
            return False
        before = self._asked[0].parent if self._asked else ""
        if talk.chat.id != self._chat or (before and before not in talk.tree):
            self.refused.emit("The chat that these answers belong to is not shown.", "Open it, then keep one.", "")
            return False
        if talk.answering is not None:
            self.refused.emit("The chat is writing an answer.", "Wait for its end, or stop it.", "")
            return False
        answer = self._answer(side)
        side.kept = answer.id
        title = talk.chat.title or title_of((*self._asked, answer)[0].text)
        self._library.save(replace(talk.chat, title=title, updated=time.time(), model=side.model))
        for message in self._asked:
            if message.id not in talk.tree:
                talk.tree.put(message)
                self._workspace.submit(SaveMessage(message))
        records = self._captures.records(side.key)
        talk.tree.put(answer)
        self._workspace.submit(SaveMessage(answer, tuple(records), tuple(side.drawings)))
        self._captures.adopt(answer.id, records, side.drawings)
        talk.show_version(answer.id, 0)
        self.side_changed.emit(number)
        return True

    def _answer(self, side: Side) -> StoredMessage:
        """A side's answer as a message of the chat."""
        stats: dict[str, Any] = {"tokens": side.tokens, "tokens_per_second": round(side.speed, 2)}
        if self._continued:
            stats["prompt_length"] = len(self._continued)
        role, parent = ("assistant", self._asked[0].id) if self._asked else ("text", "")
        return replace(
            self._message(role, self._continued + side.text, parent),
            status=side.status,
            model=side.model,
            settings={**settings_of(Generate(Prompt(), side.sampling, adapters=side.uses)), "seed": side.seed},
            stats=stats,
        )

    def _message(self, role: str, text: str, parent: str) -> StoredMessage:
        return StoredMessage(uuid.uuid4().hex, self._chat, parent, role, text, created=time.time())

    def _on_sampling(self, _: SamplingParams) -> None:
        for side in self.sides:
            if side.run is not None:
                self._workspace.submit(Retune(side.run.id, sampling=self.settings(side)))
        self.sides_changed.emit()

    def _on_adapters(self) -> None:
        """Where there are others: one that a side's model cannot take, or that is gone, is not chosen any more."""
        offers = [self._adapters.offers(second) for second in (False, True)]
        if offers != self._offers:
            self._offers = offers
            self._settle_adapters()

    def _settle_adapters(self) -> None:
        for side in self.sides:
            fitting = [path for _, path, why in self.adapters(side) if not why]
            if side.adapter not in (AS_SET, PLAIN, *fitting):
                side.adapter = AS_SET
        self.sides_changed.emit()

    def _on_model(self, _: ModelInfo | None) -> None:
        for side in self.sides:
            side.second = side.second and self._second.info is not None
        self.sides_changed.emit()
