"""Small maps of all heads, the large one, and the notes on it: whichever arrangement leaves the large one more cells.

It places what it is given and knows no weights.
"""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QGridLayout, QWidget

from app.widgets.head_grid import HeadArea, HeadGrid
from app.widgets.heatmap import ROOM

QWIDGETSIZE_MAX = (1 << 24) - 1  # Qt's own, which PySide6 does not name
Places = tuple[tuple[int, int, int, int], ...]

GAP = 8  # pixels between the parts
NOTES = 190  # pixels that the notes take where they stand beside the large map
BELOW = ((0, 0, 1, 1), (0, 1, 1, 1), (1, 0, 1, 2))  # row, column and spans of the heads, the large map and the notes
ABOVE = ((0, 0, 1, 1), (1, 0, 1, 2), (0, 1, 1, 1))
BESIDE = ((0, 0, 1, 1), (0, 1, 1, 1), (0, 2, 1, 1))  # for a room that is wide and low


class HeadsAndMap(QWidget):
    """below: whether the notes stand below the large map, where they have a line or two, else in a column."""

    def __init__(self, grid: HeadGrid, large: QWidget, notes: QWidget) -> None:
        super().__init__()
        self._grid, self._large, self._notes = grid, large, notes
        self._area = HeadArea(grid)
        self._arranged: tuple[QSize, tuple[int, int], bool] | None = None
        self._places = QGridLayout(self)
        self._places.setContentsMargins(0, 0, 0, 0)
        self._places.setSpacing(GAP)
        self._lay(BELOW)

    @property
    def below(self) -> bool:
        return self._laid == BELOW

    @property
    def notes_height(self) -> int:
        """What the notes have where they stand in a column."""
        return self.height() if self._laid == BESIDE else self._area.height()

    def arrange(self, is_map: bool) -> None:
        """Whichever arrangement leaves the large map more cells. is_map: else a text or a table, which take
        the width."""
        now = (self.size(), self._grid.shape, is_map)
        if now == self._arranged:
            return
        self._arranged = now
        width, height = self.width(), self.height()
        notes = self._notes.minimumSizeHint() + QSize(GAP, GAP)
        low, high = QSize(int(width * 0.34), height - notes.height()), QSize(int(width * 0.25), height)
        top = QSize(width - notes.width(), int(height * 0.45))
        side, tall, flat = (self._grid.fitting(room) for room in (low, high, top))
        cells = {
            BELOW: _cells(width - side.width() - GAP, height - notes.height()),
            ABOVE: _cells(width, height - min(flat.height(), top.height()) - GAP),
            BESIDE: _cells(width - tall.width() - NOTES - 2 * GAP, height),
        }
        best = max(cells, key=lambda places: cells[places]) if is_map else ABOVE
        self._area.show_grid(*{BELOW: (side, low), ABOVE: (flat, top), BESIDE: (tall, high)}[best])
        if self._laid != best:
            self._lay(best)

    def _lay(self, places: Places) -> None:
        self._laid = places
        for widget, place in zip((self._area, self._large, self._notes), places):
            self._places.addWidget(widget, *place)
        self._places.setAlignment(self._area, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self._places.setRowStretch(0, 0 if places == ABOVE else 1)
        self._places.setRowStretch(1, 1 if places == ABOVE else 0)
        self._places.setColumnStretch(1, 1)
        self._notes.setMaximumWidth(NOTES if places == BESIDE else QWIDGETSIZE_MAX)


def _cells(width: int, height: int) -> int:
    """Square pixels that a map of this size gives to its cells, of which those far from any row's end count little."""
    across, down = max(0, width - ROOM[0]), max(0, height - ROOM[1])
    return min(across, 2 * down) * min(across, down)
