"""One head, large: who looks (rows) at whom (columns), with the tokens on the axes and a cross-hair under the pointer.

Positions count over the whole context. A row that was not captured is hatched and says so; what lies in a token's
future stays empty, unless the columns are tokens of their own: then every row sees them all. It draws what it is given
and knows no model.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
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
    QPolygonF,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from app import theme
from app.widgets.pieces import visible, worded
from app.widgets.tint import hatching, tinted

READABLE = 13.0  # pixels of a cell from which tokens are written on the axes
LARGEST = 30.0
WIDEST = 4096  # pixels of the cells of a picture
ROOM = (76, 58)  # pixels for tokens at the left, at most, and above
NUMBERS = (34, 18)  # the same for positions only
SLANT = 22  # pixels at the right for the slanted token of the last column
CENTRE = Qt.AlignmentFlag.AlignCenter
LEFT_MIDDLE = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
RIGHT_MIDDLE = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class Heatmap(QWidget):
    """row_chosen: the position of the row that was clicked. pointed: the cross-hair moved, or went away."""

    row_chosen = Signal(int)
    pointed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._values: npt.NDArray[np.floating] = np.empty((0, 0), np.float32)
        self._first = 0
        self._tokens: list[str] = []
        self._seen: list[str] = []
        self._causal = True
        self._row = -1
        self._cell: float | None = 14.0  # None: the whole map in view
        self._corner = (0, 0)  # row and column at the upper left
        self._letters = 0  # of the longest token
        self._label_width = ROOM[0]
        self._drag: tuple[QPointF, tuple[int, int]] | None = None
        self.pointer: tuple[int, int] | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setMinimumSize(160, 140)
        self.setAccessibleName("Attention of one head")
        self.setAccessibleDescription("Arrow keys move the cross-hair, Enter chooses its row.")

    def set_map(
        self,
        values: npt.NDArray[np.floating],
        first: int,
        tokens: list[str],
        row: int,
        seen: list[str] | None = None,
    ) -> None:
        """Rows from position `first` on, [R, S] with NaN where not captured, and the row in focus or -1.

        tokens: of the rows. seen: the S of the columns; None where each row looks at the rows up to itself.
        """
        columns = tokens if seen is None else seen
        grown = (len(tokens), len(columns)) != (len(self._tokens), len(self._seen))
        known = len(self._tokens)
        fresh = tokens[known:] if known and tokens[:known] == self._tokens else tokens
        letters = max((len(visible(token, 16)) for token in fresh), default=0)
        self._letters = letters if fresh is tokens else max(letters, self._letters)
        self._values, self._first, self._tokens = values, first, tokens
        self._seen, self._causal = columns, seen is None
        advance = QFontMetricsF(theme.font(11, mono=True)).horizontalAdvance("x")
        self._label_width = min(ROOM[0], round(self._letters * advance) + 8)
        if row != self._row or grown:
            self._row = row
            self._bring_into_view()
        if self.pointer is not None and (self.pointer[0] >= len(tokens) or self.pointer[1] >= len(columns)):
            self.pointer = None
        self.update()

    def weight(self, row: int, column: int) -> float | None:
        """A cell's weight; None where it was not captured."""
        if not 0 <= row - self._first < len(self._values) or column >= self._values.shape[1]:
            return None
        if self._causal and column > row:
            return None
        value = float(self._values[row - self._first, column])
        return value if np.isfinite(value) else None

    def readout(self) -> str:
        """The cell under the cross-hair in words; "" where there is none."""
        if self.pointer is None:
            return ""
        row, column = self.pointer
        who, whom = (f"{worded(names[i], 16)} ({i})" for names, i in zip((self._tokens, self._seen), self.pointer))
        if self._causal and column > row:
            return f"{who} comes before {whom} and cannot look at it"
        weight = self.weight(row, column)
        return f"{who} → {whom}: {'not captured' if weight is None else f'{weight:.3f}'}"

    def zoom(self, by: float) -> None:
        """Larger or smaller cells; at the small end the whole map is in view."""
        whole = self._whole()
        cell = (self._cell or whole) * by
        self._cell = None if cell <= whole else min(cell, LARGEST)
        self._bring_into_view()
        self.update()

    def fit(self) -> None:
        """The whole map."""
        self._cell = None
        self._bring_into_view()
        self.update()

    def as_text(self) -> str:
        """The part in view as tab-separated lines, tokens at the head and in front."""
        rows, columns = self._in_view()
        lines = ["\t".join(["", *(visible(self._seen[c]) for c in columns)])]
        for row in rows:
            cells = [self.weight(row, c) for c in columns]
            words = ["" if w is None else f"{w:.4f}" for w in cells]
            lines.append("\t".join([visible(self._tokens[row]), *words]))
        return "\n".join(lines)

    def picture(self) -> QImage:
        """The whole map with both axes, its cells as large as fits into WIDEST pixels."""
        cell = float(max(1, min(14, WIDEST // max(1, len(self._tokens), len(self._seen)))))
        whole = _Picture(cell)
        seen = None if self._causal else self._seen
        whole.resize(round(cell * len(self._seen)) + ROOM[0] + SLANT + 4, round(cell * len(self._tokens)) + ROOM[1] + 4)
        whole.set_map(self._values, self._first, self._tokens, self._row, seen)
        image = QImage(whole.size(), QImage.Format.Format_RGB32)
        image.fill(QColor(theme.current().surface))
        whole.render(image, renderFlags=QWidget.RenderFlag.DrawChildren)
        return image

    def csv_rows(self) -> Iterator[list[str]]:
        """A head of the tokens seen, then each row with its own token; empty where it sees nothing or was not captured.

        What it needs is taken now, so that another thread may go through it later.
        """
        values, first, causal = self._values, self._first, self._causal
        return _csv_rows(values, first, causal, list(self._tokens), list(self._seen))

    # --- geometry -----------------------------------------------------------------------------------------------------

    def _whole(self) -> float:
        down, across = max(1, len(self._tokens)), max(1, len(self._seen))
        left, top = NUMBERS
        return min((self.width() - left - 2) / across, (self.height() - top - 2) / down, LARGEST)

    def _size(self) -> float:
        return self._whole() if self._cell is None else max(self._cell, self._whole())

    def _named(self) -> bool:
        return self._size() >= READABLE

    def _origin(self) -> tuple[int, int]:
        return (min(self._label_width, int(self.width() * 0.28)), ROOM[1]) if self._named() else NUMBERS

    def _spans(self) -> tuple[int, int]:
        """How many rows and columns are in view: hardly more rows than columns where the rest would be the future."""
        left, top = self._origin()
        size = self._size()
        right = SLANT if self._named() else 0
        columns = min(len(self._seen), max(1, int((self.width() - left - right) / size + 1e-6)))
        rows = min(len(self._tokens), max(1, int((self.height() - top) / size + 1e-6)))
        return min(rows, columns + 3) if self._causal else rows, columns

    def _in_view(self) -> tuple[range, range]:
        (rows, columns), (row, column) = self._spans(), self._corner
        return range(row, row + rows), range(column, column + columns)

    def _scroll(self, row: int, column: int) -> None:
        rows, columns = self._spans()
        last = len(self._tokens) - rows, len(self._seen) - columns
        self._corner = (min(max(row, 0), last[0]), min(max(column, 0), last[1]))

    def _bring_into_view(self) -> None:
        """Show the row in focus near the bottom, and the tokens just before it, or else where it looks most."""
        rows, columns = self._spans()
        here = self._row if self._row >= 0 else len(self._tokens) - 1
        there = here + 2
        if not self._causal:
            line = self._values[here - self._first] if 0 <= here - self._first < len(self._values) else np.zeros(0)
            there = int(np.nanargmax(line)) + columns // 2 if np.isfinite(line).any() else 0
        self._scroll(here - rows + 2, there - columns)

    def _at(self, place: QPointF) -> tuple[int, int] | None:
        left, top = self._origin()
        row = int((place.y() - top) // self._size()) + self._corner[0]
        column = int((place.x() - left) // self._size()) + self._corner[1]
        rows, columns = self._in_view()
        return (row, column) if row in rows and column in columns else None

    # --- Qt -----------------------------------------------------------------------------------------------------------

    def sizeHint(self) -> QSize:
        return QSize(300, 280)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._bring_into_view()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._drag is not None and event.buttons() & Qt.MouseButton.LeftButton:
            start, (row, column) = self._drag
            moved = (event.position() - start) / self._size()
            self._scroll(row - round(moved.y()), column - round(moved.x()))
        self._point(self._at(event.position()))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._drag = (event.position(), self._corner)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        drag, self._drag = self._drag, None
        place = self._at(event.position())
        if drag is not None and drag[1] == self._corner and place is not None:
            self.row_chosen.emit(place[0])

    def leaveEvent(self, event: object) -> None:
        self._point(None)

    def wheelEvent(self, event: QWheelEvent) -> None:
        steps = event.angleDelta()
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.zoom(1.2 if steps.y() > 0 else 1 / 1.2)
        else:
            row, column = self._corner
            self._scroll(row - steps.y() // 40, column - steps.x() // 40)
            self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        moves = {
            Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0), Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1),
        }  # fmt: skip
        key = Qt.Key(event.key())
        if event.matches(QKeySequence.StandardKey.Copy):
            QGuiApplication.clipboard().setText(self.as_text())
        elif key in moves and self._tokens:
            last = len(self._tokens) - 1, len(self._seen) - 1
            start = self.pointer or (max(self._row, 0), max(self._row, 0))
            row, column = (min(max(place + by, 0), end) for place, by, end in zip(start, moves[key], last))
            rows, columns = self._in_view()
            if row not in rows or column not in columns:
                self._scroll(row - len(rows) // 2, column - len(columns) // 2)
            self._point((row, column))
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.pointer is not None:
            self.row_chosen.emit(self.pointer[0])
        elif event.text() in ("+", "-"):
            self.zoom(1.2 if event.text() == "+" else 1 / 1.2)
        else:
            super().keyPressEvent(event)

    def _point(self, place: tuple[int, int] | None) -> None:
        if place != self.pointer:
            self.pointer = place
            self.setAccessibleDescription(self.readout())
            self.pointed.emit()
        self.update()

    # --- painting -----------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        if self._tokens and self._seen:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._draw_missing(painter)
            self._draw_cells(painter)
            self._draw_axes(painter)
            self._draw_marks(painter)
        if self.hasFocus():
            painter.setPen(QPen(QColor(theme.current().accent), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 5, 5)

    def _place(self, row: float, column: float) -> QPointF:
        left, top = self._origin()
        size = self._size()
        return QPointF(left + (column - self._corner[1]) * size, top + (row - self._corner[0]) * size)

    def _field(self) -> QRectF:
        rows, columns = self._in_view()
        return QRectF(self._place(rows.start, columns.start), self._place(rows.stop, columns.stop))

    def _draw_cells(self, painter: QPainter) -> None:
        """The captured rows in view, one pixel a cell, or the largest of the cells that share a pixel."""
        rows, columns = self._in_view()
        top, bottom = max(rows.start, self._first), min(rows.stop, self._first + len(self._values))
        right = min(columns.stop, self._values.shape[1])
        if top >= bottom or columns.start >= right:
            return
        part = self._values[top - self._first : bottom - self._first, columns.start : right].astype(np.float32)
        if self._causal:
            part[np.arange(columns.start, right)[None, :] > np.arange(top, bottom)[:, None]] = np.nan
        size = self._size()
        each = max(1, int(1 / size))  # cells that share a pixel
        part = _largest(_largest(part, each).T, each).T
        painter.save()
        painter.setClipRect(self._field())
        end = self._place(top + each * part.shape[0], columns.start + each * part.shape[1])
        painter.drawImage(QRectF(self._place(top, columns.start), end), tinted(part))
        painter.restore()

    def _draw_missing(self, painter: QPainter) -> None:
        """Hatch the rows that were not captured, as far as they can see, and say so where there is room."""
        now, field = theme.current(), self._field()
        painter.fillRect(field, QColor(now.window))
        rows, columns = self._in_view()
        kept = np.isfinite(self._values[:, 0]) if self._values.size else np.zeros(0, bool)
        gaps = [r for r in rows if not (0 <= r - self._first < len(kept) and kept[r - self._first])]
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(hatching())
        painter.save()
        painter.setClipRect(field)
        for start, stop in _runs(gaps):
            ends = (start + 1, stop) if self._causal else (len(self._seen),) * 2
            corners = [self._place(start, 0), self._place(start, ends[0])]
            corners += [self._place(stop, ends[1]), self._place(stop, 0)]
            painter.drawPolygon(QPolygonF(corners))
        painter.restore()
        for start, stop in _runs(gaps):
            if (stop - start) * self._size() > 20 and (columns.start < stop or not self._causal):
                box = QRectF(self._place(start, columns.start), self._place(stop, columns.stop)).intersected(field)
                painter.setPen(QColor(now.muted))
                painter.setFont(theme.font(theme.CAPTION))
                painter.drawText(box.adjusted(8, 0, -8, 0), LEFT_MIDDLE, "not captured")

    def _draw_axes(self, painter: QPainter) -> None:
        size, field, named = self._size(), self._field(), self._named()
        rows, columns = self._in_view()
        painter.setFont(theme.font(11 if named else 10, mono=named))
        if named:
            self._draw_names(painter, rows, columns, field, size)
            return
        painter.setPen(QColor(theme.current().muted))
        every = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10**6) if step * size > 30)
        for number in (r for r in rows if r % every == 0):
            y = field.top() + (number - rows.start) * size
            painter.drawText(QRectF(0, y - 7, field.left() - 4, 14), RIGHT_MIDDLE, str(number))
        for number in (c for c in columns if c % every == 0):
            x = field.left() + (number - columns.start) * size
            painter.drawText(QRectF(x - 20, 0, 40, 16), CENTRE, str(number))

    def _draw_names(self, painter: QPainter, rows: range, columns: range, field: QRectF, size: float) -> None:
        """The tokens of the rows and of the columns, these slanted where they are wider than a cell."""
        accent, muted = QColor(theme.current().accent), QColor(theme.current().muted)
        metrics, here = QFontMetricsF(painter.font()), self.pointer or (self._row, -1)
        for row in rows:
            painter.setPen(accent if row == here[0] else muted)
            box = QRectF(0, field.top() + (row - rows.start) * size, field.left() - 5, size)
            words = metrics.elidedText(visible(self._tokens[row], 16), Qt.TextElideMode.ElideMiddle, box.width())
            painter.drawText(box, RIGHT_MIDDLE, words)
        heads = [visible(self._seen[column], 9) for column in columns]
        flat = all(metrics.horizontalAdvance(words) < size - 2 for words in heads)
        foot = field.top() - 4
        painter.save()
        painter.translate(field.left() - size / 2, 0)
        for column, words in zip(columns, heads):
            painter.setPen(accent if column == here[1] else muted)
            painter.translate(size, 0)
            if flat:
                painter.drawText(QRectF(-size / 2, foot - 14, size, 14), CENTRE, words)
                continue
            painter.translate(0, foot)
            painter.rotate(-45)
            painter.drawText(QPointF(0, 3), words)
            painter.rotate(45)
            painter.translate(0, -foot)
        painter.restore()

    def _draw_marks(self, painter: QPainter) -> None:
        """The row in focus, the cross-hair, the frame."""
        now, size, field = theme.current(), self._size(), self._field()
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(now.line), 1))
        painter.drawRect(field)
        rows, columns = self._in_view()
        if self._row in rows:
            y = self._place(self._row, 0).y()
            painter.setPen(QPen(QColor(now.accent), 1.5))
            painter.drawRect(QRectF(field.left(), y, field.width(), max(size, 2)))
        if self.pointer is not None and self.pointer[0] in rows and self.pointer[1] in columns:
            centre = self._place(self.pointer[0] + 0.5, self.pointer[1] + 0.5)
            painter.setPen(QPen(QColor(now.text), 1, Qt.PenStyle.DotLine))
            painter.drawLine(QPointF(field.left(), centre.y()), QPointF(field.right(), centre.y()))
            painter.drawLine(QPointF(centre.x(), field.top()), QPointF(centre.x(), field.bottom()))
            painter.setPen(QPen(QColor(now.text), 1.5))
            painter.drawRect(QRectF(self._place(*self.pointer), QSize(round(size), round(size))))


def _largest(rows: npt.NDArray[np.floating], each: int) -> npt.NDArray[np.floating]:
    """Of every `each` neighbouring rows the largest values, NaN only where all are."""
    result = rows[::each].copy()
    for offset in range(1, each):
        more = rows[offset::each]
        np.fmax(result[: len(more)], more, out=result[: len(more)])
    return result


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    """Neighbouring numbers as (first, one past the last)."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number:
            runs[-1] = (runs[-1][0], number + 1)
        else:
            runs.append((number, number + 1))
    return runs


def _csv_rows(
    values: npt.NDArray[np.floating], first: int, causal: bool, tokens: list[str], seen: list[str]
) -> Iterator[list[str]]:
    yield ["", *seen]
    for row, token in enumerate(tokens):
        known = 0 <= row - first < len(values)
        width = (row + 1 if causal else len(seen)) if known else 0
        line = values[row - first, :width] if known else ()
        words = [f"{value:.6g}" if np.isfinite(value) else "" for value in line]
        yield [token, *words, *[""] * (len(seen) - width)]


class _Picture(Heatmap):
    """A map that is as large as its cells need."""

    def __init__(self, cell: float) -> None:
        super().__init__()
        self._pixels = cell

    def _size(self) -> float:
        return self._pixels
