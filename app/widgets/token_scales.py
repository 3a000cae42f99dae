"""What the colours of tokens can mean: probability, surprise, entropy or rank, and where each number lies on the ramp.

All use cividis, readable for every kind of colour vision, all the same way round: yellow is what the model expected.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QObject, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QLinearGradient, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from app import theme
from engine import TokenRecord

MOST_BITS = 12.0
MOST_NATS = 6.0
LAST_RANK = 1000


@dataclass(frozen=True, slots=True)
class TokenScale:
    """place: where a record lies, from 0, the unexpected end, to 1. low, high: the ends in words."""

    name: str
    place: Callable[[TokenRecord], float]
    low: str
    high: str
    help: str

    def color(self, record: TokenRecord) -> QColor:
        return theme.probability_color(min(max(self.place(record), 0.0), 1.0))


def surprise(record: TokenRecord) -> float:
    """How unlikely the token was, in bits."""
    return -record.logprob / math.log(2)


SCALES = {
    scale.name: scale
    for scale in (
        TokenScale(
            "Probability", lambda r: math.exp(r.logprob), "0 %", "100 %",
            "How likely the model found the token, before any sampling step.",
        ),
        TokenScale(
            "Surprise", lambda r: 1 - surprise(r) / MOST_BITS, f"{MOST_BITS:g} bits", "0 bits",
            "Minus the logarithm of the probability: a token of one in eight surprises by three bits.",
        ),
        TokenScale(
            "Entropy", lambda r: 1 - r.entropy / MOST_NATS, f"{MOST_NATS:g} nats", "0 nats",
            "How undecided the model was at the token's place, whichever token came.",
        ),
        TokenScale(
            "Rank", lambda r: 1 - math.log(r.rank + 1) / math.log(LAST_RANK), f"{LAST_RANK:,}th", "1st",
            "The token's place among all by probability, on a logarithmic scale.",
        ),
    )
}  # fmt: skip


class _Choice(QObject):
    """What all coloured tokens show: one choice for the whole window. changed: the TokenScale chosen."""

    changed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.scale = SCALES["Probability"]

    def choose(self, name: str) -> None:
        if name in SCALES and name != self.scale.name:
            self.scale = SCALES[name]
            self.changed.emit(self.scale)


choice = _Choice()


class TokenLegend(QWidget):
    """The ramp with the words of its ends."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(18)
        self.setMinimumWidth(150)
        self.setMaximumWidth(220)
        self.set_scale(choice.scale)

    def set_scale(self, scale: TokenScale) -> None:
        self._scale = scale
        self.setAccessibleName(f"Colours by {scale.name.lower()}, from {scale.low} to {scale.high}")
        self.setToolTip(scale.help)
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(200, 18)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setFont(theme.font(theme.CAPTION))
        metrics = painter.fontMetrics()
        left, right = (metrics.horizontalAdvance(words) + 6 for words in (self._scale.low, self._scale.high))
        bar = QRectF(left, 5, max(20, self.width() - left - right), 8)
        ramp = QLinearGradient(bar.topLeft(), bar.topRight())
        for step in range(11):
            ramp.setColorAt(step / 10, theme.probability_color(step / 10))
        painter.fillRect(bar, ramp)
        painter.setPen(QColor(theme.current().muted))
        middle = Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRectF(0, 0, left, 18), middle | Qt.AlignmentFlag.AlignLeft, self._scale.low)
        painter.drawText(QRectF(bar.right(), 0, right, 18), middle | Qt.AlignmentFlag.AlignRight, self._scale.high)
