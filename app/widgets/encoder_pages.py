"""What can be asked of an encoder, a page each: a mask's fillers, a text's labels, words near to a sum of words.

Each shows the event it is given and says what the person wants; none knows who answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QLabel, QLineEdit, QPushButton, QVBoxLayout

from app.widgets.ask_text import AskPage, TextField
from app.widgets.bar_table import BarTable
from app.widgets.named import named
from app.widgets.pieces import percent, visible
from engine import Filler

MASK = "[MASK]"
MASKS = re.compile(r"\[MASK\]|<mask>")
SHOWN = 10  # fillers of a mask


def put(text: str, number: int, token: str, spaced: bool) -> str:
    """The text with this token in place of its mask of this number, counted from 0.

    spaced: words of this vocabulary begin with a blank, so that a token without one goes on with the word before it.
    """
    places = list(MASKS.finditer(text))
    if number >= len(places):
        return text
    before, after = text[: places[number].start()], text[places[number].end() :]
    if token.startswith("##") or (spaced and not token.startswith(" ")):
        return before.rstrip(" ") + token.removeprefix("##") + after
    return before + (token.lstrip(" ") if before.endswith(" ") or not before else token) + after


class FillPage(AskPage):
    """accepted: a filler was taken and masks are left, so the text should be filled again."""

    accepted = Signal()

    def __init__(self) -> None:
        words = "Write a text with masks: the model says which words could stand there. Click a word to accept it."
        super().__init__(words, "Fill", "Fill the masks")
        self.field = TextField("maskedText", "Text with masks", f"The capital of France is {MASK}.")
        self.field.textChanged.connect(self._on_text)
        self.field.submitted.connect(self.ask)
        self.insert = named(QPushButton("Insert mask"), "insertMask")
        self.insert.setToolTip(f"Write {MASK} at the cursor")
        self.insert.clicked.connect(self._on_insert)
        self.foot.insertWidget(0, self.insert)
        self.body.addWidget(self.field)
        self.body.addLayout(self.foot)
        self._results = QVBoxLayout()
        self._results.setSpacing(8)
        self.body.addLayout(self._results)
        self.tables: list[BarTable] = []
        self._on_text()

    @property
    def text(self) -> str:
        return self.field.toPlainText()

    def show_masks(self, masks: Sequence[tuple[int, Sequence[Filler]]]) -> None:
        """The fillers of every mask, in the order of the text."""
        self.forget()
        for number, (_, fillers) in enumerate(masks):
            name = QLabel(f"Mask {number + 1}")
            name.setProperty("role", "heading")
            table = BarTable(f"Fillers of mask {number + 1}", ("Token", "Probability"), choosable=True)
            best = list(fillers[:SHOWN])
            table.show_rows([(visible(each.token, 40), each.probability, percent(each.probability)) for each in best])
            spaced = any(each.token.startswith(" ") for each in fillers)
            table.chosen.connect(
                lambda row, number=number, best=best, spaced=spaced: self._accept(number, best[row].token, spaced)
            )
            self._results.addWidget(name)
            self._results.addWidget(table)
            self.tables.append(table)

    def _accept(self, number: int, token: str, spaced: bool) -> None:
        self.field.setPlainText(put(self.text, number, token, spaced))
        self.field.setFocus()
        if MASKS.search(self.text):
            self.accepted.emit()

    def _on_insert(self) -> None:
        self.field.insertPlainText(MASK)
        self.field.setFocus()

    def _on_text(self) -> None:
        self.forget()
        self.set_ready(bool(MASKS.search(self.text)))

    def forget(self) -> None:
        """What was found belongs to another text or another model."""
        self.tables = []
        while (item := self._results.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()


class LabelPage(AskPage):
    """A text, and how likely each label is."""

    def __init__(self) -> None:
        words = "For models with a classification head, for example one that tells good reviews from bad ones."
        super().__init__(words, "Classify", "Classify the text")
        self.field = TextField("labelledText", "Text to classify", "A text to name the class of")
        self.field.textChanged.connect(self._on_text)
        self.field.submitted.connect(self.ask)
        self.table = BarTable("Labels", ("Label", "Probability"))
        for part in (self.field, self.table):
            self.body.addWidget(part)
        self.body.insertLayout(1, self.foot)
        self._on_text()

    @property
    def text(self) -> str:
        return self.field.toPlainText()

    def show_labels(self, labels: Sequence[tuple[str, float]]) -> None:
        self.table.show_rows([(label, share, percent(share)) for label, share in labels])
        self.table.show()

    def forget(self) -> None:
        """What was found belongs to another text or another model."""
        self.table.hide()

    def _on_text(self) -> None:
        self.forget()
        self.set_ready(bool(self.text.strip()))


class WordPage(AskPage):
    """A sum of words, and the words nearest to it."""

    def __init__(self) -> None:
        words = "Adds and subtracts the input embeddings of words and shows the nearest ones by cosine."
        super().__init__(words, "Find", "Find the nearest words")
        self.field = named(QLineEdit(), "wordSum", "Words to add and subtract")
        self.field.setPlaceholderText("king - man + woman")
        self.field.textChanged.connect(self._on_text)
        self.field.returnPressed.connect(self.ask)
        self.table = BarTable("Nearest words", ("Word", "Cosine"))
        for part in (self.field, self.table):
            self.body.addWidget(part)
        self.body.insertLayout(1, self.foot)
        self._on_text()

    @property
    def text(self) -> str:
        return self.field.text()

    def show_words(self, words: Sequence[tuple[str, float]]) -> None:
        self.table.show_rows([(visible(word, 40), cosine, f"{cosine:.3f}") for word, cosine in words])
        self.table.show()

    def forget(self) -> None:
        """What was found belongs to another text or another model."""
        self.table.hide()

    def _on_text(self) -> None:
        self.forget()
        self.set_ready(bool(self.text.strip(" +-")))
