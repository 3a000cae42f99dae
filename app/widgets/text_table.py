"""A table of texts to read and to walk through by keys: the twin of what is drawn elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHeaderView, QTableWidget, QTableWidgetItem

NUMBERS = frozenset("0123456789-\N{MINUS SIGN}")


class TextTable(QTableWidget):
    """Numbers stand at the right, all else at the left."""

    def __init__(self, name: str, words: str) -> None:
        super().__init__(0, 0)
        self.setObjectName(name)
        self.setAccessibleName(words)
        self.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(26)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.horizontalHeader().setHighlightSections(False)

    def show_rows(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Put these texts in the place of those before."""
        self.setColumnCount(len(head))
        self.setHorizontalHeaderLabels([word.capitalize() for word in head])
        self.setRowCount(len(rows))
        for row, texts in enumerate(rows):
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                if column and text[:1] in NUMBERS:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(row, column, item)
