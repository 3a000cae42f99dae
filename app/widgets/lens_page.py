"""What a model would say after each layer: the likeliest token with its probability, and a strip of layers by tokens.

It shows the rows that it is given and says which token was chosen, and whether to look; none knows who reads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication, QResizeEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.widgets.bar_table import BarTable
from app.widgets.named import named, quiet_button, toggle_button
from app.widgets.pieces import percent, visible, worded
from app.widgets.reader_line import ReaderLine
from app.widgets.scales import Scale, ScaleLegend
from app.widgets.value_map import MapOrTable
from engine import LensRows

BESIDE = 600  # pixels: from here on the bars stand beside the strip
SHOWN = {
    "Final choice": "The probability that each layer gives to the token that the last layer finds likeliest",
    "Entropy": "How undecided each layer is, in nats: 0 where it is sure of one token",
}
EXPLAINED = "The state after each layer goes through the model's own last norm and output projection, as if it spoke."


def layer_name(name: str) -> str:
    """ "layers.3" as "Layer 3"; what enters the first is the embedding."""
    return f"Layer {name.split('.')[1]}" if "." in name else name.capitalize()


class LensPage(QWidget):
    """chosen: a column of the strip was clicked."""

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._rows: LensRows | None = None
        self._names: Sequence[str] = ()
        self._place = -1
        self.title = named(QLabel(), "lensTitle")
        self.title.setProperty("role", "name")
        self.title.setTextFormat(Qt.TextFormat.PlainText)
        self.title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.title.setToolTip(EXPLAINED)
        self.shown = named(QComboBox(), "lensShown", "What the strip shows")
        for title, words in SHOWN.items():
            self.shown.addItem(title)
            self.shown.setItemData(self.shown.count() - 1, words, Qt.ItemDataRole.ToolTipRole)
        self.shown.currentIndexChanged.connect(self._draw)
        self.as_table = toggle_button("lensTable", "Table")
        self.as_table.setToolTip("The strip as a table")
        self.copy = quiet_button("lensCopy", "Copy the strip")
        head = QHBoxLayout()
        head.setSpacing(4)
        head.addWidget(self.title, 1)
        for widget in (self.shown, self.as_table, self.copy):
            head.addWidget(widget)
        self.strip = MapOrTable("lensStrip", "Layers by tokens")
        self.strip.map.chosen.connect(lambda _, column: self.chosen.emit(column))
        self.strip.map.pointed.connect(self._read_out)
        self.as_table.toggled.connect(self.strip.show_table)
        self.copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.strip.map.as_text()))
        self.readout = named(QLabel(), "lensReadout", "Reading")
        self.readout.setProperty("role", "caption")
        self.readout.setTextFormat(Qt.TextFormat.PlainText)
        self.readout.setWordWrap(True)
        self.readout.setMinimumHeight(34)
        self.readout.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.readout.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.legend = ScaleLegend()
        self.bars = BarTable("The likeliest token after each layer", ("Layer and token", "Probability"))
        holder = QScrollArea()
        holder.setWidgetResizable(True)
        holder.setFrameShape(QFrame.Shape.NoFrame)
        holder.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        holder.viewport().setAutoFillBackground(False)
        inner = QWidget()
        inner.setAutoFillBackground(False)
        under = QVBoxLayout(inner)
        under.setContentsMargins(0, 0, 4, 0)
        under.addWidget(self.bars)
        under.addStretch(1)
        holder.setWidget(inner)
        self.reader = ReaderLine("Look", "Read this text again to ask every layer about it")
        self.body = QWidget()
        notes = QHBoxLayout()
        notes.addWidget(self.readout, 3)
        notes.addWidget(self.legend, 2)
        left = QVBoxLayout()
        left.setSpacing(6)
        left.addWidget(self.strip, 1)
        left.addLayout(notes)
        self._sides = QBoxLayout(QBoxLayout.Direction.TopToBottom)
        self._sides.setSpacing(6)
        self._sides.addLayout(left, 3)
        self._sides.addWidget(holder, 4)
        column = QVBoxLayout(self.body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addLayout(head)
        column.addLayout(self._sides, 1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(12, 8, 12, 8)
        whole.setSpacing(6)
        whole.addWidget(self.body, 1)
        whole.addWidget(self.reader)
        self.body.hide()
        theme.theme_changed.connect(self._tint)
        self._tint()

    # --- what it is given ---------------------------------------------------------------------------------------------

    def show_rows(self, rows: LensRows | None, names: Sequence[str], place: int) -> None:
        """names: of the columns, the token that each row leads to. place: the column in focus.

        What is shown already stays, with whoever reads its table.
        """
        if rows is self._rows and (rows is None or (list(names), place) == (list(self._names), self._place)):
            return
        self._rows, self._names, self._place = rows, names, place
        self.body.setVisible(rows is not None)
        self._draw()

    # --- drawing ------------------------------------------------------------------------------------------------------

    def _draw(self, *_: object) -> None:
        rows = self._rows
        if rows is None:
            return
        entropy = self.shown.currentIndex() == 1
        values = rows.entropies if entropy else rows.said
        high = max(float(values.max()), 1e-3) if entropy else 1.0
        scale = Scale("Entropy in nats" if entropy else "Probability", 0.0, high)
        layers = [layer_name(name) for name in rows.names]
        self.strip.set_map(np.asarray(values), layers, self._names, scale, self._describe, self._place)
        self.legend.set_scale(scale)
        self.shown.setToolTip(SHOWN[self.shown.currentText()])
        self._read_out()
        if 0 <= self._place < rows.tops.shape[1]:
            self.title.setText(f"Towards {worded(self._names[self._place], 16)}")
            best = [self._best(layer, self._place) for layer in range(len(layers))]
            lines = [(f"{layer}  {visible(token)}", p, percent(p)) for layer, (token, p) in zip(layers, best)]
            self.bars.show_rows(lines)

    def _best(self, layer: int, column: int) -> tuple[str, float]:
        assert self._rows is not None
        return self._rows.pieces[int(self._rows.tops[layer, column, 0])], float(
            self._rows.probabilities[layer, column, 0]
        )

    def _describe(self, layer: int, column: int) -> str:
        rows = self._rows
        if rows is None:
            return ""
        token, p = self._best(layer, column)
        final, _ = self._best(len(rows.names) - 1, column)
        said = percent(float(rows.said[layer, column]))
        return (
            f"{layer_name(rows.names[layer])}, towards {worded(self._names[column], 16)}: "
            f"{worded(token, 16)} {percent(p)}; final choice {worded(final, 16)} {said}; "
            f"entropy {rows.entropies[layer, column]:.2f} nats"
        )

    def _read_out(self) -> None:
        strip = self.strip.map
        self.readout.setText(strip.readout() or "Point at a cell, or use the arrow keys. A click looks at its token.")

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        wide = self.width() >= BESIDE
        self._sides.setDirection(QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom)

    def _tint(self, *_: object) -> None:
        self.copy.setIcon(theme.icon("copy", 16, "muted"))
        self._draw()
