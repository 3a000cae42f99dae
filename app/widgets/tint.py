"""Attention weights as colours: one ramp, one scale, and the hatching of what was not captured."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QBrush, QColor, QImage, QLinearGradient, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from app import theme

TICKS = (0.0, 0.05, 0.25, 0.5, 1.0)


def tinted(weights: npt.NDArray[np.floating]) -> QImage:
    """An image of weights [R, C] between 0 and 1; NaN is transparent.

    The ramp follows the square root: most weights are small, and where they lie matters.
    """
    red, green, blue = theme.attention_lut().astype(np.uint32).T
    colors = np.zeros(257, np.uint32)  # the first is that of NaN
    colors[1:] = 255 << 24 | red << 16 | green << 8 | blue
    places = np.sqrt(np.clip(weights, 0, 1, dtype=np.float32))
    places *= 255
    places = np.fmax(np.rint(places, out=places), -1, out=places) + 1
    pixels = colors.take(places.astype(np.uint16))
    height, width = weights.shape
    return QImage(pixels.data, width, height, width * 4, QImage.Format.Format_ARGB32_Premultiplied).copy()


def hatching() -> QBrush:
    """The ground of what was not captured."""
    return QBrush(QColor(theme.current().line), Qt.BrushStyle.BDiagPattern)


class Legend(QWidget):
    """The ramp with its numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Colours of attention weights from 0 to 1")
        self.setToolTip("Attention weight. The colours follow its square root, so that small weights can be seen.")
        self.setFixedHeight(26)
        self.setMinimumWidth(120)
        self.setMaximumWidth(260)

    def sizeHint(self) -> QSize:
        return QSize(220, 26)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        bar = QRectF(10, 2, self.width() - 24, 8)
        ramp = QLinearGradient(bar.topLeft(), bar.topRight())
        table = theme.attention_lut()
        for step in range(17):
            ramp.setColorAt(step / 16, QColor(*map(int, table[step * 255 // 16])))
        painter.fillRect(bar, ramp)
        painter.setPen(QColor(theme.current().line))
        painter.drawRect(bar)
        painter.setFont(theme.font(10))
        painter.setPen(QColor(theme.current().muted))
        for tick in TICKS:
            if tick == 0.5 and bar.width() < 130:
                continue  # no room for its number
            x = bar.left() + bar.width() * tick**0.5
            painter.drawText(QRectF(x - 20, 11, 40, 14), Qt.AlignmentFlag.AlignCenter, f"{tick:g}")
