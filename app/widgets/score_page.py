"""A text to score, the model to compare with, and what came of it: perplexity, the coloured text, the differences."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QLabel, QPushButton

from app.widgets.ask_text import AskPage, TextField
from app.widgets.difference_text import DifferenceText
from app.widgets.ink import current_ink
from app.widgets.named import named
from app.widgets.second_chooser import SecondChooser
from app.widgets.token_strip import TokenStrip
from engine import TokenRecord

AT_ONCE = 100  # tokens shown between two frames
WORDS = "How likely the model finds a text: the probability, surprise and entropy of each of its tokens."


class ScorePage(AskPage):
    """file_wanted: the person asked for a file. token_chosen: index of a token."""

    file_wanted = Signal()
    token_chosen = Signal(int)

    def __init__(self, size: int) -> None:
        """size: of the text, in pixels."""
        super().__init__(WORDS, "Score", "Score the text")
        self.source = TextField("scoredSource", "Source", "What the encoder reads", 60)
        self.field = TextField("scoredText", "Text to score", "Paste a text here", 110)
        for field in (self.source, self.field):
            field.textChanged.connect(self._on_text)
            field.submitted.connect(self.ask)
        self.open = named(QPushButton("Open a file"), "openText")
        self.open.clicked.connect(self.file_wanted)
        self.seconds = SecondChooser()
        self.foot.insertWidget(0, self.open)
        self.summary = QLabel(wordWrap=True)
        self.summary.setProperty("role", "name")
        self.note = named(QLabel(wordWrap=True), "caption")
        self._records: Sequence[TokenRecord] = ()
        self._stretches: Sequence[tuple[str, float, float]] = ()
        self._whose = ""
        self._more = QTimer(self, singleShot=True, interval=0)
        self._more.timeout.connect(self._go_on)
        self.strip = TokenStrip(current_ink(size))
        self.strip.text.setAccessibleName("Tokens of the scored text")
        self.strip.focused.connect(self.token_chosen)
        self.difference = DifferenceText(size)
        self.body.addWidget(self.source)
        self.body.addWidget(self.field)
        self.body.addWidget(self.seconds)
        self.body.addLayout(self.foot)
        for part in (self.summary, self.note, self.strip, self.difference):
            self.body.addWidget(part)
        self.show_kind("")
        self.forget()
        self._on_text()

    def show_kind(self, kind: str) -> None:
        """Of the loaded model: an encoder-decoder needs a source."""
        self.source.setVisible(kind == "encoder-decoder")
        self._on_text()

    def show_scores(self, summary: str, note: str, records: Sequence[TokenRecord], before: str) -> None:
        """before: what stands before the first scored token."""
        self.summary.setText(summary)
        self.note.setText(note)
        if records is not self._records:
            self._records = records
            self.strip.set(records[:AT_ONCE], before)
            self._go_on()
        for part, shown in ((self.summary, summary), (self.note, note), (self.strip, records)):
            part.setVisible(bool(shown))

    def _go_on(self) -> None:
        """Some more of the tokens, the rest between two frames; behind them the differences, which do the same."""
        if self.strip.count < len(self._records):
            self.strip.append(self._records[self.strip.count : self.strip.count + AT_ONCE])
            self._more.start()
        else:
            self.difference.show_stretches(self._stretches, self._whose)
            self.difference.setVisible(bool(self._stretches))

    def show_difference(self, stretches: Sequence[tuple[str, float, float]], words: str) -> None:
        self._stretches, self._whose = stretches, words
        self.difference.hide()
        if not self._more.isActive():
            self._go_on()

    def forget(self) -> None:
        """What was found is another text's or another model's."""
        self.show_scores("", "", (), "")
        self.show_difference((), "")

    def _on_text(self) -> None:
        sourced = self.source.isHidden() or bool(self.source.toPlainText().strip())
        self.set_ready(bool(self.field.toPlainText().strip()) and sourced)
