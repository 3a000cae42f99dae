"""Which model stands beside the loaded one, to compare with; its loading shows in the same line."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from app.widgets.model_box import ModelBox, Offer
from app.widgets.named import named, slim_bar
from engine import Progress

NOBODY = "No second model"


class SecondChooser(QWidget):
    """chosen: the path of a model, "" for none."""

    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.models = named(ModelBox(NOBODY), "secondModel", "Second model to compare with")
        self.models.setToolTip("Load a second model beside the first, to compare the two")
        self.models.chosen.connect(self.chosen)
        self._phase = named(QLabel(), "caption")
        self._bar = slim_bar("Loading of the second model", 80)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel("Compare with"))
        row.addWidget(self.models, 1)
        row.addWidget(self._phase)
        row.addWidget(self._bar)
        self.show_progress(None)

    def show_models(self, models: Sequence[Offer], chosen: str) -> None:
        """The models there are, and the path of the one that is loaded."""
        self.models.show_models(models, chosen)

    def show_progress(self, progress: Progress | None) -> None:
        for part in (self._phase, self._bar):
            part.setVisible(progress is not None)
        if progress is not None:
            self._phase.setText(progress.phase)
            self._bar.setRange(0, progress.total)
            self._bar.setValue(progress.done)
