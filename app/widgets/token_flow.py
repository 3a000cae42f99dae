"""A text as its tokens, tinted by where one of them looks; where it looks into another text, lines lead there.

The upper text is what is seen, the lower one, where there are two, what looks. To point at a token of the upper one
turns it round: then the lower one is tinted by who looks at that token. It knows weights and words, no model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from unicodedata import bidirectional

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QFrame, QScrollArea, QSizePolicy, QWidget

from app import theme
from app.widgets.pieces import visible, worded
from app.widgets.tint import hatching

LINE, SPACE, BETWEEN = 22, 3, 64  # pixels of a line, between lines, and between the two texts
SAMPLE = 200  # tokens that say from which side a text is written
FAINT = 0.02  # weights below this are not worth a line
CENTRE = Qt.AlignmentFlag.AlignCenter
Row = npt.NDArray[np.floating]


class TokenFlow(QWidget):
    """chosen: the place, among those that look, of a token that was clicked or entered. pointed: the pointer moved."""

    chosen = Signal(int)
    pointed = Signal()
    moved = Signal(QRectF)

    def __init__(self) -> None:
        super().__init__()
        self._seen: Sequence[str] = ()
        self._looking: Sequence[str] | None = None
        self._weights: Row | None = None
        self._column: Callable[[int], Row | None] = lambda index: None
        self._marked = -1
        self._boxes: list[QRectF] = []  # of the tokens seen, then of those that look
        self._pen = QPointF(0.0, 2.0)  # where the next token would stand
        self.pointer = -1
        """Of the boxes; -1 for none."""
        self.setAccessibleName("Text tinted by attention")
        self.setAccessibleDescription("Left and Right read the tokens, Enter looks from one.")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def set_text(
        self,
        seen: Sequence[str],
        weights: Row | None,
        marked: int,
        looking: Sequence[str] | None = None,
        column: Callable[[int], Row | None] = lambda index: None,
    ) -> None:
        """weights: of the tokens seen, as far as there are any; None where they were not captured.

        marked: the token that looks, of `looking`, or where that is None of the same text. column: who looks at a
        token seen, weights as long as looking, NaN where not captured.
        """
        before, alone = self._seen, looking is None and self._looking is None
        grown = alone and 0 < len(before) < len(seen) and list(seen[: len(before)]) == list(before)
        fresh = (list(seen), looking) != (list(before), self._looking)
        moved = marked != self._marked
        self._seen, self._looking, self._weights = seen, looking, weights
        self._marked, self._column = marked, column
        if fresh:
            self.pointer = min(self.pointer, len(seen) + len(looking or ()) - 1)
            self._lay_out(len(before) if grown else 0)
        if (fresh or moved) and 0 <= self._place < len(self._boxes):
            self.moved.emit(self._boxes[self._place])
        self.update()

    @property
    def _place(self) -> int:
        """The box of the token that looks."""
        return self._marked if self._looking is None else len(self._seen) + self._marked

    def readout(self) -> str:
        """The token under the pointer in words."""
        if not 0 <= self.pointer < len(self._boxes):
            return ""
        if self.pointer >= len(self._seen):
            token = (self._looking or ())[self.pointer - len(self._seen)]
            return f"{worded(token, 20)}: click to look from here"
        weight = self.weight(self.pointer)
        token = f"{worded(self._seen[self.pointer], 20)} ({self.pointer})"
        return f"{token}: {'not looked at' if weight is None else f'{weight:.3f}'}"

    def weight(self, index: int) -> float | None:
        """Of a token seen; None where there is none."""
        if self._weights is None or not 0 <= index < len(self._weights) or not np.isfinite(self._weights[index]):
            return None
        return float(self._weights[index])

    def as_text(self) -> str:
        """Tokens seen with their weights, a line each."""
        lines = ["position\ttoken\tweight"]
        for index, token in enumerate(self._seen):
            weight = self.weight(index)
            lines.append(f"{index}\t{visible(token)}\t{'' if weight is None else f'{weight:.4f}'}")
        return "\n".join(lines)

    # --- geometry -----------------------------------------------------------------------------------------------------

    def _lay_out(self, kept: int = 0) -> None:
        """Find a box for each token; the first `kept` of a text that only grew have theirs."""
        if not kept:
            self._boxes, self._pen = [], QPointF(0.0, 2.0)
        self._flow(self._seen, kept)
        if self._looking is not None:
            self._pen = QPointF(0.0, self._pen.y() + LINE + BETWEEN)
            self._flow(self._looking, 0)
        self.setFixedHeight(max(round(self._pen.y()) + LINE + 4, 40))

    def _flow(self, text: Sequence[str], kept: int) -> None:
        """Boxes of a text from the pen on. One that is written from the right begins at the right."""
        kinds = [bidirectional(letter) for token in text[:SAMPLE] for letter in token]
        mirrored = sum(kind in ("R", "AL") for kind in kinds) > sum(kind == "L" for kind in kinds)
        x, top, room = self._pen.x(), self._pen.y(), self.width() - 2.0
        for token in text[kept:]:
            wide = min(_width(token), room)
            if x + wide > room and x > 0:
                x, top = 0.0, top + LINE + SPACE
            self._boxes.append(QRectF(room + 1 - x - wide if mirrored else x + 1, top, wide - 1, LINE))
            x += wide
            if token.endswith("\n"):
                x, top = 0.0, top + LINE + SPACE
        self._pen = QPointF(x, top)

    def _at(self, place: QPointF) -> int:
        return next((i for i, box in enumerate(self._boxes) if box.contains(place)), -1)

    # --- Qt -----------------------------------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._lay_out()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._point(self._at(event.position()))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        event.accept()  # the click is its

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._choose(self._at(event.position()))

    def leaveEvent(self, event: object) -> None:
        self._point(-1)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}
        key = Qt.Key(event.key())
        if event.matches(QKeySequence.StandardKey.Copy):
            QGuiApplication.clipboard().setText(self.as_text())
        elif key in steps and self._boxes:
            start = self.pointer if self.pointer >= 0 else self._place - steps[key]
            self._point(min(max(start + steps[key], 0), len(self._boxes) - 1))
            self.moved.emit(self._boxes[self.pointer])
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._choose(self.pointer)
        else:
            super().keyPressEvent(event)

    def _choose(self, place: int) -> None:
        index = place if self._looking is None else place - len(self._seen)
        if place >= 0 and index >= 0:
            self.chosen.emit(index)

    def _point(self, place: int) -> None:
        if place != self.pointer:
            self.pointer = place
            self.setAccessibleDescription(self.readout() or "Left and Right read the tokens, Enter looks from one.")
            self.pointed.emit()
            self.update()

    # --- painting -----------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, now = QPainter(self), theme.current()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(theme.font(theme.CONTROL, mono=True))
        turned = self._looking is not None and 0 <= self.pointer < len(self._seen)
        back = self._column(self.pointer) if turned else None
        self._draw_lines(painter, back)
        part = QRectF(event.rect())
        for place, box in enumerate(self._boxes):
            if not box.intersects(part):
                continue
            below = place - len(self._seen)
            token = self._seen[place] if below < 0 else (self._looking or ())[below]
            weight = self.weight(place) if below < 0 else None
            if below >= 0 and back is not None and below < len(back) and np.isfinite(back[below]):
                weight = float(back[below])
            if below < 0 and self._weights is None:
                painter.fillRect(box, hatching())
            ink = self._ground(painter, box, weight)
            painter.setPen(ink)
            painter.drawText(
                box,
                CENTRE,
                painter.fontMetrics().elidedText(visible(token), Qt.TextElideMode.ElideMiddle, int(box.width())),
            )
            if place in (self._place, self.pointer):
                painter.setPen(QPen(QColor(now.accent if place == self._place else now.text), 2))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRoundedRect(box.adjusted(1, 1, -1, -1), 3, 3)
        if self.hasFocus():
            painter.setPen(QPen(QColor(now.accent), 1))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 5, 5)

    def _ground(self, painter: QPainter, box: QRectF, weight: float | None) -> QColor:
        """Fill a token's box by its weight; the ink that reads on it."""
        if weight is None:
            return QColor(theme.current().muted)
        ground = QColor(*map(int, theme.attention_lut()[round(min(max(weight, 0.0), 1.0) ** 0.5 * 255)]))
        painter.fillRect(box, ground)
        channels = (ground.redF(), ground.greenF(), ground.blueF())
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return QColor("#10151B") if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 else QColor("#FFFFFF")

    def _draw_lines(self, painter: QPainter, back: Row | None) -> None:
        """From the token that looks to those it sees, or from those that look to the one pointed at."""
        if self._looking is None or not 0 <= self._place < len(self._boxes):
            return
        if back is not None:
            pairs = [(self.pointer, len(self._seen) + i, float(w)) for i, w in enumerate(back) if w >= FAINT]
        elif self._weights is not None:
            pairs = [(i, self._place, float(w)) for i, w in enumerate(self._weights) if w >= FAINT]
        else:
            pairs = []
        for upper, lower, weight in pairs:
            if max(upper, lower) >= len(self._boxes):
                continue
            color = QColor(theme.current().accent)
            color.setAlphaF(min(1.0, weight**0.5))
            painter.setPen(QPen(color, 1 + 3 * weight))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            start, end = self._boxes[upper], self._boxes[lower]
            a, b = QPointF(start.center().x(), start.bottom()), QPointF(end.center().x(), end.top())
            path = QPainterPath(a)
            path.cubicTo(QPointF(a.x(), (a.y() + b.y()) / 2), QPointF(b.x(), (a.y() + b.y()) / 2), b)
            painter.drawPath(path)


@lru_cache(maxsize=8192)
def _width(token: str) -> float:
    """Pixels of a token's box; measuring letters is most of what laying out a long text costs."""
    return _metrics().horizontalAdvance(visible(token)) + 4


@lru_cache(maxsize=1)
def _metrics() -> QFontMetricsF:
    return QFontMetricsF(theme.font(theme.CONTROL, mono=True))


class FlowArea(QScrollArea):
    """A text of tokens in a page of its own height; the token that looks stays in view."""

    def __init__(self, flow: TokenFlow) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(flow)
        self.viewport().setAutoFillBackground(False)
        flow.setAutoFillBackground(False)
        flow.moved.connect(lambda box: self.ensureVisible(round(box.center().x()), round(box.center().y()), 40, 60))

    def minimumSizeHint(self) -> QSize:
        return QSize(160, 120)
