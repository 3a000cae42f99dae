"""A table as high as its rows, up to a bound, whose Copy takes all of it: the twin in words of something coloured."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QHeaderView

from app.widgets.text_table import TextTable

MOST = 10  # rows before it scrolls
ROW = 26  # pixels


class RowTable(TextTable):
    """stretched: the columns that take what room is left, words; the others are numbers."""

    def __init__(self, name: str, words: str, head: Sequence[str], stretched: Sequence[int] = ()) -> None:
        super().__init__(name, words)
        self._head = head
        self._stretched = stretched
        self._rows: Sequence[Sequence[str]] = ()
        self.setColumnCount(len(head))
        for column in stretched:
            self.horizontalHeader().setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)
        self.put(())

    def put(self, rows: Sequence[Sequence[str]]) -> None:
        """Show these rows."""
        self._rows = rows
        self.show_rows(self._head, rows)
        for row in range(len(rows)):
            for column in range(len(self._head)):
                side = Qt.AlignmentFlag.AlignLeft if column in self._stretched else Qt.AlignmentFlag.AlignRight
                if (item := self.item(row, column)) is not None:
                    item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
        height = self.horizontalHeader().sizeHint().height()
        self.setFixedHeight(height + ROW * min(len(rows), MOST) + 4)

    def as_text(self) -> str:
        """Head and rows, separated by tabs."""
        return "\n".join("\t".join(cells) for cells in ([word.lower() for word in self._head], *self._rows))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            QGuiApplication.clipboard().setText(self.as_text())
        else:
            super().keyPressEvent(event)
