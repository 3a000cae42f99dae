"""A model on its way into memory: what is being done, how far it is, how long it will take, and Cancel."""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout

from app.widgets.model_card import size_words
from app.widgets.named import named
from engine import Progress

SURE_AFTER = 1.0  # seconds of counting before a time left is worth saying


class LoadingStrip(QFrame):
    """Hidden while nothing loads. clock: seconds, for the time left."""

    cancelled = Signal()

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._phase = ""
        self._began = (0.0, 0)  # when the phase was first counted, and how far it was then
        self.setObjectName("card")
        self._name = QLabel(wordWrap=True)
        self._name.setProperty("role", "name")
        self._words = QLabel(wordWrap=True)
        self._words.setProperty("role", "caption")
        self._bar = named(QProgressBar(), "loadingBar", "Loading the model")
        self._bar.setTextVisible(False)
        self.cancel = named(QPushButton("Cancel"), "loadingCancel", "Cancel loading")
        self.cancel.clicked.connect(self.cancelled)
        top = QHBoxLayout()
        top.addWidget(self._name, 1)
        top.addWidget(self.cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 8, 10)
        column.setSpacing(6)
        column.addLayout(top)
        column.addWidget(self._bar)
        column.addWidget(self._words)
        self.hide()

    @property
    def words(self) -> str:
        return self._words.text()

    def show_progress(self, name: str, progress: Progress | None) -> None:
        """progress counts bytes where it counts; None: nothing loads any more."""
        self.setVisible(progress is not None)
        if progress is None:
            self._phase = ""
            return
        if progress.phase != self._phase:
            self._phase, self._began = progress.phase, (self._clock(), progress.done)
        self._name.setText(f"Loading {name}")
        self._bar.setRange(0, 1000 if progress.total else 0)
        parts = [progress.phase]
        if progress.total:
            self._bar.setValue(1000 * progress.done // progress.total)
            parts.append(f"{size_words(progress.done)} of {size_words(progress.total)}")
            parts.append(self._time_left(progress))
        self._words.setText(" · ".join(part for part in parts if part))

    def _time_left(self, progress: Progress) -> str:
        since, first = self._began
        passed = self._clock() - since
        if passed < SURE_AFTER or progress.done <= first:
            return ""
        left = passed * (progress.total - progress.done) / (progress.done - first)
        return f"{left:.0f} s left" if left < 90 else f"{left / 60:.0f} min left"
