"""Words with a number each, as a table whose numbers are bars too: one widget to look at, to read and to copy.

It knows neither models nor masks. A row can be chosen by a click or Enter where the owner asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QGuiApplication, QKeyEvent, QKeySequence, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QSizePolicy,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
)

from app import theme

ROW = 26  # pixels
NUMBER = 62  # pixels that the number takes at the right of its bar
SHARE = Qt.ItemDataRole.UserRole


class _Bar(QStyledItemDelegate):
    """A number at the right, and at the left of it a bar as long as its share of the whole."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        super().paint(painter, option, index)
        rect = QRectF(option.rect).adjusted(6, 8, -NUMBER, -8)
        share = min(max(float(index.data(SHARE) or 0.0), 0.0), 1.0)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.current().faint))
        painter.drawRoundedRect(rect, 3, 3)
        rect.setWidth(max(2.0, rect.width() * share))
        painter.setBrush(QColor(theme.current().accent))
        painter.drawRoundedRect(rect, 3, 3)
        painter.restore()


class BarTable(QTableWidget):
    """chosen: the number of a row that was clicked or entered, where rows can be chosen."""

    chosen = Signal(int)

    def __init__(self, words: str, head: tuple[str, str], choosable: bool = False) -> None:
        super().__init__(0, 2)
        self._choosable = choosable
        self._head = head
        self._rows: list[tuple[str, str]] = []
        self.setAccessibleName(words)
        if choosable:
            self.setAccessibleDescription("Up and Down read the rows, Enter takes one.")
            self.cellClicked.connect(lambda row, _: self.chosen.emit(row))
            self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setHorizontalHeaderLabels(list(head))
        self.setItemDelegateForColumn(1, _Bar(self))
        self.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._fit()

    def show_rows(self, rows: Sequence[tuple[str, float, str]]) -> None:
        """A word, its share between 0 and 1, and the number in print, by row."""
        self._rows = [(word, number) for word, _, number in rows]
        self.setRowCount(len(rows))
        for row, (word, share, number) in enumerate(rows):
            name, value = QTableWidgetItem(word), QTableWidgetItem(number)
            name.setToolTip(word)
            value.setData(SHARE, share)
            value.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.setItem(row, 0, name)
            self.setItem(row, 1, value)
        self._fit()

    def as_text(self) -> str:
        """Head and rows, separated by tabs."""
        head = [word.lower() for word in self._head]
        return "\n".join("\t".join(cells) for cells in (head, *self._rows))

    def _fit(self) -> None:
        """As high as its rows: the page scrolls, not the table."""
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + ROW * self.rowCount() + 2)

    # --- Qt -----------------------------------------------------------------------------------------------------------

    def minimumSizeHint(self) -> QSize:
        return QSize(160, self.height())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            QGuiApplication.clipboard().setText(self.as_text())
        elif self._choosable and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.currentRow() >= 0:
            self.chosen.emit(self.currentRow())
        else:
            super().keyPressEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange:
            self._fit()
