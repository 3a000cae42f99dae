"""A box to try a form out: how far a text fits it, marked in the text and said in a sentence."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtGui import QColor, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QLabel, QTextEdit, QVBoxLayout, QWidget

from app import theme
from app.widgets.pieces import worded
from app.widgets.settled_field import SettledField

HINT = "A text to try: how far does it fit?"


class StructureTester(QWidget):
    """settled: the text to try is another."""

    settled = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.field = SettledField("structureText", "A text to try the form with", HINT, 44)
        self.field.settled.connect(self.settled)
        self.field.textChanged.connect(self.clear)
        self._told = QLabel(wordWrap=True)
        self._told.setProperty("role", "caption")
        self._told.hide()
        self._misfit = -1
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.field)
        column.addWidget(self._told)
        theme.theme_changed.connect(self._paint)
        self._paint()

    @property
    def text(self) -> str:
        return self.field.toPlainText()

    @property
    def told(self) -> str:
        return self._told.text() if not self._told.isHidden() else ""

    def tell(self, fits: int, complete: bool) -> None:
        """How many characters of the text fit, and whether it may end there."""
        self._misfit = fits if fits < len(self.text) else -1
        self._told.setText(verdict_words(self.text, fits, complete))
        self._told.setVisible(bool(self.text))
        self.field.setAccessibleDescription(self.told)
        self._paint()

    def clear(self) -> None:
        """Nothing is known of the text."""
        self._misfit = -1
        self._told.hide()
        self.field.setAccessibleDescription("")
        self._paint()

    def _paint(self, *_: object) -> None:
        """A wave beneath what does not fit."""
        self.field.setFont(theme.font(mono=True))
        marks = []
        if self._misfit >= 0:
            mark = QTextEdit.ExtraSelection()
            form, cursor = QTextCharFormat(), QTextCursor(self.field.document())
            form.setUnderlineStyle(QTextCharFormat.UnderlineStyle.WaveUnderline)
            form.setUnderlineColor(QColor(theme.current().danger))
            cursor.setPosition(len(self.text[: self._misfit].encode("utf-16-le")) // 2)  # Qt counts in UTF-16
            cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
            mark.cursor, mark.format = cursor, form
            marks.append(mark)
        self.field.setExtraSelections(marks)


def verdict_words(text: str, fits: int, complete: bool) -> str:
    """How far a text fits, in a sentence."""
    if not fits and text:
        return f"It cannot begin with “{worded(text[0])}”."
    if fits < len(text):
        return f"The first {fits} of {len(text)} characters fit; “{worded(text[fits])}” cannot follow."
    return "It fits, and is complete." if complete else "It fits so far, and has to go on."
