"""Sliders: a plain one over whole numbers, and one over a Param, with its spread and a mark where the preset stands.

Each is a QSlider, so arrow keys, pages and screen readers work as everywhere; only its looks and its numbers are ours.
The wheel moves it only while it has the focus: scrolling a form must not change what it holds.
"""

from __future__ import annotations

import math

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from PySide6.QtWidgets import QSlider, QWidget

from app import theme
from engine import Param

MOST_STEPS = 1000
HANDLE = 14  # pixels across


class PlainSlider(QSlider):
    """A slider over whole numbers. A press anywhere on it moves it there."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumHeight(22)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)

    def filled_from(self) -> int:
        """The place where the coloured part of the track begins."""
        return self.minimum()

    def marked(self) -> int | None:
        """The place of the mark."""
        return None

    def idle(self) -> bool:
        """Whether what it shows changes nothing."""
        return not self.isEnabled()

    # --- Qt -----------------------------------------------------------------------------------------------------------

    def sizeHint(self) -> QSize:
        return QSize(160, 22)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self.setSliderDown(True)
            self._drag(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self.isSliderDown():
            self._drag(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self.setSliderDown(False)
        self.update()

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()

    def _drag(self, event: QMouseEvent) -> None:
        share = (event.position().x() - HANDLE / 2) / max(1, self.width() - HANDLE)
        self.setValue(self.minimum() + round(min(max(share, 0.0), 1.0) * (self.maximum() - self.minimum())))

    def _x(self, place: int) -> float:
        share = (place - self.minimum()) / max(1, self.maximum() - self.minimum())
        return HANDLE / 2 + (self.width() - HANDLE) * share

    def paintEvent(self, event: QPaintEvent) -> None:
        now = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        middle, x, idle, mark = self.height() / 2, self._x(self.value()), self.idle(), self.marked()
        painter.setBrush(QColor(now.faint))
        painter.drawRoundedRect(QRectF(HANDLE / 2, middle - 2, self.width() - HANDLE, 4), 2, 2)
        if not idle:
            start = self._x(self.filled_from())
            painter.setBrush(QColor(now.accent))
            painter.drawRoundedRect(QRectF(min(start, x), middle - 2, abs(x - start), 4), 2, 2)
        if mark is not None:
            painter.setBrush(QColor(now.muted))
            painter.drawRoundedRect(QRectF(self._x(mark) - 1, middle - 6, 2, 12), 1, 1)
        if self.hasFocus():
            painter.setBrush(QColor(now.selection))
            painter.drawEllipse(QPointF(x, middle), HANDLE / 2 + 4, HANDLE / 2 + 4)
        ring = now.muted if idle else now.accent
        painter.setPen(QPen(QColor(ring), 2))
        filled = self.isSliderDown() or self.underMouse() or self.hasFocus()
        painter.setBrush(QColor(ring if filled and not idle else now.surface))
        painter.drawEllipse(QPointF(x, middle), HANDLE / 2 - 1, HANDLE / 2 - 1)


class Slider(PlainSlider):
    """moved: the value the person chose, in the Param's unit; set_number() is silent."""

    moved = Signal(float)

    def __init__(self, knob: Param, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        assert knob.low is not None and knob.high is not None and knob.step is not None
        self._knob = knob
        self._low, self._high, self._step = knob.low, knob.high, knob.step
        self.setRange(0, MOST_STEPS if knob.scale == "log" else round((self._high - self._low) / self._step))
        self.setPageStep(max(1, self.maximum() // 10))
        self.setAccessibleName(knob.label)
        self.setAccessibleDescription(knob.help)
        self._mark: float | None = None
        self._number = self._low
        self.valueChanged.connect(self._on_value)

    @property
    def number(self) -> float:
        """The value in the Param's unit."""
        return self._number

    def set_number(self, number: float) -> None:
        """Show a value, without a signal; one between two steps is kept as it is."""
        self._number = number
        self.blockSignals(True)
        self.setValue(self._place_of(number))
        self.blockSignals(False)
        self.update()

    def set_mark(self, number: float | None) -> None:
        """Where the preset stands."""
        if self._mark != number:
            self._mark = number
            self.update()

    def filled_from(self) -> int:
        return 0 if self._knob.off is None else self._place_of(self._knob.off)

    def marked(self) -> int | None:
        return None if self._mark is None else self._place_of(self._mark)

    def idle(self) -> bool:
        return super().idle() or self._number == self._knob.off

    def _place_of(self, number: float) -> int:
        if self._knob.scale == "log":
            share = math.log(number / self._low) / math.log(self._high / self._low)
        else:
            share = (number - self._low) / (self._high - self._low)
        return round(share * self.maximum())

    def _number_at(self, place: int) -> float:
        share = place / self.maximum()
        if self._knob.scale == "log":
            number = self._low * (self._high / self._low) ** share
        else:
            number = self._low + share * (self._high - self._low)
        number = self._low + round((number - self._low) / self._step) * self._step
        return round(min(max(number, self._low), self._high), 6)

    def _on_value(self, place: int) -> None:
        number = self._number_at(place)
        if number != self._number:
            self._number = number
            self.moved.emit(number)
        self.update()
