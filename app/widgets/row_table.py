"""A table as high as its rows, up to a bound, whose Copy takes all of it: the twin in words of something coloured.

The rows stay as they are given and are asked for as they come into sight: a thousand cost no more than ten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QHeaderView, QTableView

from app.widgets.named import named

MOST = 10  # rows before it scrolls
ROW = 26  # pixels

Index = QModelIndex | QPersistentModelIndex
ROOT = QModelIndex()


class _Rows(QAbstractTableModel):
    """stretched: columns of words, which stand at the left; numbers stand at the right."""

    def __init__(self, head: Sequence[str], stretched: Sequence[int]) -> None:
        super().__init__()
        self._head, self._stretched = head, stretched
        self.rows: Sequence[Any] = ()
        self.cells: Callable[[Any], Sequence[str]] = tuple

    def put(self, rows: Sequence[Any], cells: Callable[[Any], Sequence[str]]) -> None:
        self.beginResetModel()
        self.rows, self.cells = rows, cells
        self.endResetModel()

    def rowCount(self, parent: Index = ROOT) -> int:
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = ROOT) -> int:
        return 0 if parent.isValid() else len(self._head)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if role == Qt.ItemDataRole.TextAlignmentRole:
            words = index.column() in self._stretched
            return (
                Qt.AlignmentFlag.AlignLeft if words else Qt.AlignmentFlag.AlignRight
            ) | Qt.AlignmentFlag.AlignVCenter
        return self.cells(self.rows[index.row()])[index.column()] if role == Qt.ItemDataRole.DisplayRole else None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return self._head[section].capitalize()
        return None


class RowTable(QTableView):
    """stretched: the columns that take what room is left, words; the others are numbers."""

    def __init__(self, name: str, words: str, head: Sequence[str], stretched: Sequence[int] = ()) -> None:
        super().__init__()
        named(self, name, words)
        self._head = head
        self._rows = _Rows(head, stretched)
        self.setModel(self._rows)
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setResizeContentsPrecision(MOST)  # the rows in sight: to ask all takes long
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        for column in stretched:
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)
        self.put(())

    def put(self, rows: Sequence[Any], cells: Callable[[Any], Sequence[str]] = tuple) -> None:
        """Show these rows in the place of those before. cells: says a row in words."""
        self._rows.put(rows, cells)
        height = self.horizontalHeader().sizeHint().height()
        self.setFixedHeight(height + ROW * min(len(rows), MOST) + 4)

    def as_text(self) -> str:
        """Head and rows, separated by tabs."""
        model = self._rows
        return "\n".join(
            "\t".join(cells) for cells in ([word.lower() for word in self._head], *map(model.cells, model.rows))
        )

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            QGuiApplication.clipboard().setText(self.as_text())
        else:
            super().keyPressEvent(event)
