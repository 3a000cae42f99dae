"""One text as two models read it: the same kind of map of both, each with its own tokens, in two columns.

It draws what it is given and says what is wanted; it knows no model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QComboBox, QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from app import theme
from app.widgets.ask_text import AskPage, TextField
from app.widgets.named import named, toggle_button
from app.widgets.notice import Notice
from app.widgets.pieces import visible, worded
from app.widgets.position_page import describer, picture
from app.widgets.scales import Scale, ScaleLegend
from app.widgets.second_chooser import SecondChooser
from app.widgets.value_map import MapOrTable
from engine import PositionMap

WORDS = "One text as two models read it."
EXAMPLE = "The cat sat on the mat because it was tired."
HINT = "Point at a cell, or use the arrow keys."
ATTENTION, POSITIONS, MASK = "Attention", "Positions", "Mask"
WIDE = 400  # pixels: from here on the maps stand side by side
ROW = 420  # pixels: from here on what is chosen stands in one row
HIGH = 300  # pixels of a map
MEAN = -1


class SideShown(NamedTuple):
    """One model. side: of its maps, "layers" or "encoder". weights: of the layer looked at, [H, T, T]; None: unread.

    words: what to say in the place of a map.
    """

    name: str
    layers: int
    heads: int
    side: str
    tokens: Sequence[str]
    weights: npt.NDArray[np.floating] | None
    maps: Sequence[PositionMap]
    words: str


class MapColumn(QWidget):
    """A map with its title, the cell under the cross-hair in words, and its colours."""

    def __init__(self, name: str, words: str) -> None:
        super().__init__()
        self.title = QLabel()
        self.title.setProperty("role", "name")
        self.title.setTextFormat(Qt.TextFormat.PlainText)
        self.says = named(QLabel(wordWrap=True), "caption")
        self.view = MapOrTable(name, words)
        self.view.setFixedHeight(HIGH)
        self.view.map.pointed.connect(self._read_out)
        self.readout = named(QLabel(wordWrap=True), "caption")
        self.readout.setAccessibleName(f"Reading, {words}")
        self.readout.setTextFormat(Qt.TextFormat.PlainText)
        self.readout.setMinimumHeight(34)
        self.readout.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.legend = ScaleLegend()
        for label in (self.title, self.says, self.readout):
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        for part in (self.title, self.says, self.view, self.readout, self.legend):
            column.addWidget(part)
        column.addStretch(1)

    def show_words(self, title: str, words: str) -> None:
        """No map, but why."""
        self.title.setText(title)
        self.says.setText(words)
        self._show_map(False)

    def show_weights(self, shown: SideShown, layer: int, head: int) -> None:
        """Where each token looks in the others, in one head or in the mean of all."""
        assert shown.weights is not None
        head = min(head, len(shown.weights) - 1)
        weights = shown.weights.astype(np.float32)
        values, tokens = weights.mean(0) if head == MEAN else weights[head], shown.tokens
        which = "mean" if head == MEAN else f"head {head}"
        self.title.setText(shown.name)
        self.says.setText(f"Layer {min(layer, shown.layers - 1)} · {which}")

        def describe(row: int, column: int) -> str:
            return f"{worded(tokens[row], 16)} looks at {worded(tokens[column], 16)}: {values[row, column]:.3f}"

        self._put(
            values, [visible(token) for token in tokens], tokens, Scale("Attention weight", kind="weight"), describe
        )

    def show_positions(self, shown: SideShown, map: PositionMap) -> None:
        """A map of positions, those of the text's tokens named by them."""
        rows, columns = ([str(n) for n in numbers] for numbers in (map.rows, map.columns))
        if map.kind not in ("alibi", "relative"):
            rows = [visible(shown.tokens[n]) if n < len(shown.tokens) else str(n) for n in map.rows]
        if map.kind == "mask":
            columns = [shown.tokens[n] if n < len(shown.tokens) else str(n) for n in map.columns]
        values, scale = picture(map)
        self.title.setText(shown.name)
        self.says.setText(map.says)
        self._put(values, rows, columns, scale, describer(map))

    def _put(
        self,
        values: npt.NDArray[np.floating],
        rows: Sequence[str],
        columns: Sequence[str],
        scale: Scale,
        describe: Callable[[int, int], str],
    ) -> None:
        self.view.set_map(values, rows, columns, scale, describe)
        self.legend.set_scale(scale)
        self._show_map(True)
        self._read_out()

    def _show_map(self, shown: bool) -> None:
        for part in (self.view, self.readout, self.legend):
            part.setVisible(shown)

    def _read_out(self) -> None:
        self.readout.setText(self.view.map.readout() or HINT)


class BesidePage(AskPage):
    """layer_chosen: the layer to look at."""

    layer_chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__(WORDS, "Read", "Read the text with both models")
        self._sides: Sequence[SideShown] = ()
        self.field = TextField("besideText", "Text that both models read", "A sentence", 52)
        self.field.setPlainText(EXAMPLE)
        self.field.textChanged.connect(self._on_text)
        self.field.submitted.connect(self.ask)
        self.seconds = SecondChooser()
        self.what = named(QComboBox(), "besideWhat", "What is shown of both")
        self.what.addItems([ATTENTION, POSITIONS, MASK])
        self.what.currentIndexChanged.connect(self._draw)
        self.layer = named(QComboBox(), "besideLayer", "Layer")
        self.layer.currentIndexChanged.connect(self.layer_chosen)
        self.head = named(QComboBox(), "besideHead", "Head")
        self.head.currentIndexChanged.connect(self._draw)
        self.as_table = toggle_button("besideTable", "Table")
        self.as_table.setToolTip("Both maps as tables")
        self.foot.removeWidget(self.button)  # it stands beside the field: what is read is worth the height
        asking = QHBoxLayout()
        asking.setSpacing(8)
        asking.addWidget(self.field, 1)
        asking.addWidget(self.button, 0, Qt.AlignmentFlag.AlignTop)
        self._choosers = QWidget()
        self._choosing = QGridLayout(self._choosers)
        self._choosing.setContentsMargins(0, 0, 0, 0)
        self._choosing.setSpacing(4)
        for chooser in (self.what, self.layer, self.head):
            chooser.setMinimumWidth(64)
        self.columns = (
            MapColumn("besideFirst", "Map of the model"),
            MapColumn("besideSecond", "Map of the second model"),
        )
        self.notice = Notice()
        self._grid = QGridLayout()
        self._grid.setSpacing(12)
        for column in self.columns:
            self.as_table.toggled.connect(column.view.show_table)
        self.body.addLayout(asking)
        self.body.addWidget(self.seconds)
        self.body.addWidget(self._choosers)
        self.body.addWidget(self.notice)
        self.body.addLayout(self._grid)
        self._place()
        theme.theme_changed.connect(self._draw)

    def show_sides(self, sides: Sequence[SideShown]) -> None:
        """What the model found, then the second one. What is shown already stays, with whoever reads its table."""
        if len(sides) == len(self._sides) and all(map(_same, sides, self._sides)):
            return
        self._sides = sides
        self._choosers.setVisible(any(side.tokens for side in sides))
        _fill(self.layer, [f"Layer {n}" for n in range(max(side.layers for side in sides))])
        _fill(self.head, ["Mean", *(f"Head {n}" for n in range(max(side.heads for side in sides)))])
        self._draw()

    def _draw(self, *_: object) -> None:
        what = self.what.currentText()
        self.head.setVisible(what == ATTENTION)
        layer, head = max(0, self.layer.currentIndex()), self.head.currentIndex() - 1
        for column, side in zip(self.columns, self._sides):
            if what == ATTENTION:
                if side.weights is None or len(side.tokens) != len(side.weights[0]):
                    column.show_words(side.name, side.words)
                else:
                    column.show_weights(side, layer, head)
                continue
            map = found(side, layer, what == MASK)
            if map is None:
                column.show_words(side.name, side.words or "It tells no positions apart by itself.")
            else:
                column.show_positions(side, map)

    def _on_text(self) -> None:
        self.set_ready(bool(self.field.toPlainText().strip()))

    def _place(self) -> None:
        """Beside each other, or one above the other where there is no room."""
        wide = self.width() >= WIDE
        row = self.width() >= ROW
        places = ((0, 0), (0, 1), (0, 2), (0, 3)) if row else ((0, 0), (1, 0), (1, 1), (0, 1))
        for place, chooser in zip(places, (self.what, self.layer, self.head, self.as_table)):
            self._choosing.addWidget(chooser, *place)
        self._choosing.setColumnStretch(4, int(row))
        for number, column in enumerate(self.columns):
            self._grid.addWidget(column, *((0, number) if wide else (number, 0)))
        self._grid.setColumnStretch(0, 1)
        self._grid.setColumnStretch(1, 1 if wide else 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place()


def found(side: SideShown, layer: int, mask: bool) -> PositionMap | None:
    """The map of a layer: its mask, or how it tells positions apart; of a model with fewer layers, of its last."""
    layer = min(layer, side.layers - 1)
    fitting = (
        map
        for map in side.maps
        if (map.kind == "mask") == mask and map.side == side.side and (map.layers is None or layer in map.layers)
    )
    return next(fitting, None)


def _same(one: SideShown, other: SideShown) -> bool:
    """Whether a model has found nothing new."""
    bare, known = (side._replace(weights=None, maps=()) for side in (one, other))
    return bare == known and one.weights is other.weights and one.maps is other.maps


def _fill(chooser: QComboBox, names: Sequence[str]) -> None:
    """Offer these, and keep what is chosen where it is still there."""
    if [chooser.itemText(n) for n in range(chooser.count())] != list(names):
        before = max(0, chooser.currentIndex())
        chooser.blockSignals(True)
        chooser.clear()
        chooser.addItems(list(names))
        chooser.setCurrentIndex(min(before, len(names) - 1))
        chooser.blockSignals(False)
