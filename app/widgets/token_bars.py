"""The candidates of one token as bars: outlined before the sampler, filled after it, with the step that cut them.

It draws a record and knows nothing of where it comes from. The same numbers can be copied, and shown as a table.
"""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPoint, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from app import theme
from app.widgets.order_list import step_words
from app.widgets.pieces import percent, visible
from engine import TokenRecord

ROW = 26  # pixels
TOP = 22  # of the line of headings
NUMBER = 54  # the width of a column of numbers
LEFT = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
RIGHT = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
HEAD = ("token", "id", "before", "after", "cut by", "chosen")


def number(probability: float) -> str:
    """A probability in percent with two decimals, without the sign."""
    return percent(probability).removesuffix(" %")


def cut_words(record: TokenRecord, index: int) -> str:
    """The step that removed a candidate, in lower case; "" where it survived."""
    step = int(record.cut[index])
    return step_words(record.steps[step]).lower() if 0 <= step < len(record.steps) else ""


def shown_candidates(record: TokenRecord, count: int) -> list[int]:
    """Indices of the likeliest candidates, the drawn one always among them."""
    indices = list(range(min(count, len(record.candidate_ids))))
    if record.chosen >= count > 0:
        indices[-1] = record.chosen
    return indices


def rows(record: TokenRecord, count: int) -> list[tuple[str, ...]]:
    """The candidates as rows of text under HEAD, probabilities as plain numbers."""
    before = record.before
    return [
        (
            record.pieces[i], str(int(record.candidate_ids[i])), f"{before[i]:.6f}", f"{record.after[i]:.6f}",
            cut_words(record, i), "yes" if i == record.chosen else "",
        )
        for i in shown_candidates(record, count)
    ]  # fmt: skip


def as_text(record: TokenRecord, count: int, separator: str) -> str:
    """The rows with their head, for the clipboard; pieces as quoted strings, so that no blank is lost."""
    lines = [separator.join(HEAD)]
    for piece, *rest in rows(record, count):
        quoted = '"' + piece.replace('"', '""').replace("\n", "\\n").replace("\t", "\\t") + '"'
        lines.append(separator.join((quoted, *rest)))
    return "\n".join(lines)


class TokenBars(QWidget):
    """stepped: -1 or 1, the token before or after was asked for by arrow key."""

    stepped = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._record: TokenRecord | None = None
        self._count = 20
        self._line = -1
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Candidates")
        self.setAccessibleDescription("Up and Down read the candidates, Left and Right go to other tokens.")

    def show_record(self, record: TokenRecord | None, count: int) -> None:
        """Draw this record's candidates, `count` of them."""
        tall = self._rows(), self._count
        self._record, self._count = record, count
        self._line = min(self._line, self._rows() - 1)
        if tall != (self._rows(), count):
            self.updateGeometry()
        self.update()

    def readout(self, line: int) -> str:
        """One candidate in words."""
        assert self._record is not None
        index = shown_candidates(self._record, self._count)[line]
        record, words = self._record, cut_words(self._record, index)
        chosen = ", chosen" if index == record.chosen else ""
        fate = f"cut by {words}" if words else f"after {percent(float(record.after[index]))}"
        before = percent(float(record.before[index]))
        return f"{visible(record.pieces[index], 60)}: before {before}, {fate}{chosen}"

    def _rows(self) -> int:
        return len(shown_candidates(self._record, self._count)) if self._record else 0

    # --- Qt -----------------------------------------------------------------------------------------------------------

    def sizeHint(self) -> QSize:
        return QSize(280, TOP + self._rows() * ROW + 4)

    def minimumSizeHint(self) -> QSize:
        return QSize(220, TOP + self._rows() * ROW + 4)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if self._record is not None and event.matches(QKeySequence.StandardKey.Copy):
            QGuiApplication.clipboard().setText(as_text(self._record, self._count, "\t"))
        elif event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            self.stepped.emit(-1 if event.key() == Qt.Key.Key_Left else 1)
        elif event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down) and self._rows():
            self._line = min(max(self._line + (1 if event.key() == Qt.Key.Key_Down else -1), 0), self._rows() - 1)
            words = self.readout(self._line)
            self.setAccessibleDescription(words)
            QToolTip.showText(self.mapToGlobal(QPoint(40, TOP + (self._line + 1) * ROW)), words, self)
            self.update()
        else:
            super().keyPressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        line = (int(event.position().y()) - TOP) // ROW
        self._line = line if 0 <= line < self._rows() else -1
        self.setToolTip(self.readout(self._line) if self._line >= 0 else "")
        self.update()

    def leaveEvent(self, event: object) -> None:
        self._line = -1
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._record is None:
            return
        now, record = theme.current(), self._record
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(theme.font(theme.CONTROL, mono=True))
        indices = shown_candidates(record, self._count)
        before = record.before[indices]
        top = max(float(before.max()), float(record.after[indices].max()), 1e-9)
        metrics = QFontMetricsF(painter.font())
        pieces = [visible(record.pieces[i], 18) for i in indices]
        name = min(max(metrics.horizontalAdvance(p) for p in pieces) + 12, self.width() * 0.42)
        name = max(name, 64.0)
        painter.setFont(theme.font(theme.CAPTION))
        place = QRectF(20 + name, 0, self.width() - 28 - name - 2 * NUMBER, ROW)
        self._draw_headings(painter, place)
        for line, index in enumerate(indices):
            y = TOP + line * ROW
            chosen, cut = index == record.chosen, cut_words(record, index)
            if line == self._line:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(QColor(now.raised))
                painter.drawRoundedRect(QRectF(0, y, self.width(), ROW), 4, 4)
            if chosen:
                theme.icon("check", 14, "accent").paint(painter, 2, y + 6, 14, 14)
            painter.setFont(theme.font(theme.CONTROL, mono=True, bold=chosen))
            painter.setPen(QColor(now.accent if chosen else now.muted if cut else now.text))
            box = QRectF(20, y, name - 8, ROW)
            words = QFontMetricsF(painter.font()).elidedText(pieces[line], Qt.TextElideMode.ElideRight, box.width())
            painter.drawText(box, LEFT, words)
            self._draw_bar(painter, place.translated(0, y), before[line] / top, record.after[index] / top, chosen)
            painter.setFont(theme.font(theme.CAPTION))
            painter.setPen(QColor(now.muted))
            right = QRectF(place.right(), y, NUMBER, ROW)
            painter.drawText(right, RIGHT, number(float(before[line])))
            if cut:
                start = place.left() + max(4.0, place.width() * float(before[line]) / top) + 8
                painter.drawText(QRectF(start, y, max(0.0, place.right() - start), ROW), LEFT, cut)
            else:
                painter.setPen(QColor(now.accent if chosen else now.text))
            painter.drawText(right.translated(NUMBER, 0), RIGHT, "cut" if cut else number(float(record.after[index])))
        if self.hasFocus():
            painter.setPen(QPen(QColor(now.accent), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 5, 5)

    def _draw_headings(self, painter: QPainter, place: QRectF) -> None:
        painter.setPen(QColor(theme.current().muted))
        line = QRectF(place.right(), 0, NUMBER, TOP)
        painter.drawText(line, RIGHT, "before %")
        painter.drawText(line.translated(NUMBER, 0), RIGHT, "after %")
        if place.width() > 190:
            painter.drawText(QRectF(place.left(), 0, place.width(), TOP), LEFT, "outline before, filled after")

    @staticmethod
    def _draw_bar(painter: QPainter, place: QRectF, before: float, after: float, chosen: bool) -> None:
        now = theme.current()
        bar = place.adjusted(0, 6, 0, -6)
        painter.setPen(Qt.PenStyle.NoPen)
        if after > 0:
            painter.setBrush(QColor(now.accent if chosen else now.muted))
            painter.setOpacity(1.0 if chosen else 0.55)
            painter.drawRoundedRect(QRectF(bar.left(), bar.top(), max(2.0, bar.width() * after), bar.height()), 3, 3)
            painter.setOpacity(1.0)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(now.text if chosen else now.muted), 1))
        outline = QRectF(bar.left(), bar.top(), max(2.0, bar.width() * before), bar.height())
        painter.drawRoundedRect(outline.adjusted(0.5, 0.5, -0.5, -0.5), 3, 3)


def _short(value: float) -> str:
    """A number of three figures, so that it takes the same room whatever it is."""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}"


def summary(record: TokenRecord) -> list[tuple[str, str, str]]:
    """Name, value and explanation of what describes a drawn token."""
    index = record.chosen
    after = percent(float(record.after[index])) if index >= 0 else "not captured"
    surprise = -record.logprob / float(np.log(2))
    return [
        ("Before", percent(float(np.exp(record.logprob))), "Probability under the model's raw distribution"),
        ("After", after, "Probability in the draw, after all sampling steps"),
        ("Rank", str(record.rank + 1), "1 is the likeliest token"),
        ("Entropy", f"{_short(record.entropy)} nats", "How undecided the model was over its whole vocabulary"),
        ("Surprise", f"{_short(surprise)} bits", "Minus the logarithm of the probability before"),
    ]
