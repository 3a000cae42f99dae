"""What is kept on the disk of quantised models, and the button that removes it after one question."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.widgets.model_card import size_words, words
from app.widgets.named import named
from engine import Kept

WHY = "A model is quantised once; what came of it is kept, so that it loads sooner the next time."
QUESTION = "Remove it? Each model is then quantised anew when it is next loaded, which can take minutes."


class KeptLine(QWidget):
    """Hidden while nothing is kept. cleared: the person has said yes."""

    cleared = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._told = words("", "caption")
        self._told.setToolTip(WHY)
        self._told.setAccessibleDescription(WHY)
        self.clear = named(QPushButton("Clear"), "keptClear", "Remove what is kept of quantised models")
        self.clear.clicked.connect(lambda: self._ask(True))
        self.question = words(QUESTION, "caption")
        self.yes = named(QPushButton("Remove"), "keptRemove", "Remove what is kept")
        self.yes.clicked.connect(self._remove)
        self.no = named(QPushButton("Keep"), "keptKeep", "Keep what is kept")
        self.no.clicked.connect(lambda: self._ask(False))
        line = QHBoxLayout()
        line.addWidget(self._told, 1)
        line.addWidget(self.clear, 0, Qt.AlignmentFlag.AlignTop)
        answers = QHBoxLayout()
        answers.addWidget(self.yes)
        answers.addWidget(self.no)
        answers.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addLayout(line)
        column.addWidget(self.question)
        column.addLayout(answers)
        self._ask(False)
        self.show_kept(None, False)

    @property
    def words(self) -> str:
        return self._told.text()

    def show_kept(self, kept: Kept | None, clearing: bool) -> None:
        """How much there is; None: it has not been counted."""
        self.setVisible(clearing or bool(kept and kept.models))
        if clearing:
            self._told.setText("Removing quantised models")
        elif kept is not None:
            count = f"{kept.models:,} quantised model{'s' * (kept.models != 1)}"
            self._told.setText(f"{count} on the disk: {size_words(kept.nbytes)}")
        self.clear.setEnabled(not clearing)

    def _ask(self, asking: bool) -> None:
        focused = self.hasFocus() or any(each.hasFocus() for each in (self.clear, self.yes, self.no))
        for widget in (self.question, self.yes, self.no):
            widget.setVisible(asking)
        self.clear.setVisible(not asking)
        if focused:
            (self.no if asking else self.clear).setFocus()

    def _remove(self) -> None:
        self._ask(False)
        self.cleared.emit()
