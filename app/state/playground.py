"""What is tried with a model that does not chat: a target for a source, and what an encoder says of a text.

One request at a time: a new one takes the place of the one before, whose last events are then passed over. Targets
are kept while their source and their model are: to write again, or to go on from a token, makes another version. Their
token records go to Captures under names of their own, so that the panes show them like any other, and so do the texts
that an encoder reads.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal

from app.state.adapters import Adapters
from app.state.branching import Branch, branch
from app.state.captures import Captures
from app.state.presets import Presets
from app.state.workspace import Workspace
from engine import (
    AdapterUse,
    Beam,
    Beams,
    Classified,
    Classify,
    Command,
    Done,
    Embed,
    Embedded,
    Event,
    Failed,
    Fill,
    Filled,
    Generate,
    Generated,
    ModelInfo,
    Nearest,
    NearestWords,
    Progress,
    Prompt,
    Retune,
    Run,
    SamplingParams,
    Tokens,
)

TASKS = {  # what T5 was trained to be told before a source, by the words for it
    "Free text": "",
    "Summarize": "summarize: ",
    "English to German": "translate English to German: ",
    "English to French": "translate English to French: ",
    "English to Romanian": "translate English to Romanian: ",
}


def arithmetic(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words of "king - man + woman" that are added, and those that are taken away.

    A sign counts where it stands alone or before a word, so that a word may hold a hyphen.
    """
    words: dict[str, list[str]] = {"+": [], "-": []}
    sign = "+"
    for part in text.replace("\N{MINUS SIGN}", "-").split():
        if part[0] in words:
            sign, part = part[0], part[1:]
        if part:
            words[sign].append(part)
            sign = "+"
    return tuple(words["+"]), tuple(words["-"])


@dataclass(slots=True)
class Target:
    """One version of what was written for a source. begun: what it has of another. key: of its records in Captures."""

    key: str = ""
    text: str = ""
    begun: str = ""
    beams: tuple[Beam, ...] = ()


class Playground(QObject):
    """running_changed: Run | None. progress: Progress. failed: message, hint, details.

    target_changed: the whole target so far. beams_changed: tuple of Beam. versions_changed: another target is shown, or
    there are more of them or none. The rest carry the events of their names.
    """

    running_changed = Signal(object)
    progress = Signal(object)
    failed = Signal(str, str, str)
    target_changed = Signal(str)
    beams_changed = Signal(object)
    versions_changed = Signal()
    filled = Signal(object)
    classified = Signal(object)
    embedded = Signal(object)
    nearest = Signal(object)

    def __init__(self, workspace: Workspace, captures: Captures, presets: Presets, adapters: Adapters) -> None:
        super().__init__()
        self._workspace = workspace
        self._captures = captures
        self._presets = presets
        self._adapters = adapters
        self._read_by: tuple[AdapterUse, ...] = ()  # what the text asked about last goes through
        self._drawing = False  # a target is being written token by token, so that new settings count
        self._text = ""  # to classify
        self._prompt = Prompt()  # with the source of the targets
        self._targets: list[Target] = []
        self._number = 0  # of the target shown
        self.running: Run | None = None
        workspace.model_changed.connect(self._on_model)
        presets.sampling_changed.connect(self._on_sampling)

    @property
    def kind(self) -> str:
        """decoder, encoder-decoder or encoder; "" while there is no model."""
        return self._workspace.info.kind if self._workspace.info else ""

    @property
    def use(self) -> str:
        """What the encoder was trained for: fill, classify or embed; "" for other kinds."""
        return self._workspace.info.use if self._workspace.info else ""

    @property
    def tasks(self) -> dict[str, str]:
        """The prefixes that the model's family knows, by the words for them; empty where it knows none."""
        return TASKS if self._workspace.info and self._workspace.info.family == "t5" else {}

    @property
    def target(self) -> str:
        """The target shown."""
        return self._shown.text

    @property
    def target_key(self) -> str:
        """Of the target's records in Captures; "" while there is none."""
        return self._shown.key

    @property
    def versions(self) -> tuple[int, int]:
        """Which of how many targets is shown, counted from 1."""
        return self._number + 1, max(1, len(self._targets))

    @property
    def _shown(self) -> Target:
        return self._targets[self._number] if self._targets else Target()

    # --- what is asked ------------------------------------------------------------------------------------------------

    def write(self, source: str, task: str = "") -> None:
        """Write a target for a source: by beams where the sampling asks for more than one, else token by token."""
        prompt = Prompt(source=self.tasks.get(task, "") + source)
        if prompt != self._prompt:
            self._targets.clear()
        self._prompt = prompt
        self._write(Branch("", prompt, (), ()))

    def can_branch(self, key: str) -> bool:
        """Whether another version of this target can be begun now."""
        return self.running is None and bool(key) and key == self.target_key

    def branch(self, key: str, index: int, ids: tuple[int, ...] = (), text: str = "") -> None:
        """Write another target: the same up to a token, these ids or this text, and on from there."""
        records = self._captures.records(key)
        if not self.can_branch(key) or not 0 <= index < len(records) or not (ids or text):
            return
        drawings = self._captures.drawings(key)
        begun = branch(self.target, 0, records, drawings, index, self._prompt, True, ids, text)
        if begun is None:
            self.failed.emit("The tokens of this target are not those of its text.", "Write it anew.", "")
        else:
            self._write(begun)

    def show_version(self, step: int) -> None:
        """The target before (-1) or after (1) the one shown."""
        if self.running is None and 0 <= self._number + step < len(self._targets):
            self._show(self._number + step)

    def _write(self, begun: Branch) -> None:
        sampling = self._presets.sampling
        uses = self._adapters.uses
        self._start(Generate(begun.prompt, sampling, self._captures.capture_params(), adapters=uses))
        assert self.running is not None
        self._drawing = sampling.beams == 1
        target = Target(_key(self.running.id), begun.text, begun.text)
        self._captures.adopt(target.key, begun.kept, begun.drawings)
        self._targets.append(target)
        self._show(len(self._targets) - 1)
        self._captures.set_context(target.key, begun.prompt, adapters=uses)
        self._captures.begin(target.key, self.running.id)

    def _show(self, number: int) -> None:
        """Bring a target to the screen, and its tokens to the panes."""
        self._number = number
        if self.target_key:
            self._captures.show((self.target_key,))
        self.versions_changed.emit()
        self.target_changed.emit(self.target)
        self.beams_changed.emit(self._shown.beams)

    def fill(self, text: str) -> None:
        self._read_by = self._adapters.uses
        self._start(Fill(text, adapters=self._read_by))

    def classify(self, text: str) -> None:
        self._text = text
        self._read_by = self._adapters.uses
        self._start(Classify(text, adapters=self._read_by))

    def embed(self, texts: tuple[str, ...]) -> None:
        self._start(Embed(texts, self._adapters.uses))

    def find(self, text: str) -> None:
        """The words nearest to a sum of words, written as in "king - man + woman"."""
        plus, minus = arithmetic(text)
        self._start(NearestWords(plus, minus))

    def stop(self) -> None:
        """End what runs; what it has written stays."""
        if self.running is not None:
            self.running.cancel()

    # --- what comes of it ---------------------------------------------------------------------------------------------

    def _start(self, command: Command) -> None:
        self.stop()
        self._drawing = False
        self.running = self._workspace.submit(command, self._take)
        self.running_changed.emit(self.running)

    def _take(self, event: Event) -> None:
        if self.running is None or event.run != self.running.id:
            return
        match event:
            case Tokens(text=text):
                self._set_target(self.target + text)
            case Beams(beams=beams) if self._targets:
                self._shown.beams = tuple(dataclasses.replace(b, text=self._shown.begun + b.text) for b in beams)
                self._set_target(self._shown.beams[0].text if beams else self._shown.begun)
                self.beams_changed.emit(self._shown.beams)
            case Generated(text=text):
                self._set_target(self._shown.begun + text)
            case Filled(ids=ids, masks=masks):
                self._captures.watch(f"text-{event.run}", Prompt(ids=ids), masks[0][0], self._read_by)
                self.filled.emit(event)
            case Classified():
                self._captures.watch(f"text-{event.run}", Prompt(text=self._text), adapters=self._read_by)
                self.classified.emit(event)
            case Embedded():
                self.embedded.emit(event)
            case Nearest():
                self.nearest.emit(event)
            case Progress():
                self.progress.emit(event)
            case Done() | Failed():
                self.running, self._drawing = None, False
                if self.target_key == _key(event.run) and self.target == self._shown.begun:  # not a word came
                    self._targets.pop()
                    self._show(max(0, len(self._targets) - 1))
                self.running_changed.emit(None)
                if isinstance(event, Failed):
                    self.failed.emit(event.message, event.hint, event.details)

    def _set_target(self, text: str) -> None:
        if self._targets and text != self.target:  # there are none once another model is loaded
            self._shown.text = text
            self.target_changed.emit(text)

    def _on_model(self, info: ModelInfo | None) -> None:
        """What another model wrote is not this one's."""
        self._prompt = Prompt()
        self._targets.clear()
        self._show(0)

    def _on_sampling(self, sampling: SamplingParams) -> None:
        if self.running is not None and self._drawing:
            self._workspace.submit(Retune(self.running.id, sampling=sampling))


def _key(run: int) -> str:
    """What the target that a run writes is called in Captures."""
    return f"target-{run}"
