"""A text that is scored: by the loaded model, and, to compare, by the second one or through an adapter; and files.

The first reading is the model's own: adapters that are on in the chat have no say in it, so that there is always one to
compare with. Its tokens go to Captures under a name of their own, so that the other panes show them like any answer's.
"""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject, QRunnable, QThreadPool, Signal

from app.state.adapters import USUAL, Adapters, changed_by
from app.state.captures import Captures
from app.state.scored import Stretch, stretches
from app.state.second import Second
from app.state.workspace import Workspace
from engine import AdapterUse, Done, Event, Failed, ModelInfo, Progress, Prompt, Run, Score, Scored

CANDIDATES = 10
LONGEST = 20_000  # characters of a text whose tokens are recorded; of longer ones there is the sum
LARGEST = 2_000_000  # bytes of a file: more would take hours to score


class _Reading(QRunnable):
    """Reads a file where it does not hold up the window."""

    def __init__(self, path: str, scoring: Scoring) -> None:
        super().__init__()
        self._path, self._scoring = Path(path), scoring

    def run(self) -> None:
        name = self._path.name
        try:
            if self._path.stat().st_size > LARGEST:
                self._scoring.failed.emit(f"{name} is too large to score.", "Take a part of it, 2 MB at most.", "")
                return
            self._scoring.opened.emit(self._path.read_bytes().decode("utf-8"))
        except OSError as error:
            self._scoring.failed.emit(f"{name} cannot be read: {error.strerror}.", "Choose another file.", "")
        except UnicodeDecodeError:
            self._scoring.failed.emit(f"{name} is not a text in UTF-8.", "Save it as plain text.", "")


class Scoring(QObject):
    """running_changed: whether a text is being scored. scored: there are results, or none any more.

    opened: the text of a file. progress: Progress. choice_changed: what there is to compare with, or what is chosen.
    failed: message, hint, details.
    """

    running_changed = Signal(bool)
    progress = Signal(object)
    scored = Signal()
    opened = Signal(str)
    choice_changed = Signal()
    failed = Signal(str, str, str)

    def __init__(self, workspace: Workspace, captures: Captures, second: Second, adapters: Adapters) -> None:
        super().__init__()
        self._workspace = workspace
        self._captures = captures
        self._second = second
        self._adapters = adapters
        self._runs: dict[int, tuple[Run, bool]] = {}  # each with whether it is the one to compare with
        self.adapter = ""
        """The path of the adapter that the model is compared with itself through, "" for none."""
        self.strength = USUAL
        self.compared = ""
        """What the text was, or is being, compared with, in words."""
        self.key = ""
        self.text = ""
        self.first: Scored | None = None
        self.other: Scored | None = None
        workspace.model_changed.connect(self._on_model)
        second.changed.connect(self._on_second)
        adapters.changed.connect(self._on_adapters)

    @property
    def running(self) -> bool:
        return bool(self._runs)

    @property
    def info(self) -> ModelInfo | None:
        return self._workspace.info

    @property
    def differences(self) -> list[Stretch]:
        """The text as both models have scored it; [] where one of them has not, or has read another text."""
        if self.first is None or self.other is None:
            return []
        return stretches(self.first.records, self.other.records)

    def choose(self, path: str) -> None:
        """Compare with the model as this adapter changes it; "" with the second model, where there is one."""
        self.adapter = path
        self.choice_changed.emit()

    def set_strength(self, strength: float) -> None:
        self.strength = strength
        self.choice_changed.emit()

    def open(self, path: str) -> None:
        """Read a file; `opened` brings its text."""
        QThreadPool.globalInstance().start(_Reading(path, self))

    def score(self, text: str, source: str = "") -> None:
        """Have a text scored, and by what it is compared with, if anything. source: what an encoder-decoder reads."""
        self.stop()
        self.text, self.first, self.other = text, None, None
        self.scored.emit()
        prompt = Prompt(text=text, source=source or None)
        candidates = CANDIDATES if len(text) <= LONGEST else 0
        commands, other = [Score(prompt, candidates)], self._second.info
        self.compared = ""
        if self.adapter and self.info is not None:
            uses = (AdapterUse(self.adapter, self.strength),)
            commands.append(Score(prompt, candidates, adapters=uses))
            self.compared = f"{self.info.name} {changed_by(uses)}".strip()
        elif other is not None:
            commands.append(Score(prompt, candidates, second=True))
            self.compared = other.name
        self._runs = {}
        for command in commands:
            run = self._workspace.submit(command, self._take)
            self._runs[run.id] = (run, command is not commands[0])
        self.running_changed.emit(True)

    def stop(self) -> None:
        for run, _ in self._runs.values():
            run.cancel()

    def focus(self, index: int) -> None:
        """Look at one token in the other panes."""
        self._captures.show((self.key,))
        self._captures.focus(self.key, index)

    def _take(self, event: Event) -> None:
        if event.run not in self._runs:
            return
        match event:
            case Progress():
                self.progress.emit(event)
            case Scored():
                self._keep(event, self._runs[event.run][1])
            case Done() | Failed():
                del self._runs[event.run]
                if isinstance(event, Failed):
                    self.stop()
                    self.failed.emit(event.message, event.hint, event.details)
                if not self._runs:
                    self.running_changed.emit(False)

    def _keep(self, event: Scored, compared: bool) -> None:
        if compared:
            self.other = event
        else:
            self.first = event
            self.key = f"scored-{event.run}"
            if self._workspace.info is not None and self._workspace.info.kind == "decoder":
                self._captures.set_context(self.key, Prompt(ids=event.ids[:1]))
            self._captures.adopt(self.key, event.records, ())
        self.scored.emit()

    def _on_model(self, _: ModelInfo | None) -> None:
        self._forget()

    def _on_second(self, _: ModelInfo | None) -> None:
        if not self.adapter:
            self.other = None
            self.scored.emit()

    def _on_adapters(self) -> None:
        """An adapter that is gone, or that the model cannot take, is not chosen any more."""
        if self.adapter not in [path for _, path, why in self._adapters.offers() if not why]:
            self.adapter = ""
        self.choice_changed.emit()

    def _forget(self) -> None:
        """What another model found is not this one's."""
        self.stop()
        self.first = self.other = None
        self.scored.emit()
