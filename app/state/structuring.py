"""The form of the next answer while it is written and tried out: whether it can be read, and what fits it.

It knows no editor. The engine judges; of several questions only the latest is answered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from PySide6.QtCore import QObject, QThreadPool, Signal

from app.state.workspace import Workspace
from engine import CheckStructure, Event, Failed, Run, SamplingParams, StructureChecked

LARGEST = 2**16  # bytes of a file; it is kept among the settings, and longer forms are not written by hand


@dataclass(frozen=True, slots=True)
class Verdict:
    """On a form (schema, regex or grammar) and a text. problem: why the form cannot be used, "" where it can.

    fits: how many characters of the text can begin an answer of that form. complete: whether the text is one.
    """

    form: str
    source: str
    text: str
    problem: str = ""
    fits: int = 0
    complete: bool = False


class Structuring(QObject):
    """judged: Verdict. opened: the text of a file. failed: one sentence on why there is none."""

    judged = Signal(object)
    opened = Signal(str)
    failed = Signal(str)

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._run: Run | None = None
        self._asked = Verdict("", "", "")

    def judge(self, form: str, source: str, text: str) -> None:
        """Ask about a form and a text; an earlier question is dropped."""
        if self._run is not None:
            self._run.cancel()
        self._asked = Verdict(form, source, text)
        question = CheckStructure(SamplingParams(**{form: source}), text)  # type: ignore[arg-type]
        self._run = self._workspace.submit(question, self._take)

    def open(self, path: str) -> None:
        """Read a form from a file."""
        QThreadPool.globalInstance().start(lambda: self._read(Path(path)))

    def _read(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                data = file.read(LARGEST + 1)
            if len(data) > LARGEST:
                self.failed.emit(f"{path.name} is larger than {LARGEST // 1024} kB.")
            else:
                self.opened.emit(data.decode("utf-8-sig").rstrip("\r\n"))
        except OSError as error:
            self.failed.emit(f"{path.name} could not be read: {error.strerror or error}.")
        except UnicodeDecodeError:
            self.failed.emit(f"{path.name} is not a text in UTF-8.")

    def _take(self, event: Event) -> None:
        if self._run is None or event.run != self._run.id:
            return
        if isinstance(event, StructureChecked):
            self.judged.emit(replace(self._asked, fits=event.fits, complete=event.complete))
        elif isinstance(event, Failed):
            self.judged.emit(replace(self._asked, problem=f"{event.message} {event.hint}".strip()))
