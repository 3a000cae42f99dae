"""The line that offers to read a text again, says why or what it costs, and shows how far that is."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QWidget

from app.widgets.named import named
from engine import Progress


class ReaderLine(QWidget):
    """asked: read now. cancelled: stop reading."""

    asked = Signal()
    cancelled = Signal()

    def __init__(self, button: str, hint: str) -> None:
        super().__init__()
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setProperty("role", "caption")
        self.button = QPushButton(button)
        self.button.setToolTip(hint)
        self.button.clicked.connect(self.asked)
        self.progress = named(QProgressBar(), "readerProgress", "Reading again")
        self.progress.setTextVisible(False)
        self.cancel = QPushButton("Cancel")
        self.cancel.clicked.connect(self.cancelled)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.words, 1)
        line.addWidget(self.progress, 1)
        line.addWidget(self.button)
        line.addWidget(self.cancel)

    def show_reading(self, progress: Progress | None, words: str, can_ask: bool = True) -> None:
        """How far it is, or else these words, and whether it can be asked for; nothing at all without either."""
        running = progress is not None
        self.setVisible(running or bool(words))
        self.progress.setVisible(running)
        self.cancel.setVisible(running)
        self.button.setVisible(not running and can_ask)
        if progress is not None:
            self.progress.setRange(0, progress.total)
            self.progress.setValue(progress.done)
            words = f"{progress.phase} {progress.done:,} of {progress.total:,}" if progress.total else progress.phase
        self.words.setText(words)
