"""Small maps of every head of every layer: a row a layer, a column a head, one of them chosen.

What was not captured is hatched. Arrow keys move the choice.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPoint, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QGuiApplication,
    QImage,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QFrame, QScrollArea, QWidget

from app import theme
from app.widgets.tint import hatching, tinted

EDGE_LEFT, EDGE_TOP, GAP = 22, 18, 2
SMALLEST, LARGEST = 8, 64  # pixels of a cell


class HeadGrid(QWidget):
    """chosen: layer and head that the person picked. moved: where the middle of the marked head lies."""

    chosen = Signal(int, int)
    moved = Signal(QPoint)

    def __init__(self) -> None:
        super().__init__()
        self._layers = self._heads = 0
        self._cell = 32
        self._choice = (0, 0)
        self._image: QImage | None = None
        self._side = [0, 0]  # rows and columns of a small map
        self._cells: npt.NDArray[np.floating] | None = None
        self._theme = theme.current()  # of the image
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAccessibleName("Heads")
        self._describe()

    @property
    def choice(self) -> tuple[int, int]:
        """Layer and head."""
        return self._choice

    @property
    def shape(self) -> tuple[int, int]:
        """How many layers and heads there are."""
        return self._layers, self._heads

    def set_shape(self, layers: int, heads: int) -> None:
        """How many layers and heads the model has; 0 where there is none."""
        if (layers, heads) != (self._layers, self._heads):
            self._layers, self._heads = layers, heads
            self._image = self._cells = None
            self._choice = (min(self._choice[0], max(0, layers - 1)), min(self._choice[1], max(0, heads - 1)))
            self._describe()
            self.updateGeometry()
            self.update()

    def set_choice(self, layer: int, head: int) -> None:
        """Mark a head, without a signal."""
        self._choice = (layer, head)
        self.moved.emit(self._box(layer, head).center().toPoint())
        self._describe()
        self.update()

    def set_maps(self, cells: npt.NDArray[np.floating] | None) -> None:
        """The small maps float32 [L, H, n, m], NaN where not captured; None where there are none."""
        if self._image is not None and cells is self._cells and theme.current() is self._theme:
            return
        self._theme = theme.current()
        if cells is None or cells.shape[:2] != (self._layers, self._heads):
            self._image = self._cells = None
        else:
            self._cells = cells
            layers, heads, *self._side = cells.shape
            down, across = self._side
            self._image = tinted(cells.transpose(0, 2, 1, 3).reshape(layers * down, heads * across))
        self.update()

    def as_text(self) -> str:
        """The small map of the head that is marked, a line for each row of it; "" where it was not captured."""
        if self._cells is None:
            return ""
        return "\n".join("\t".join("" if np.isnan(w) else f"{w:.4f}" for w in row) for row in self._cells[self._choice])

    def fitting(self, space: QSize) -> QSize:
        """The size at which the cells are as large as fits into this space, within reason."""
        across = (space.width() - EDGE_LEFT) // max(1, self._heads)
        down = (space.height() - EDGE_TOP) // max(1, self._layers)
        return self._size(min(max(min(across, down), SMALLEST), LARGEST))

    def sizeHint(self) -> QSize:
        return self._size(self._cell)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._cell = max(SMALLEST, (self.width() - EDGE_LEFT) // max(1, self._heads))

    def _size(self, cell: int) -> QSize:
        return QSize(EDGE_LEFT + self._heads * cell, EDGE_TOP + self._layers * cell)

    def _describe(self) -> None:
        words = f"Layer {self._choice[0]}, head {self._choice[1]} of {self._layers} layers with {self._heads} heads"
        self.setAccessibleDescription(words if self._layers else "No model")

    def _at(self, x: float, y: float) -> tuple[int, int] | None:
        layer, head = int((y - EDGE_TOP) // self._cell), int((x - EDGE_LEFT) // self._cell)
        return (layer, head) if 0 <= layer < self._layers and 0 <= head < self._heads else None

    def _choose(self, layer: int, head: int) -> None:
        if (layer, head) != self._choice:
            self.set_choice(layer, head)
            self.chosen.emit(layer, head)

    # --- Qt -----------------------------------------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        place = self._at(event.position().x(), event.position().y())
        self.setToolTip(f"Layer {place[0]}, head {place[1]}" if place else "")

    def mousePressEvent(self, event: QMouseEvent) -> None:
        place = self._at(event.position().x(), event.position().y())
        if place:
            self._choose(*place)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        moves = {
            Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0), Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1),
        }  # fmt: skip
        key = Qt.Key(event.key())
        if event.matches(QKeySequence.StandardKey.Copy):
            QGuiApplication.clipboard().setText(self.as_text())
        elif key in moves and self._layers:
            layer, head = (place + by for place, by in zip(self._choice, moves[key]))
            self._choose(min(max(layer, 0), self._layers - 1), min(max(head, 0), self._heads - 1))
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        now = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, max(self._side) > self._cell)
        self._draw_numbers(painter)
        places = [(layer, head) for layer in range(self._layers) for head in range(self._heads)]
        boxes, empty = [self._box(*place) for place in places], hatching()
        down, across = self._side
        for (layer, head), box in zip(places, boxes):
            painter.fillRect(box, empty)
            if self._image is not None:
                painter.drawImage(box, self._image, QRectF(head * across, layer * down, across, down))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(now.line), 1))
        painter.drawRects([box.adjusted(-0.5, -0.5, 0.5, 0.5) for box in boxes])
        if self._layers:
            painter.setPen(QPen(QColor(now.text if self.hasFocus() else now.accent), 2))
            painter.drawRect(self._box(*self._choice))

    def _box(self, layer: int, head: int) -> QRectF:
        size = self._cell - GAP
        return QRectF(EDGE_LEFT + head * self._cell + 0.5, EDGE_TOP + layer * self._cell + 0.5, size, size)

    def _draw_numbers(self, painter: QPainter) -> None:
        """Layers at the left, heads at the top; every one where there is room, else every few."""
        now = theme.current()
        painter.setFont(theme.font(10))
        every = 1 if self._cell >= 14 else 2
        for number in range(0, max(self._layers, self._heads), every):
            if number < self._layers:
                box = QRectF(0, EDGE_TOP + number * self._cell, EDGE_LEFT - 6, self._cell)
                painter.setPen(QColor(now.accent if number == self._choice[0] else now.muted))
                painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, str(number))
            if number < self._heads:
                box = QRectF(EDGE_LEFT + (number + 0.5) * self._cell - 12, 0, 24, EDGE_TOP - 2)
                painter.setPen(QColor(now.accent if number == self._choice[1] else now.muted))
                painter.drawText(box, Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignVCenter, str(number))


class HeadArea(QScrollArea):
    """A grid of heads as large as it may be, scrolled where it does not fit; the chosen head stays in view."""

    def __init__(self, grid: HeadGrid) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._grid = grid
        self.setWidget(grid)
        self.setMaximumSize(grid.sizeHint())  # else it would ask for more room than there is
        self.viewport().setAutoFillBackground(False)
        grid.setAutoFillBackground(False)
        grid.moved.connect(lambda place: self.ensureVisible(place.x(), place.y(), 24, 24))

    def show_grid(self, size: QSize, room: QSize) -> None:
        """Give the grid this size, and itself as much of it as there is room for."""
        bar = self.verticalScrollBar().sizeHint().width() if size.height() > room.height() else 0
        most = (size + QSize(bar, 0)).boundedTo(room)
        if (size, most) != (self._grid.minimumSize(), self.maximumSize()):
            self._grid.setFixedSize(size)
            self.setMaximumSize(most)
            self.updateGeometry()

    def sizeHint(self) -> QSize:
        return self.maximumSize()

    def minimumSizeHint(self) -> QSize:
        return QSize(60, 60)
