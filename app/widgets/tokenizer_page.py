"""One text as several tokenizers cut it: the pieces in print, and ids, pieces and bytes as a table, a column each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QColor, QResizeEvent, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.widgets.ask_text import TextField
from app.widgets.flowing import FlowingText
from app.widgets.ink import current_ink
from app.widgets.named import named, quiet_button
from app.widgets.pieces import visible
from app.widgets.row_table import RowTable
from engine import Tokenized

WORDS = "The same text, cut by the tokenizers of several models. Nothing is loaded for it."
EXAMPLE = "taco bell\ntacobell"
PAUSE = 150  # milliseconds without a key before the text is cut anew
LEAST = 240  # pixels: a column is no narrower
HEAD = ("Id", "Piece", "Bytes")


class TokenizerColumn(QFrame):
    """One tokenizer. chosen: the path of another."""

    chosen = Signal(str)
    removed = Signal()

    def __init__(self, number: int) -> None:
        super().__init__()
        named(self, "card")
        self.setMinimumWidth(LEAST)
        self._found: Tokenized | None = None
        self.models = named(QComboBox(), f"tokenizer{number}", f"Tokenizer {number + 1}")
        self.models.setMinimumWidth(64)
        self.models.activated.connect(lambda index: self.chosen.emit(self.models.itemData(index)))
        self.close_button = quiet_button(f"tokenizerRemove{number}", f"Remove tokenizer {number + 1}")
        self.close_button.clicked.connect(self.removed)
        head = QHBoxLayout()
        head.addWidget(self.models, 1)
        head.addWidget(self.close_button)
        self.count = QLabel(wordWrap=True)
        self.count.setProperty("role", "caption")
        self.pieces = FlowingText()
        self.pieces.setAccessibleName(f"Pieces of tokenizer {number + 1}")
        self.table = RowTable(f"tokens{number}", f"Tokens of tokenizer {number + 1}", HEAD, (1,))
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 10, 12, 10)
        column.setSpacing(6)
        column.addLayout(head)
        for part in (self.count, self.pieces, self.table):
            column.addWidget(part)
        column.addStretch(1)
        theme.theme_changed.connect(self._paint)
        self._paint()

    def show_choices(self, choices: Mapping[str, str], path: str) -> None:
        self.models.clear()
        for each, name in choices.items():
            self.models.addItem(name, each)
        self.models.setCurrentIndex(self.models.findData(path))

    def show_found(self, found: Tokenized | None) -> None:
        """What the tokenizer made of the text; None while it is at work."""
        if found is self._found and found is not None:
            return
        self._found = found
        rows = (
            [
                (str(id), visible(piece, 40), raw.hex(" ") or "none")
                for id, piece, raw in zip(found.ids, found.pieces, found.raw)
            ]
            if found
            else []
        )
        self.table.put(rows)
        self.table.setVisible(bool(rows))
        size = sum(map(len, found.raw)) if found else 0
        words = f"{len(rows):,} tokens · {size / len(rows):.2f} bytes a token" if rows else "No tokens"
        self.count.setText(f"{words} · {found.vocabulary:,} in the vocabulary" if found else "Cutting")
        self._paint()

    def _paint(self, *_: object) -> None:
        """The pieces, every other one on a ground of its own."""
        self.close_button.setIcon(theme.icon("x", 16, "muted"))
        now, ink = theme.current(), current_ink(theme.TRANSCRIPT)
        cursor = QTextCursor(self.pieces.document())
        cursor.select(QTextCursor.SelectionType.Document)
        cursor.removeSelectedText()
        gap = QTextCharFormat()
        for place, piece in enumerate(self._found.pieces if self._found else ()):
            form = ink.code_format()
            form.setBackground(QColor(now.selection if place % 2 else now.faint))
            cursor.insertText(visible(piece, 200), form)
            cursor.insertText("\n" if "\n" in piece else "\u200b", gap)


class TokenizerPage(QWidget):
    """text_changed: what is to be cut. put: a place and the path of a tokenizer for it. removed: a place.

    file_wanted: the person asked for a model that is not in the list.
    """

    text_changed = Signal(str)
    put = Signal(int, str)
    removed = Signal(int)
    file_wanted = Signal()

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self._choices: Mapping[str, str] = {}
        self._paths: Sequence[str] = ()
        self.columns: list[TokenizerColumn] = []
        self.field = TextField("tokenizedText", "Text to cut into tokens", "A text to cut into tokens", 72)
        self.add = named(QPushButton("Add a tokenizer"), "addTokenizer")
        self.add.clicked.connect(self._add)
        self.open = named(QPushButton("Open a model's file"), "openTokenizer")
        self.open.setToolTip("A .gguf file, or the tokenizer.json of a model's folder")
        self.open.clicked.connect(self.file_wanted)
        words = QLabel(WORDS, wordWrap=True)
        words.setProperty("role", "caption")
        self._grid = QGridLayout()
        self._grid.setSpacing(12)
        holder = QWidget()
        column = QVBoxLayout(holder)
        column.setContentsMargins(12, 10, 12, 12)
        column.setSpacing(8)
        column.addWidget(words)
        column.addWidget(self.field)
        foot = QHBoxLayout()
        foot.addWidget(self.add)
        foot.addWidget(self.open)
        foot.addStretch(1)
        column.addLayout(foot)
        column.addLayout(self._grid)
        column.addStretch(1)
        scroll = QScrollArea(widgetResizable=True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setFocusPolicy(scroll.focusPolicy().NoFocus)
        scroll.setWidget(holder)
        scroll.viewport().setAutoFillBackground(False)
        holder.setAutoFillBackground(False)
        page = QVBoxLayout(self)
        page.setContentsMargins(0, 0, 0, 0)
        page.addWidget(scroll)
        self._pause = QTimer(self, singleShot=True, interval=PAUSE)
        self._pause.timeout.connect(lambda: self.text_changed.emit(self.field.toPlainText()))
        self.field.textChanged.connect(self._pause.start)

    def show_tokenizers(self, choices: Mapping[str, str], paths: Sequence[str], found: Mapping[str, Tokenized]) -> None:
        """The models to choose from, those chosen, and what each made of the text."""
        self._choices, self._paths = choices, paths
        while len(self.columns) > len(paths):
            column = self.columns.pop()
            column.hide()
            column.deleteLater()
        while len(self.columns) < len(paths):
            self.columns.append(self._make(len(self.columns)))
        for column, path in zip(self.columns, paths):
            column.show_choices(choices, path)
            column.show_found(found.get(path))
            column.close_button.setVisible(len(paths) > 1)
        self.open.setEnabled(len(paths) < self._most)
        self.add.setEnabled(len(paths) < self._most and len(choices) > len(paths))
        self._place()

    def _make(self, number: int) -> TokenizerColumn:
        column = TokenizerColumn(number)
        column.chosen.connect(lambda path: self.put.emit(number, path))
        column.removed.connect(lambda: self.removed.emit(number))
        return column

    def _add(self) -> None:
        """The next model that is not looked at; its list is the place to choose another."""
        self.put.emit(len(self._paths), next(path for path in self._choices if path not in self._paths))

    def _place(self) -> None:
        across = max(1, min(len(self.columns), (self.width() - 24) // (LEAST + 12)))
        for column in self.columns:
            self._grid.removeWidget(column)
        for place, column in enumerate(self.columns):
            self._grid.addWidget(column, place // across, place % across)
            column.show()
        for place in range(self._most):
            self._grid.setColumnStretch(place, 1 if place < across else 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place()
