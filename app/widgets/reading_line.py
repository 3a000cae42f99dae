"""The line above the composer: what is being done before the words come, or which of several answers is written."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from app.widgets.named import named, slim_bar
from engine import Progress


class ReadingLine(QWidget):
    """Nothing while words come; its space stays."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(18)
        self._words = named(QLabel(), "caption")
        self._bar = slim_bar("Progress", 160)
        row = QHBoxLayout(self)
        row.setContentsMargins(2, 0, 2, 0)
        row.addWidget(self._words)
        row.addWidget(self._bar, 0, Qt.AlignmentFlag.AlignVCenter)
        row.addStretch(1)
        self._bar.hide()

    def show_progress(self, progress: Progress | None) -> None:
        """None clears the line; its space stays."""
        if progress is None and not self._words.text():
            return
        counted = progress is not None and progress.total > 0
        self._bar.setVisible(counted)
        if progress is None:
            self._words.clear()
        elif counted:
            self._words.setText(f"{progress.phase.capitalize()} {progress.done:,} of {progress.total:,} tokens")
            self._bar.setRange(0, progress.total)
            self._bar.setValue(progress.done)
        else:
            self._words.setText(progress.phase)
