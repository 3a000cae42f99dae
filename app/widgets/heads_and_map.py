"""Small maps of all heads, the large one, and the notes on it: whichever arrangement leaves the large one more cells.

It places what it is given and knows no weights.
"""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QGridLayout, QWidget

from app.widgets.head_grid import HeadArea, HeadGrid
from app.widgets.heatmap import ROOM

GAP = 8  # pixels between the parts
BESIDE = ((0, 0, 1, 1), (0, 1, 1, 1), (1, 0, 1, 2))  # row, column and spans of the heads, the large map and the notes
ABOVE = ((0, 0, 1, 1), (1, 0, 1, 2), (0, 1, 1, 1))


class HeadsAndMap(QWidget):
    """beside: whether the heads stand beside the large map, else above it."""

    def __init__(self, grid: HeadGrid, large: QWidget, notes: QWidget) -> None:
        super().__init__()
        self._grid, self._large, self._notes = grid, large, notes
        self._area = HeadArea(grid)
        self._arranged: tuple[QSize, tuple[int, int], bool] | None = None
        self._places = QGridLayout(self)
        self._places.setContentsMargins(0, 0, 0, 0)
        self._places.setSpacing(GAP)
        self._lay(beside=True)

    @property
    def notes_height(self) -> int:
        """What the notes have beside the heads, where both stand above the map."""
        return self._area.height()

    def arrange(self, is_map: bool) -> None:
        """Heads beside the large map or above it, whichever leaves it more cells. is_map: else a text or a table."""
        now = (self.size(), self._grid.shape, is_map)
        if now == self._arranged:
            return
        self._arranged = now
        width, height = self.width(), self.height()
        notes = self._notes.minimumSizeHint() + QSize(GAP, GAP)
        side_room = QSize(int(width * 0.34), height - notes.height())
        top_room = QSize(width - notes.width(), int(height * 0.45))
        side, top = self._grid.fitting(side_room), self._grid.fitting(top_room)
        beside = _cells(width - side.width() - GAP, height - notes.height())
        above = _cells(width, height - min(top.height(), top_room.height()) - GAP)
        better = beside >= above and is_map
        self._area.show_grid(*((side, side_room) if better else (top, top_room)))
        if self.beside != better:
            self._lay(better)

    def _lay(self, beside: bool) -> None:
        self.beside = beside
        for widget, place in zip((self._area, self._large, self._notes), BESIDE if beside else ABOVE):
            self._places.addWidget(widget, *place)
        self._places.setAlignment(self._area, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self._places.setRowStretch(0, 1 if beside else 0)
        self._places.setRowStretch(1, 0 if beside else 1)
        self._places.setColumnStretch(1, 1)


def _cells(width: int, height: int) -> int:
    """Square pixels that a map of this size gives to its cells; rows beyond the columns in view would be empty."""
    across, down = max(0, width - ROOM[0]), max(0, height - ROOM[1])
    return across * min(across, down)
