"""A list of texts that can be added to and removed from, such as the strings at which an answer stops.

The texts stand as they are, blanks and line ends drawn; what is typed writes a line break as \\n.
"""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QFontMetrics,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
)

from app import theme
from app.widgets.named import named
from app.widgets.text_row import TextRow, drawn, meant, typed, words_of
from engine import SamplingParams

MOST = 8  # rows before it scrolls
CROSS = 28  # pixels at the right of a row: where a click removes it
EDGE = 8  # pixels at its left
WRAP = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter | Qt.TextFlag.TextWrapAnywhere
Index = QModelIndex | QPersistentModelIndex


class _Line(QStyledItemDelegate):
    """Draws one text, broken wherever it has to be, and the cross that removes it."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        view = self.parent()
        assert isinstance(view, Texts)
        return QSize(0, view.height_of(str(index.data())))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        now, rect = theme.current(), QRect(option.rect)
        state = option.state
        painter.save()
        if state & QStyle.StateFlag.State_Selected:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(now.selection))
            painter.drawRoundedRect(rect, 4, 4)
        if state & QStyle.StateFlag.State_HasFocus:
            painter.setPen(QColor(now.accent))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(rect.adjusted(0, 0, -1, -1), 4, 4)
        enabled = bool(state & QStyle.StateFlag.State_Enabled)
        painter.setPen(QColor(now.text if enabled else now.muted))
        painter.setFont(theme.font(mono=True))
        painter.drawText(rect.adjusted(EDGE, 0, -CROSS, 0), WRAP, str(index.data()))
        middle = QRect(rect.right() - CROSS + 7, rect.center().y() - 7, 16, 16)
        theme.icon("x", 16, "muted").paint(painter, middle)
        painter.restore()


class Texts(QListWidget):
    """The texts by themselves. removed: the rows that are to go."""

    removed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.setItemDelegate(_Line(self))
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setResizeMode(QListWidget.ResizeMode.Adjust)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTabKeyNavigation(False)
        self.setToolTip("Remove a text with its cross, or with Delete")
        self.show_texts(())

    def show_texts(self, texts: tuple[str, ...]) -> None:
        """These and no others; what takes the keyboard stays where it is, as far as it can."""
        row = self.currentRow()
        self.clear()
        for text in texts:
            item = QListWidgetItem(drawn(text), self)
            item.setData(Qt.ItemDataRole.AccessibleTextRole, typed(text))
        if self.hasFocus():
            self.setCurrentRow(min(max(row, 0), len(texts) - 1))
        self.setVisible(bool(texts))
        self._fit()

    def height_of(self, text: str) -> int:
        """Pixels that a drawn text takes at this width."""
        width = max(1, self.viewport().width() - EDGE - CROSS)
        metrics = QFontMetrics(theme.font(mono=True))
        return max(CROSS, metrics.boundingRect(QRect(0, 0, width, 1), WRAP, text).height() + 8)

    def cross(self, row: int) -> QRect:
        """Where a click removes this row, within the viewport."""
        rect = self.visualItemRect(self.item(row))
        return rect.adjusted(rect.width() - CROSS, 0, 0, 0)

    def _fit(self) -> None:
        heights = [self.height_of(self.item(row).text()) for row in range(min(self.count(), MOST))]
        self.setFixedHeight(max(CROSS, sum(heights)))

    # --- Qt -----------------------------------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        if self.currentRow() < 0:
            self.setCurrentRow(0)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        place = event.position().toPoint()
        row = self.indexAt(place).row()
        if event.button() == Qt.MouseButton.LeftButton and row >= 0 and self.cross(row).contains(place):
            self.removed.emit([row])
        else:
            super().mousePressEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        rows = sorted(index.row() for index in self.selectedIndexes())
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.removed.emit(rows)
        elif event.matches(QKeySequence.StandardKey.Copy):
            texts = [self.item(row).data(Qt.ItemDataRole.AccessibleTextRole) for row in rows]
            QGuiApplication.clipboard().setText("\n".join(texts))
        else:
            super().keyPressEvent(event)


class TextList(TextRow):
    """A setting that is a list of texts. one: what a single text of it is called. hint: shown where one is typed."""

    def __init__(self, name: str, one: str, hint: str) -> None:
        super().__init__(words_of(name), getattr(SamplingParams.neutral(), name))
        self.entry = named(QLineEdit(), f"{name}Entry", f"Add a {one}")
        self.entry.setPlaceholderText(hint)
        self.entry.returnPressed.connect(self._add)
        self.list = named(Texts(), f"{name}List", self.knob.label)
        self.list.setAccessibleDescription("Delete removes a text.")
        self.list.removed.connect(self._remove)
        self.column.addWidget(self.entry)
        self.column.addWidget(self.list)
        self.set_value(self.value)

    def set_value(self, value: tuple[str, ...]) -> None:
        super().set_value(value)
        self.list.show_texts(value)

    def _add(self) -> None:
        """What was typed; lines that were pasted are a text each."""
        texts = tuple(meant(line) for line in self.entry.text().splitlines())
        self.entry.clear()
        self._choose(tuple(dict.fromkeys((*self.value, *filter(None, texts)))))

    def _remove(self, rows: list[int]) -> None:
        self._choose(tuple(text for row, text in enumerate(self.value) if row not in rows))
        if not self.value:
            self.entry.setFocus()

    def _choose(self, texts: tuple[str, ...]) -> None:
        if texts != self.value:
            self.set_value(texts)
            self.changed.emit(texts)
