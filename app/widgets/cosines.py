"""Cosines as colours: from the page at 0 to one hue towards 1 and to another towards -1, and what they mean."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QLinearGradient, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from app import theme

DEEPEST = 0.9  # of the hue at 1 and -1: text must be read on it
TICKS = (-1.0, -0.5, 0.0, 0.5, 1.0)


def ground(cosine: float) -> QColor:
    """The colour behind a number; teal and amber are told apart by every kind of colour vision."""
    now = theme.current()
    page, hue = QColor(now.surface), QColor(now.accent if cosine > 0 else now.warning)
    share = min(abs(cosine), 1.0) * DEEPEST
    parts = zip((page.red(), page.green(), page.blue()), (hue.red(), hue.green(), hue.blue()))
    return QColor(*(round(one + (other - one) * share) for one, other in parts))


class CosineLegend(QWidget):
    """The colours with their numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Colours of cosines from -1 to 1")
        self.setToolTip("1: the same direction. 0: nothing in common. Below 0: opposite directions.")
        self.setFixedHeight(26)
        self.setMaximumWidth(260)

    def sizeHint(self) -> QSize:
        return QSize(220, 26)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        bar = QRectF(14, 2, self.width() - 28, 8)
        ramp = QLinearGradient(bar.topLeft(), bar.topRight())
        for step in range(-8, 9):
            ramp.setColorAt((step + 8) / 16, ground(step / 8))
        painter.fillRect(bar, ramp)
        painter.setPen(QColor(theme.current().line))
        painter.drawRect(bar)
        painter.setFont(theme.font(10))
        painter.setPen(QColor(theme.current().muted))
        for tick in TICKS:
            x = bar.left() + bar.width() * (tick + 1) / 2
            words = f"{tick:g}".replace("-", "\N{MINUS SIGN}")
            painter.drawText(QRectF(x - 20, 11, 40, 14), Qt.AlignmentFlag.AlignCenter, words)
