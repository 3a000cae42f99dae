"""A table of texts to read, to walk through by keys and to copy: the twin of what is drawn elsewhere.

The rows stay as they are given and are asked for as they come into sight: a thousand cost no more than ten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QHeaderView, QTableView

from app.widgets.named import named

ROW = 26  # pixels
IN_SIGHT = 10  # rows that say how wide a column is: to ask all takes long
NUMBERS = frozenset("0123456789-\N{MINUS SIGN}")

Index = QModelIndex | QPersistentModelIndex
ROOT = QModelIndex()


class _Rows(QAbstractTableModel):
    """stretched: columns of words, which stand at the left; where none are named, a text is a number if it looks so."""

    def __init__(self, stretched: Sequence[int]) -> None:
        super().__init__()
        self._stretched = stretched
        self.head: Sequence[str] = ()
        self.rows: Sequence[Any] = ()
        self.cells: Callable[[Any], Sequence[str]] = tuple

    def put(self, head: Sequence[str], rows: Sequence[Any], cells: Callable[[Any], Sequence[str]]) -> None:
        """Rows in the place of others under the same head leave whoever reads them where he is."""
        before, now = len(self.rows), len(rows)
        if list(head) != list(self.head):
            self.beginResetModel()
            self.head, self.rows, self.cells = head, rows, cells
            self.endResetModel()
            return
        if now > before:
            self.beginInsertRows(ROOT, before, now - 1)
        elif now < before:
            self.beginRemoveRows(ROOT, now, before - 1)
        self.rows, self.cells = rows, cells
        if now > before:
            self.endInsertRows()
        elif now < before:
            self.endRemoveRows()
        if now and before:
            self.dataChanged.emit(self.index(0, 0), self.index(min(now, before) - 1, len(head) - 1))

    def rowCount(self, parent: Index = ROOT) -> int:
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = ROOT) -> int:
        return 0 if parent.isValid() else len(self.head)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.TextAlignmentRole):
            return None
        text = self.cells(self.rows[index.row()])[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return text
        side = Qt.AlignmentFlag.AlignRight if self._is_number(index.column(), text) else Qt.AlignmentFlag.AlignLeft
        return side | Qt.AlignmentFlag.AlignVCenter

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return self.head[section].capitalize()
        return None

    def _is_number(self, column: int, text: str) -> bool:
        if self._stretched:
            return column not in self._stretched
        return column > 0 and text[:1] in NUMBERS


class TextTable(QTableView):
    """stretched: the columns that take what room is left, words; the others are numbers."""

    def __init__(self, name: str, words: str, stretched: Sequence[int] = ()) -> None:
        super().__init__()
        named(self, name, words)
        self._stretched = stretched
        self._rows = _Rows(stretched)
        self.setModel(self._rows)
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW)
        self.horizontalHeader().setHighlightSections(False)
        self.horizontalHeader().setResizeContentsPrecision(IN_SIGHT)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)

    def show_rows(
        self, head: Sequence[str], rows: Sequence[Any], cells: Callable[[Any], Sequence[str]] = tuple
    ) -> None:
        """Put these in the place of those before. cells: says a row in words."""
        self._rows.put(head, rows, cells)
        for column in self._stretched:
            self.horizontalHeader().setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)

    def as_text(self) -> str:
        """Head and rows, separated by tabs."""
        lines = ([word.lower() for word in self._rows.head], *map(self._rows.cells, self._rows.rows))
        return "\n".join("\t".join(cells) for cells in lines)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            QGuiApplication.clipboard().setText(self.as_text())
        else:
            super().keyPressEvent(event)
