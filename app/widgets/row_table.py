"""A table as high as its rows, up to a bound, for a page that scrolls as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from app.widgets.text_table import ROW, TextTable

MOST = 10  # rows before it scrolls


class RowTable(TextTable):
    """head: of its columns, always the same."""

    def __init__(self, name: str, words: str, head: Sequence[str], stretched: Sequence[int] = ()) -> None:
        super().__init__(name, words, stretched)
        self._head = head
        self.put(())

    def put(self, rows: Sequence[Any], cells: Callable[[Any], Sequence[str]] = tuple) -> None:
        """Show these rows in the place of those before. cells: says a row in words."""
        self.show_rows(self._head, rows, cells)
        height = self.horizontalHeader().sizeHint().height()
        self.setFixedHeight(height + ROW * min(len(rows), MOST) + 4)
