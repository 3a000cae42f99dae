"""What lists of candidates have in common: a line of each, read by pointer or keys, and taken in the token's place.

It knows a record and which of its candidates are shown; how a line looks is for those who draw it.
"""

from __future__ import annotations

from PySide6.QtCore import QPoint, QSize, Qt, Signal
from PySide6.QtGui import QColor, QGuiApplication, QKeyEvent, QKeySequence, QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from app import theme
from engine import TokenRecord

ROW = 26  # pixels
LEFT = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
RIGHT = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
KEYS = "Up and Down read the candidates, Left and Right go to other tokens."


def shown_candidates(record: TokenRecord, count: int) -> list[int]:
    """Indices of the likeliest candidates, the drawn one always among them."""
    indices = list(range(min(count, len(record.candidate_ids))))
    if record.chosen >= count > 0:
        indices[-1] = record.chosen
    return indices


class CandidateList(QWidget):
    """stepped: -1 or 1, the token before or after was asked for by arrow key.

    taken: the id of a candidate that was clicked or entered, where `taking` is on. top: pixels above the first line.
    """

    stepped = Signal(int)
    taken = Signal(int)
    top = 22

    def __init__(self, words: str) -> None:
        super().__init__()
        self._record: TokenRecord | None = None
        self._indices: list[int] = []
        self._line = -1
        self._taking = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(words)
        self.set_taking(False)

    def set_taking(self, on: bool) -> None:
        """Whether another candidate can be taken in the token's place."""
        self._taking = on
        self.setAccessibleDescription(f"{KEYS} Enter continues from here with the candidate." if on else KEYS)
        self.setCursor(Qt.CursorShape.PointingHandCursor if on else Qt.CursorShape.ArrowCursor)

    def show_record(self, record: TokenRecord | None, count: int) -> None:
        """Draw this record's candidates, `count` of them."""
        tall = len(self._indices)
        self._record = record
        self._indices = shown_candidates(record, count) if record is not None else []
        self._line = min(self._line, len(self._indices) - 1)
        if tall != len(self._indices):
            self.updateGeometry()
        self.update()

    def readout(self, line: int) -> str:
        """One candidate in words."""
        raise NotImplementedError

    def as_text(self) -> str:
        """What is drawn, for the clipboard."""
        raise NotImplementedError

    def _in_sight(self, top: int, bottom: int) -> range:
        """The lines between two heights: of two hundred few are seen."""
        first = max(0, (top - self.top) // ROW)
        return range(first, min(len(self._indices), max(first, (bottom - self.top) // ROW + 1)))

    def _draw_ground(self, painter: QPainter) -> None:
        """Behind the line under the pointer."""
        if self._line >= 0:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(theme.current().raised))
            painter.drawRoundedRect(0, self.top + self._line * ROW, self.width(), ROW, 4, 4)

    def _draw_focus(self, painter: QPainter) -> None:
        if self.hasFocus():
            painter.setPen(QPen(QColor(theme.current().accent), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(self.rect().adjusted(1, 1, -1, -1), 5, 5)

    def _take(self) -> None:
        if self._taking and self._record is not None and self._line >= 0:
            self.taken.emit(int(self._record.candidate_ids[self._indices[self._line]]))

    # --- Qt -----------------------------------------------------------------------------------------------------------

    def sizeHint(self) -> QSize:
        return QSize(280, self.top + len(self._indices) * ROW + 4)

    def minimumSizeHint(self) -> QSize:
        return QSize(220, self.sizeHint().height())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key, lines = event.key(), len(self._indices)
        if self._record is not None and event.matches(QKeySequence.StandardKey.Copy):
            QGuiApplication.clipboard().setText(self.as_text())
        elif key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            self.stepped.emit(-1 if key == Qt.Key.Key_Left else 1)
        elif key in (Qt.Key.Key_Up, Qt.Key.Key_Down) and lines:
            self._line = min(max(self._line + (1 if key == Qt.Key.Key_Down else -1), 0), lines - 1)
            words = self.readout(self._line)
            self.setAccessibleDescription(words)
            QToolTip.showText(self.mapToGlobal(QPoint(40, self.top + (self._line + 1) * ROW)), words, self)
            self.update()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._take()
        else:
            super().keyPressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        line = (int(event.position().y()) - self.top) // ROW
        self._line = line if 0 <= line < len(self._indices) else -1
        self.setToolTip(self._tip() if self._line >= 0 else "")
        self.update()

    def _tip(self) -> str:
        words = self.readout(self._line)
        return f"{words}\nClick to continue from here with it." if self._taking else words

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        if event.button() == Qt.MouseButton.LeftButton and self.rect().contains(event.position().toPoint()):
            self.mouseMoveEvent(event)
            self._take()

    def leaveEvent(self, event: object) -> None:
        self._line = -1
        self.update()
