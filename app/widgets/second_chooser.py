"""Which model stands beside the loaded one, to compare with; its loading shows in the same line."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.widgets.form import NumberRow
from app.widgets.model_box import ModelBox, Offer
from app.widgets.named import named, slim_bar
from engine import AdapterUse, Progress

NOBODY = "No second model"


class SecondChooser(QWidget):
    """chosen: the path of a model or an adapter, "" for none. strengthened: how strongly that adapter is on."""

    chosen = Signal(str)
    strengthened = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.models = named(ModelBox(NOBODY), "secondModel", "Second model to compare with")
        self.models.setToolTip("Load a second model beside the first, to compare the two")
        self.models.chosen.connect(self.chosen)
        self._phase = named(QLabel(), "caption")
        self._bar = slim_bar("Loading of the second model", 80)
        self.strength = NumberRow(AdapterUse.table()[0])
        self.strength.changed.connect(self.strengthened)
        row = QHBoxLayout()
        row.addWidget(QLabel("Compare with"))
        row.addWidget(self.models, 1)
        row.addWidget(self._phase)
        row.addWidget(self._bar)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(row)
        column.addWidget(self.strength)
        self.show_strength(None)
        self.show_progress(None)

    def show_models(self, models: Sequence[Offer], chosen: str) -> None:
        """What there is to compare with, and the path of what is chosen."""
        self.models.show_models(models, chosen)

    def show_strength(self, strength: float | None) -> None:
        """How strongly the adapter that is chosen is on; None where none is."""
        self.strength.setVisible(strength is not None)
        if strength is not None:
            self.strength.set_value(strength)

    def show_progress(self, progress: Progress | None) -> None:
        for part in (self._phase, self._bar):
            part.setVisible(progress is not None)
        if progress is not None:
            self._phase.setText(progress.phase)
            self._bar.setRange(0, progress.total)
            self._bar.setValue(progress.done)
