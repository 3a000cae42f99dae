"""How a model tells positions apart and which of them each sees: one map at a time, what it is, and its colours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QComboBox, QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from app import theme
from app.widgets.named import named, quiet_button, toggle_button
from app.widgets.scales import Scale, ScaleLegend
from app.widgets.value_map import MapOrTable
from engine import PositionMap, PositionMaps

TITLES = {
    "learned": "Learned positions",
    "sinusoidal": "Sinusoidal positions",
    "rotary": "Rotary angles",
    "alibi": "ALiBi",
    "relative": "Relative bias",
    "mask": "Mask",
}
COLORS = {
    "learned": "What is added to a token",
    "sinusoidal": "What is added to a token",
    "rotary": "Cosine of the angle",
    "alibi": "What is added to a score",
    "relative": "What is added to a score",
    "mask": "1: seen, 0: hidden",
}
ROWS = {"alibi": "Head", "relative": "Head"}
COLUMNS = {"alibi": "distance", "relative": "distance", "rotary": "pair", "mask": "sees position"}
WIDE = 420  # pixels: from here on the choice of a map stands in the line of the buttons
LENGTHS = ((64, "64"), (512, "512"), (0, "All"))


def title(map: PositionMap, two_sides: bool) -> str:
    """What a map is called among the others."""
    parts = [TITLES[map.kind]]
    if two_sides:
        parts.append("encoder" if map.side == "encoder" else "decoder")
    if map.layers is not None:
        parts.append(f"layer {map.layers[0]}" if len(map.layers) == 1 else f"{len(map.layers)} layers")
    return " · ".join(parts)


def picture(map: PositionMap) -> tuple[npt.NDArray[np.floating], Scale]:
    """What is drawn of a map, and its colours; of angles the cosine."""
    values = np.cos(map.values) if map.kind == "rotary" else map.values
    return values, Scale(COLORS[map.kind]) if map.kind == "mask" else Scale.around(values, COLORS[map.kind])


class PositionPage(QWidget):
    """length_chosen: of how many positions maps are wanted; 0 is the whole context."""

    length_chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._maps: PositionMaps | None = None
        self.which = named(QComboBox(), "positionMap", "Which map")
        self.which.setMinimumWidth(64)
        self.which.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.which.currentIndexChanged.connect(self._draw)
        self.length = named(QComboBox(), "positionLength", "How many positions")
        for length, words in LENGTHS:
            self.length.addItem(words, length)
        self.length.setToolTip("How many positions, from the first on; of many, some are shown")
        self.length.activated.connect(lambda _: self.length_chosen.emit(self.length.currentData()))
        self.as_table = toggle_button("positionTable", "Table")
        self.copy = quiet_button("positionCopy", "Copy the map")
        self._head = QGridLayout()
        self._head.setHorizontalSpacing(4)
        self._head.setVerticalSpacing(6)
        self._head.setColumnStretch(0, 1)
        self._lay_head(wide=True)
        self.says = named(QLabel(), "positionSays", "What this is")
        self.says.setWordWrap(True)
        self.says.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.view = MapOrTable("positions", "Positions")
        self.view.map.pointed.connect(self._read_out)
        self.as_table.toggled.connect(self.view.show_table)
        self.copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.view.map.as_text()))
        self.readout = named(QLabel(), "positionReadout", "Reading")
        self.readout.setProperty("role", "caption")
        self.readout.setWordWrap(True)
        self.readout.setMinimumHeight(34)
        self.readout.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.legend = ScaleLegend()
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 12, 8)
        column.setSpacing(6)
        column.addLayout(self._head)
        column.addWidget(self.says)
        column.addWidget(self.view, 1)
        notes = QHBoxLayout()
        notes.addWidget(self.readout, 3)
        notes.addWidget(self.legend, 2)
        column.addLayout(notes)
        theme.theme_changed.connect(self._tint)
        self._tint()

    @property
    def wanted(self) -> int:
        """Of how many positions; 0 is the whole context."""
        return int(self.length.currentData())

    def show_maps(self, maps: PositionMaps | None, words: str = "") -> None:
        """words: what to say where there are none. What is shown already stays, with whoever reads its table."""
        if maps is self._maps and maps is not None:
            return
        before = self.which.currentText()
        self._maps = maps
        found = maps.maps if maps is not None else ()
        two_sides = len({m.side for m in found}) > 1
        self.which.blockSignals(True)
        self.which.clear()
        self.which.addItems([title(m, two_sides) for m in found])
        self.which.setCurrentIndex(max(0, self.which.findText(before)))
        self.which.blockSignals(False)
        for widget in (self.which, self.view, self.legend, self.readout, self.as_table, self.copy):
            widget.setVisible(bool(found))
        self.says.setText(words)
        self._draw()

    def _draw(self, *_: object) -> None:
        if self._maps is None or not 0 <= self.which.currentIndex() < len(self._maps.maps):
            return
        map = self._maps.maps[self.which.currentIndex()]
        layers = "" if map.layers is None else f" Layers {', '.join(str(layer) for layer in map.layers)}."
        self.says.setText(map.says + layers + self._spacing(map))
        values, scale = picture(map)
        rows, columns = ([str(n) for n in numbers] for numbers in (map.rows, map.columns))
        self.view.set_map(values, rows, columns, scale, describer(map))
        self.legend.set_scale(scale)
        self._read_out()

    def _spacing(self, map: PositionMap) -> str:
        """A sentence on what is left out, if anything is."""
        step = int(abs(int(map.columns[1]) - int(map.columns[0]))) if len(map.columns) > 1 else 1
        rows = int(map.rows[1] - map.rows[0]) if len(map.rows) > 1 else 1
        if max(step, rows) == 1:
            return ""
        what = [f"every {n:,}th {word}" for n, word in ((rows, "row"), (step, "column")) if n > 1]
        return f" Shown is {' and '.join(what)}."

    def _read_out(self) -> None:
        self.readout.setText(self.view.map.readout() or "Point at a cell, or use the arrow keys.")

    def _lay_head(self, wide: bool) -> None:
        """All in one line, or the choice of a map in a line of its own."""
        self._head.addWidget(self.which, *((0, 0) if wide else (0, 0, 1, 4)))
        for place, widget in enumerate((self.length, self.as_table, self.copy), start=1):
            self._head.addWidget(widget, 0 if wide else 1, place)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._lay_head(self.width() >= WIDE)

    def _tint(self, *_: object) -> None:
        self.copy.setIcon(theme.icon("copy", 16, "muted"))
        self._draw()


def describer(map: PositionMap) -> Callable[[int, int], str]:
    """Says a cell of this map in words."""
    row_word, column_word = ROWS.get(map.kind, "Position"), COLUMNS.get(map.kind, "channel")

    def describe(row: int, column: int) -> str:
        value, r, c = float(map.values[row, column]), int(map.rows[row]), int(map.columns[column])
        if map.kind == "mask":
            return f"Position {r:,} {'sees' if value else 'does not see'} position {c:,}"
        where = f"{row_word} {r:,}, {column_word} {c:,}"
        angle = f" rad, cosine {np.cos(value):.3f}" if map.kind == "rotary" else ""
        return f"{where}: {value:.4g}{angle}"

    return describe
