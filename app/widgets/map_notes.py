"""What stands beside a map of attention: what the cross-hair reads, what the colours mean, and the zoom."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from app.widgets.named import named, quiet_button
from app.widgets.still import Still
from app.widgets.tint import Legend

STEP = 1.3


class MapNotes(QWidget):
    """zoomed: by how much larger the cells are wanted."""

    zoomed = Signal(float)

    def __init__(self) -> None:
        super().__init__()
        self.readout = named(QLabel(), "attentionReadout", "Reading")
        self.readout.setWordWrap(True)
        self.readout.setTextFormat(Qt.TextFormat.PlainText)
        self.readout.setProperty("role", "caption")
        self.readout.setMinimumHeight(34)
        self.readout.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.readout.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._smaller = quiet_button("attentionSmaller", "Smaller cells (-)")
        self._smaller.setText("−")
        self._smaller.clicked.connect(lambda: self.zoomed.emit(1 / STEP))
        self._larger = quiet_button("attentionLarger", "Larger cells (+)")
        self._larger.setText("+")
        self._larger.clicked.connect(lambda: self.zoomed.emit(STEP))
        line = QHBoxLayout()
        line.setSpacing(2)
        line.addWidget(Legend(), 100)
        line.addWidget(self._smaller)
        line.addWidget(self._larger)
        line.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(Still(self.readout), 1)
        column.addLayout(line)

    def show_zoom(self, shown: bool) -> None:
        """Whether there is anything to enlarge."""
        for button in (self._smaller, self._larger):
            button.setVisible(shown)
