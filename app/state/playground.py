"""What is tried with a model that does not chat: a target for a source, and what an encoder says of a text.

One request at a time: a new one takes the place of the one before, whose last events are then passed over. It keeps no
answer; a target's token records go to Captures under a name of their own, so that the panes show them like any other,
and so do the texts that an encoder reads.
"""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from app.state.captures import Captures
from app.state.presets import Presets
from app.state.workspace import Workspace
from engine import (
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


class Playground(QObject):
    """running_changed: Run | None. progress: Progress. failed: message, hint, details.

    target_changed: the whole target so far. beams_changed: tuple of Beam. The rest carry the events of their names.
    """

    running_changed = Signal(object)
    progress = Signal(object)
    failed = Signal(str, str, str)
    target_changed = Signal(str)
    beams_changed = Signal(object)
    filled = Signal(object)
    classified = Signal(object)
    embedded = Signal(object)
    nearest = Signal(object)

    def __init__(self, workspace: Workspace, captures: Captures, presets: Presets) -> None:
        super().__init__()
        self._workspace = workspace
        self._captures = captures
        self._presets = presets
        self._drawing = False  # a target is being written token by token, so that new settings count
        self._text = ""  # to classify
        self.running: Run | None = None
        self.target = ""
        self.target_key = ""  # of the target's records in Captures
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

    # --- what is asked ------------------------------------------------------------------------------------------------

    def write(self, source: str, task: str = "") -> None:
        """Write a target for a source: by beams where the sampling asks for more than one, else token by token."""
        sampling = self._presets.sampling
        prompt = Prompt(source=self.tasks.get(task, "") + source)
        self._set_target("")
        self.beams_changed.emit(())
        self._start(Generate(prompt, sampling, self._captures.capture_params()))
        assert self.running is not None
        self._drawing = sampling.beams == 1
        self.target_key = f"target-{self.running.id}"
        self._captures.show((self.target_key,))
        self._captures.set_context(self.target_key, prompt)
        self._captures.begin(self.target_key, self.running.id)

    def fill(self, text: str) -> None:
        self._start(Fill(text))

    def classify(self, text: str) -> None:
        self._text = text
        self._start(Classify(text))

    def embed(self, texts: tuple[str, ...]) -> None:
        self._start(Embed(texts))

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
            case Beams(beams=beams):
                self._set_target(beams[0].text if beams else "")
                self.beams_changed.emit(beams)
            case Generated(text=text):
                self._set_target(text)
            case Filled(ids=ids, masks=masks):
                self._captures.watch(f"text-{event.run}", Prompt(ids=ids), masks[0][0])
                self.filled.emit(event)
            case Classified():
                self._captures.watch(f"text-{event.run}", Prompt(text=self._text))
                self.classified.emit(event)
            case Embedded():
                self.embedded.emit(event)
            case Nearest():
                self.nearest.emit(event)
            case Progress():
                self.progress.emit(event)
            case Done() | Failed():
                self.running, self._drawing = None, False
                self.running_changed.emit(None)
                if isinstance(event, Failed):
                    self.failed.emit(event.message, event.hint, event.details)

    def _set_target(self, text: str) -> None:
        if text != self.target:
            self.target = text
            self.target_changed.emit(text)

    def _on_model(self, info: ModelInfo | None) -> None:
        """What another model wrote is not this one's."""
        self._set_target("")
        self.beams_changed.emit(())

    def _on_sampling(self, sampling: SamplingParams) -> None:
        if self.running is not None and self._drawing:
            self._workspace.submit(Retune(self.running.id, sampling=sampling))
