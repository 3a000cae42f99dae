"""A range of numbers as colours: the ramp, the image of a table of numbers, and the legend that says what they mean.

"even" is cividis, which every kind of colour vision reads; "signed" goes from the page at 0 to a hue on either side;
"weight" is the ramp of attention, which follows the square root.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QImage, QLinearGradient, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from app import theme
from app.widgets.cosines import ground

STEPS = 256


@dataclass(frozen=True, slots=True)
class Scale:
    """words: what the numbers are, with their unit. kind: even, weight, or signed, as far to both sides."""

    words: str
    low: float = 0.0
    high: float = 1.0
    kind: str = "even"

    @classmethod
    def around(cls, values: npt.NDArray[np.floating], words: str) -> Scale:
        """A signed scale that holds these values."""
        most = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
        return cls(words, -(most or 1.0), most or 1.0, "signed")

    def color(self, value: float) -> QColor:
        place = min(max((value - self.low) / ((self.high - self.low) or 1.0), 0.0), 1.0)
        if self.kind == "weight":
            return QColor(*map(int, theme.attention_lut()[round(place**0.5 * 255)]))
        return ground(2 * place - 1) if self.kind == "signed" else theme.probability_color(place)

    def image(self, values: npt.NDArray[np.floating]) -> QImage:
        """A pixel a value [R, C]; NaN is transparent."""
        colors = [self.color(self.low + (self.high - self.low) * step / (STEPS - 1)) for step in range(STEPS)]
        table = np.array([(c.red(), c.green(), c.blue()) for c in colors], np.uint8)
        known = np.isfinite(values)
        share = (np.where(known, values, self.low) - self.low) / ((self.high - self.low) or 1.0)
        pixels = np.empty((*values.shape, 4), np.uint8)
        pixels[..., :3] = table[np.rint(np.clip(share, 0, 1) * (STEPS - 1)).astype(np.uint8)]
        pixels[..., 3] = known * 255
        height, width = values.shape
        return QImage(pixels.tobytes(), width, height, width * 4, QImage.Format.Format_RGBA8888).copy()


class ScaleLegend(QWidget):
    """The ramp with its ends and middle, and what the numbers are."""

    def __init__(self) -> None:
        super().__init__()
        self._scale = Scale("")
        self.setFixedHeight(42)
        self.setMinimumWidth(100)
        self.setMaximumWidth(320)

    def set_scale(self, scale: Scale) -> None:
        self._scale = scale
        self.setAccessibleName(f"Colours: {scale.words}, from {scale.low:.3g} to {scale.high:.3g}")
        self.setToolTip(scale.words)
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(260, 42)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, now, scale = QPainter(self), theme.current(), self._scale
        painter.setFont(theme.font(11))
        painter.setPen(QColor(now.muted))
        words = painter.fontMetrics().elidedText(scale.words, Qt.TextElideMode.ElideRight, self.width() - 2)
        painter.drawText(QRectF(0, 0, self.width(), 15), Qt.AlignmentFlag.AlignLeft, words)
        bar = QRectF(1, 17, self.width() - 2, 8)
        ramp = QLinearGradient(bar.topLeft(), bar.topRight())
        for step in range(17):
            ramp.setColorAt(step / 16, scale.color(scale.low + (scale.high - scale.low) * step / 16))
        painter.fillRect(bar, ramp)
        painter.setPen(QColor(now.line))
        painter.drawRect(bar)
        painter.setFont(theme.font(10))
        painter.setPen(QColor(now.muted))
        sides = (Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignHCenter, Qt.AlignmentFlag.AlignRight)
        for value, side in zip((scale.low, (scale.low + scale.high) / 2, scale.high), sides):
            text = f"{value:.3g}".replace("-", "\N{MINUS SIGN}")
            painter.drawText(QRectF(0, 27, self.width(), 14), side, text)
