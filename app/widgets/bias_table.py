"""Logit biases as a small table: a text, what is added to its tokens, and which tokens of the loaded model these are.

It knows no tokenizer: the pieces of its texts come from outside, and are left out while they are not known.
"""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from app import theme
from app.widgets.named import named, quiet_button
from app.widgets.pieces import worded
from app.widgets.text_row import TextRow, drawn, meant, typed, words_of
from app.widgets.value_edit import ValueEdit
from engine import Param

BIAS = Param(5.0, -100.0, 100.0, 0.5, label="Bias")
MOST = 12  # pieces told of one text
Pair = tuple[str, float]
Pieces = tuple[tuple[int, str], ...]


class BiasLine(QWidget):
    """One text. changed: its number. removed: it is to go."""

    changed = Signal(float)
    removed = Signal()

    def __init__(self, text: str) -> None:
        super().__init__()
        # It may break after any character: a long one must not make the whole dock wide.
        words = QLabel("\N{ZERO WIDTH SPACE}".join(drawn(text)), textFormat=Qt.TextFormat.PlainText, wordWrap=True)
        words.setFont(theme.font(mono=True))
        self.edit = named(ValueEdit(BIAS), "biasValue", f"Bias of {typed(text)}")
        self.edit.setFixedWidth(68)
        self.edit.changed.connect(self.changed)
        self.remove = quiet_button("biasRemove", f"Remove the bias of {typed(text)}")
        self.remove.clicked.connect(self.removed)
        self._told = QLabel(wordWrap=True, textFormat=Qt.TextFormat.PlainText)
        self._told.setProperty("role", "caption")
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(words, 1)
        line.addWidget(self.edit)
        line.addWidget(self.remove)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(line)
        column.addWidget(self._told)
        theme.theme_changed.connect(self._tint)
        self._tint()

    @property
    def told(self) -> str:
        return self._told.text()

    def tell(self, words: str) -> None:
        """What the text is to the model."""
        self._told.setText(words)
        self._told.setVisible(bool(words))
        self.edit.setAccessibleDescription(words)

    def _tint(self, *_: object) -> None:
        self.remove.setIcon(theme.icon("x", 16, "muted"))


class BiasTable(TextRow):
    """The setting. Its value: pairs of a text and a number."""

    def __init__(self) -> None:
        super().__init__(words_of("logit_bias"), ())
        self.entry = named(QLineEdit(), "biasEntry", "Text to bias")
        self.entry.setPlaceholderText("A text, or #123")
        self.entry.returnPressed.connect(self._add)
        self.number = named(ValueEdit(BIAS), "biasNumber", "Bias of the text to add")
        self.number.setFixedWidth(68)
        self.number.returnPressed.connect(self._add)
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self.entry, 1)
        line.addWidget(self.number)
        line.addSpacing(32)  # the crosses beneath
        self._lines = QVBoxLayout()
        self._lines.setSpacing(4)
        self.column.addLayout(line)
        self.column.addLayout(self._lines)
        self.lines: list[BiasLine] = []

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(text for text, _ in self.value)

    def set_value(self, value: tuple[Pair, ...]) -> None:
        known = self.texts
        super().set_value(value)
        if self.texts != known:
            self._rebuild()
        for line, (_, number) in zip(self.lines, value):
            line.edit.set_number(number)

    def show_pieces(self, pieces: Mapping[str, Pieces], vocabulary: int) -> None:
        """The tokens of the texts, as far as they are known. vocabulary: how many the model has, 0 without a model."""
        for line, text in zip(self.lines, self.texts):
            if not vocabulary:
                line.tell("Load a model to see its tokens.")
            elif text in pieces:
                line.tell(pieces_words(pieces[text], vocabulary))

    def _rebuild(self) -> None:
        self.lines.clear()
        while (item := self._lines.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        for place, text in enumerate(self.texts):
            line = BiasLine(text)
            line.changed.connect(lambda number, place=place: self._change(place, number))
            line.removed.connect(lambda place=place: self._remove(place))
            self.lines.append(line)
            self._lines.addWidget(line)

    def _add(self) -> None:
        self.entry.setFocus()
        text = meant(self.entry.text())
        if not text:
            return
        self.entry.clear()
        pair = (text, self.number.number)
        if text in self.texts:
            self._choose(tuple(pair if known == text else (known, number) for known, number in self.value))
        else:
            self._choose((*self.value, pair))

    def _change(self, place: int, number: float) -> None:
        pairs = list(self.value)
        pairs[place] = (pairs[place][0], number)
        self._choose(tuple(pairs))

    def _remove(self, place: int) -> None:
        self._choose(tuple(pair for each, pair in enumerate(self.value) if each != place))
        if self.lines:
            self.lines[min(place, len(self.lines) - 1)].remove.setFocus()
        else:
            self.entry.setFocus()

    def _choose(self, pairs: tuple[Pair, ...]) -> None:
        if pairs != self.value:
            self.set_value(pairs)
            self.changed.emit(pairs)


def pieces_words(pieces: Pieces, vocabulary: int) -> str:
    """On which tokens the bias of a text acts."""
    once = dict(pieces)
    known = [f"{worded(piece)} #{id}" for id, piece in once.items() if id < vocabulary]
    if not known:
        return "The model has no token for it, so nothing is biased."
    if len(known) == 1:
        return f"One token: {known[0]}"
    more = f" and {len(known) - MOST} more" if len(known) > MOST else ""
    return f"{len(known)} tokens: {', '.join(known[:MOST])}{more}. Each is biased by itself, wherever it may come."
