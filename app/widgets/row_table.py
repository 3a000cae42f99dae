"""A table as high as its rows, up to a bound, whose Copy takes all of it: the twin in words of something coloured."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QHeaderView, QTableWidgetItem

from app.widgets.text_table import TextTable

MOST = 10  # rows before it scrolls
ROW = 26  # pixels
AT_ONCE = 80  # rows filled between two frames


class RowTable(TextTable):
    """stretched: the columns that take what room is left, words; the others are numbers."""

    def __init__(self, name: str, words: str, head: Sequence[str], stretched: Sequence[int] = ()) -> None:
        super().__init__(name, words)
        self._head = head
        self._stretched = stretched
        self._rows: Sequence[Sequence[str]] = ()
        self._filled = 0
        self._more = QTimer(self, singleShot=True, interval=0)
        self._more.timeout.connect(self._fill)
        self.setColumnCount(len(head))
        self.horizontalHeader().setResizeContentsPrecision(MOST)  # the rows in sight: to ask all takes long
        for column in stretched:
            self.horizontalHeader().setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)
        self.put(())

    def put(self, rows: Sequence[Sequence[str]]) -> None:
        """Show these rows: those in sight now, the others between two frames."""
        self._rows, self._filled = rows, 0
        self.show_rows(self._head, ())
        self.setRowCount(len(rows))
        height = self.horizontalHeader().sizeHint().height()
        self.setFixedHeight(height + ROW * min(len(rows), MOST) + 4)
        self._fill()

    def _fill(self) -> None:
        for row in range(self._filled, min(self._filled + AT_ONCE, len(self._rows))):
            for column, text in enumerate(self._rows[row]):
                item = QTableWidgetItem(text)
                side = Qt.AlignmentFlag.AlignLeft if column in self._stretched else Qt.AlignmentFlag.AlignRight
                item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(row, column, item)
        self._filled += AT_ONCE
        if self._filled < len(self._rows):
            self._more.start()

    def as_text(self) -> str:
        """Head and rows, separated by tabs."""
        return "\n".join("\t".join(cells) for cells in ([word.lower() for word in self._head], *self._rows))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            QGuiApplication.clipboard().setText(self.as_text())
        else:
            super().keyPressEvent(event)
