"""Which model stands beside the loaded one, to compare with; its loading shows in the same line."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QWidget

from app.widgets.named import named, slim_bar
from engine import Progress

NOBODY = "No second model"


class SecondChooser(QWidget):
    """chosen: the path of a model, "" for none."""

    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.models = named(QComboBox(), "secondModel", "Second model to compare with")
        self.models.setMinimumWidth(64)  # a long name must not widen the pane
        self.models.setToolTip("Load a second model beside the first, to compare the two")
        self.models.activated.connect(lambda index: self.chosen.emit(self.models.itemData(index)))
        self._phase = named(QLabel(), "caption")
        self._bar = slim_bar("Loading of the second model", 80)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel("Compare with"))
        row.addWidget(self.models, 1)
        row.addWidget(self._phase)
        row.addWidget(self._bar)
        self.show_progress(None)

    def show_models(self, models: Sequence[tuple[str, str]], chosen: str) -> None:
        """Names and paths of the models there are, and the path of the one that is loaded."""
        self.models.clear()
        self.models.addItem(NOBODY, "")
        for name, path in models:
            self.models.addItem(name, path)
        self.models.setCurrentIndex(max(0, self.models.findData(chosen)))

    def show_progress(self, progress: Progress | None) -> None:
        for part in (self._phase, self._bar):
            part.setVisible(progress is not None)
        if progress is not None:
            self._phase.setText(progress.phase)
            self._bar.setRange(0, progress.total)
            self._bar.setValue(progress.done)
