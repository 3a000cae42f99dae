"""An answer as its tokens: the text coloured by how likely each token was, one of them in focus.

It knows records and colours, not where they come from. The text is an ordinary read-only document, so it wraps, selects
and is read aloud like any other; a readout line gives in words what the colours show.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QLinearGradient,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
)
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QTextEdit, QVBoxLayout, QWidget

from app import theme
from app.widgets.flowing import FlowingText
from app.widgets.ink import Ink
from app.widgets.named import named
from engine import TokenRecord

MARKS = str.maketrans({"\n": "↵\n", "\t": "⇥\t"})
UNFINISHED = "◌"  # a token that is only a part of a character


class TokenText(FlowingText):
    """The coloured text. focused: index of the token chosen by click or arrow key."""

    focused = Signal(int)

    def __init__(self, ink: Ink, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Tokens of the answer")
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._ink = ink
        self._starts: list[int] = []
        self._records: list[TokenRecord] = []
        self._index = -1

    def start(self, before: str) -> None:
        """Show no tokens, only, muted, the text that they continue."""
        self.document().clear()
        self._starts.clear()
        self._records.clear()
        self._index = -1
        form = QTextBlockFormat()
        form.setLineHeight(self._ink.line_height + 10, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
        cursor = QTextCursor(self.document())
        cursor.setBlockFormat(form)
        muted = self._ink.text_format()
        muted.setForeground(self._ink.muted)
        cursor.insertText(before, muted)

    def add_tokens(self, records: Sequence[TokenRecord]) -> None:
        cursor = QTextCursor(self.document())
        cursor.beginEditBlock()
        cursor.movePosition(QTextCursor.MoveOperation.End)
        for record in records:
            self._starts.append(cursor.position())
            self._records.append(record)
            cursor.insertText(shown(record), self._format(record))
        cursor.endEditBlock()

    def show_focus(self, index: int) -> None:
        """Mark a token; -1 marks none."""
        self._index = index
        selections = []
        if 0 <= index < len(self._starts):
            selection = QTextEdit.ExtraSelection()
            end = self._starts[index + 1] if index + 1 < len(self._starts) else self.document().characterCount() - 1
            cursor = QTextCursor(self.document())
            cursor.setPosition(self._starts[index])
            cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
            selection.cursor = cursor
            form = QTextCharFormat()
            form.setBackground(QColor(theme.current().accent))
            form.setForeground(QColor(theme.current().on_accent))
            selection.format = form
            selections.append(selection)
        self.setExtraSelections(selections)

    def _format(self, record: TokenRecord) -> QTextCharFormat:
        form = self._ink.text_format()
        background = theme.probability_color(math.exp(record.logprob))
        form.setBackground(background)
        form.setForeground(QColor("#10151B") if _light(background) else QColor("#FFFFFF"))
        return form

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        if event.button() == Qt.MouseButton.LeftButton and not self.textCursor().hasSelection() and self._starts:
            position = self.document().documentLayout().hitTest(
                event.position(), Qt.HitTestAccuracy.FuzzyHit
            )
            if position >= self._starts[0]:
                self.focused.emit(bisect_right(self._starts, position) - 1)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}
        ends = {Qt.Key.Key_Home: 0, Qt.Key.Key_End: len(self._starts) - 1}
        if event.matches(QKeySequence.StandardKey.Copy) and not self.textCursor().hasSelection():
            QGuiApplication.clipboard().setText(table(self._records))
        elif event.modifiers() == Qt.KeyboardModifier.NoModifier and event.key() in steps and self._starts:
            index = self._index + steps[event.key()] if self._index >= 0 else 0  # type: ignore[index]
            self.focused.emit(min(max(index, 0), len(self._starts) - 1))
        elif event.key() in ends and self._starts:
            self.focused.emit(ends[event.key()])  # type: ignore[index]
        else:
            super().keyPressEvent(event)


class TokenStrip(QWidget):
    """Coloured text, the readout of the token in focus, and the legend. focused: index of the token chosen."""

    focused = Signal(int)

    def __init__(self, ink: Ink, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._records: list[TokenRecord] = []
        self._before = ""
        self.text = TokenText(ink)
        self.text.focused.connect(self.focused)
        self._readout = named(QLabel("Click a token, or use the arrow keys."), "caption")
        self._readout.setAccessibleName("The token in focus")
        self._readout.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        row = QHBoxLayout()
        row.addWidget(self._readout, 1)
        row.addWidget(_Legend())
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.text)
        column.addLayout(row)

    @property
    def count(self) -> int:
        return len(self._records)

    def append(self, records: Sequence[TokenRecord]) -> None:
        self._records.extend(records)
        self.text.add_tokens(records)

    def set(self, records: Sequence[TokenRecord], before: str = "") -> None:
        """before: the text that they continue."""
        self._records.clear()
        self._before = before
        self.text.start(before)
        self.append(records)

    def grows_into(self, records: Sequence[TokenRecord], before: str = "") -> bool:
        """Whether these are the tokens shown and some more."""
        return 0 < self.count < len(records) and self._records[0] is records[0] and self._before == before

    def show_focus(self, index: int) -> None:
        self.text.show_focus(index)
        if 0 <= index < len(self._records):
            self._readout.setText(describe(self._records[index]))


class _Legend(QWidget):
    """The colours with their numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedSize(190, 18)
        self.setAccessibleName("Colours from 0 to 100 percent")

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        ramp = QLinearGradient(44, 0, 134, 0)
        for step in range(11):
            ramp.setColorAt(step / 10, theme.probability_color(step / 10))
        painter.fillRect(QRectF(44, 5, 90, 8), ramp)
        painter.setPen(QColor(theme.current().muted))
        painter.drawText(QRectF(0, 0, 38, 18), Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, "0 %")
        painter.drawText(QRectF(140, 0, 50, 18), Qt.AlignmentFlag.AlignVCenter, "100 %")


def shown(record: TokenRecord) -> str:
    """A token as the strip shows it: its text, line breaks marked; its piece where it adds no text (an end mark)."""
    piece = record.pieces[record.chosen] if record.chosen >= 0 else UNFINISHED
    return record.text.translate(MARKS) or piece or UNFINISHED


def describe(record: TokenRecord) -> str:
    """A token in words: what it is, how likely, which rank."""
    piece = shown(record).replace("\n", "").replace(" ", "␣")
    percent = 100 * math.exp(record.logprob)
    return f"{piece}   {percent:.1f} % · rank {record.rank + 1} · entropy {record.entropy:.2f} nats"


def table(records: Sequence[TokenRecord]) -> str:
    """Records as tab-separated lines with a head."""
    lines = ["position\tid\ttext\tprobability\trank\tentropy (nats)"]
    lines += [
        f"{r.position}\t{r.id}\t{r.text!r}\t{math.exp(r.logprob):.6f}\t{r.rank + 1}\t{r.entropy:.4f}" for r in records
    ]
    return "\n".join(lines)


def _light(color: QColor) -> bool:
    """Whether dark ink reads better on it (WCAG relative luminance)."""
    channels = (color.redF(), color.greenF(), color.blueF())
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18
