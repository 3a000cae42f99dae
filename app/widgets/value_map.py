"""A table of numbers as a map of colours with named rows and columns, a cross-hair, and the same as a real table.

It draws what it is given and knows neither layers nor positions. The whole map is always in view; what a cell holds is
said in words by its owner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QGuiApplication,
    QImage,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QSizePolicy, QStackedWidget, QTableView, QWidget

from app import theme
from app.widgets.named import named
from app.widgets.pieces import visible
from app.widgets.scales import Scale

LEFT, TOP = 78, 18  # pixels for the names of rows, at most, and of columns
TALLEST, LEAST = 26.0, 3.0  # pixels of a row
CENTRE = Qt.AlignmentFlag.AlignCenter
RIGHT_MIDDLE = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter

Index = QModelIndex | QPersistentModelIndex
ROOT = QModelIndex()


class ValueMap(QWidget):
    """chosen: row and column of a cell that was clicked or entered. pointed: the cross-hair moved, or went away."""

    chosen = Signal(int, int)
    pointed = Signal()

    def __init__(self, name: str, words: str) -> None:
        super().__init__()
        self.values: npt.NDArray[np.floating] = np.empty((0, 0), np.float32)
        self.rows: Sequence[str] = ()
        self.columns: Sequence[str] = ()
        self._scale = Scale("")
        self._describe: Callable[[int, int], str] = lambda row, column: ""
        self._marked = -1
        self._image: QImage | None = None
        self.pointer: tuple[int, int] | None = None
        named(self, name, words)
        self.setAccessibleDescription("Arrow keys move the cross-hair, Enter chooses its cell.")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setMinimumSize(160, 120)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)

    def set_map(
        self,
        values: npt.NDArray[np.floating],
        rows: Sequence[str],
        columns: Sequence[str],
        scale: Scale,
        describe: Callable[[int, int], str],
        marked: int = -1,
    ) -> None:
        """values [R, C] with the names of both; describe: a cell in words. marked: the column in focus."""
        if values.shape != self.values.shape:
            self.pointer = None
        self.values, self.rows, self.columns = values, rows, columns
        self._scale, self._describe, self._marked = scale, describe, marked
        self._image = scale.image(values) if values.size else None
        self.update()

    def readout(self) -> str:
        """The cell under the cross-hair in words; "" where there is none."""
        return self._describe(*self.pointer) if self.pointer is not None else ""

    def as_text(self) -> str:
        """All of it as tab-separated lines, names at the head and in front."""
        lines = ["\t".join(["", *map(visible, self.columns)])]
        for name, values in zip(self.rows, self.values):
            lines.append("\t".join([visible(name), *(f"{value:.5g}" for value in values)]))
        return "\n".join(lines)

    # --- geometry -----------------------------------------------------------------------------------------------------

    def _field(self) -> QRectF:
        metrics = QFontMetricsF(theme.font(10))
        longest = max((metrics.horizontalAdvance(name) for name in self.rows), default=0.0)
        left = min(longest + 8, LEFT)
        rows = max(1, len(self.rows))
        height = min((self.height() - TOP - 2) / rows, TALLEST) * rows
        return QRectF(left, TOP, max(1.0, self.width() - left - 2), max(1.0, height))

    def _cell(self, row: int, column: int) -> QRectF:
        field = self._field()
        width, height = field.width() / max(1, len(self.columns)), field.height() / max(1, len(self.rows))
        return QRectF(field.left() + column * width, field.top() + row * height, width, height)

    def _at(self, place: QPointF) -> tuple[int, int] | None:
        field = self._field()
        if not field.contains(place) or not self.values.size:
            return None
        row = int((place.y() - field.top()) / field.height() * len(self.rows))
        column = int((place.x() - field.left()) / field.width() * len(self.columns))
        return min(row, len(self.rows) - 1), min(column, len(self.columns) - 1)

    # --- Qt -----------------------------------------------------------------------------------------------------------

    def sizeHint(self) -> QSize:
        return QSize(300, TOP + 2 + round(min(len(self.rows), 20) * 14))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._point(self._at(event.position()))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        event.accept()  # the click is its

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        place = self._at(event.position())
        if place is not None:
            self.chosen.emit(*place)

    def leaveEvent(self, event: object) -> None:
        self._point(None)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        moves = {
            Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0), Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1),
        }  # fmt: skip
        key = Qt.Key(event.key())
        if event.matches(QKeySequence.StandardKey.Copy):
            QGuiApplication.clipboard().setText(self.as_text())
        elif key in moves and self.values.size:
            start = self.pointer or (len(self.rows) - 1, max(self._marked, 0))
            last = len(self.rows) - 1, len(self.columns) - 1
            row, column = (min(max(place + by, 0), end) for place, by, end in zip(start, moves[key], last))
            self._point((row, column))
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.pointer is not None:
            self.chosen.emit(*self.pointer)
        else:
            super().keyPressEvent(event)

    def _point(self, place: tuple[int, int] | None) -> None:
        if place != self.pointer:
            self.pointer = place
            self.setAccessibleDescription(self.readout() or "Arrow keys move the cross-hair, Enter chooses its cell.")
            self.pointed.emit()
            self.update()

    # --- painting -----------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, now, field = QPainter(self), theme.current(), self._field()
        if self.values.size and self._image is not None:
            painter.drawImage(field, self._image)
            painter.setPen(QPen(QColor(now.line), 1))
            painter.drawRect(field)
            self._draw_names(painter, field)
            self._draw_marks(painter, field)
        if self.hasFocus():
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(QColor(now.accent), 2))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 5, 5)

    def _draw_names(self, painter: QPainter, field: QRectF) -> None:
        """Every name that has room: of rows at the left, of columns above."""
        now = theme.current()
        painter.setFont(theme.font(10))
        here = self.pointer or (-1, self._marked)
        metrics = QFontMetricsF(painter.font())
        every = max(1, round(13 / (field.height() / len(self.rows)) + 0.49))
        for row, name in enumerate(self.rows):
            if row % every == 0 or row == here[0]:
                painter.setPen(QColor(now.accent if row == here[0] else now.muted))
                cell = self._cell(row, 0)
                box = QRectF(0, cell.center().y() - 7, field.left() - 5, 14)
                painter.drawText(box, RIGHT_MIDDLE, metrics.elidedText(name, Qt.TextElideMode.ElideLeft, box.width()))
        free = -1e9  # where the name before ends
        names = [here[1]] if 0 <= here[1] < len(self.columns) else []
        taken = [self._name_box(metrics, column) for column in names]
        for column in [*names, *range(len(self.columns))]:
            box = self._name_box(metrics, column)
            kept = column in names
            if not kept and (box.left() < free or any(box.intersects(other) for other in taken)):
                continue
            painter.setPen(QColor(now.accent if kept else now.muted))
            painter.drawText(box, CENTRE, visible(self.columns[column], 10))
            free = free if kept else box.right() + 4

    def _name_box(self, metrics: QFontMetricsF, column: int) -> QRectF:
        width = metrics.horizontalAdvance(visible(self.columns[column], 10)) + 2
        left = self._cell(0, column).center().x() - width / 2
        return QRectF(min(max(left, 0.0), self.width() - width), 1, width, TOP - 4)

    def _draw_marks(self, painter: QPainter, field: QRectF) -> None:
        now = theme.current()
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if 0 <= self._marked < len(self.columns):
            cell = self._cell(0, self._marked)
            painter.setPen(QPen(QColor(now.accent), 2))
            painter.drawRect(QRectF(cell.left(), field.top(), max(cell.width(), 3), field.height()))
        if self.pointer is not None:
            cell = self._cell(*self.pointer)
            for color, wide in ((now.surface, 4), (now.text, 2)):
                painter.setPen(QPen(QColor(color), wide))
                painter.drawRect(cell.adjusted(-1, -1, 1, 1))


class _Numbers(QAbstractTableModel):
    """The numbers of a map as they are asked for: no cell is made that nobody sees."""

    def __init__(self, map: ValueMap) -> None:
        super().__init__(map)
        self._map = map

    def rowCount(self, parent: Index = ROOT) -> int:
        return 0 if parent.isValid() else len(self._map.rows)

    def columnCount(self, parent: Index = ROOT) -> int:
        return 0 if parent.isValid() else len(self._map.columns)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return RIGHT_MIDDLE
        return f"{self._map.values[index.row(), index.column()]:.4g}" if role == Qt.ItemDataRole.DisplayRole else None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        names = self._map.columns if orientation == Qt.Orientation.Horizontal else self._map.rows
        return visible(names[section]) if role == Qt.ItemDataRole.DisplayRole and section < len(names) else None


class _Table(QTableView):
    """Copies the whole map, as the map itself does."""

    def __init__(self, map: ValueMap) -> None:
        super().__init__()
        self._map = map
        self.setModel(_Numbers(map))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            QGuiApplication.clipboard().setText(self._map.as_text())
        else:
            super().keyPressEvent(event)


class MapOrTable(QStackedWidget):
    """A map and its twin."""

    def __init__(self, name: str, words: str) -> None:
        super().__init__()
        self.map = ValueMap(name, words)
        self.table = named(_Table(self.map), f"{name}Table", f"{words} as a table")
        self.table.setTabKeyNavigation(False)
        self.table.verticalHeader().setDefaultSectionSize(26)
        self.table.horizontalHeader().setDefaultSectionSize(96)
        self.addWidget(self.map)
        self.addWidget(self.table)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)

    def show_table(self, on: bool) -> None:
        self.setCurrentIndex(1 if on else 0)

    def set_map(
        self,
        values: npt.NDArray[np.floating],
        rows: Sequence[str],
        columns: Sequence[str],
        scale: Scale,
        describe: Callable[[int, int], str],
        marked: int = -1,
    ) -> None:
        """As ValueMap's."""
        numbers = self.table.model()
        numbers.beginResetModel()
        self.map.set_map(values, rows, columns, scale, describe, marked)
        numbers.endResetModel()
