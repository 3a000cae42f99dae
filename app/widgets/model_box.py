"""A box to choose a model from: those that cannot be chosen stand in it too, greyed, and say why."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QStandardItemModel, QWheelEvent
from PySide6.QtWidgets import QComboBox

Offer = tuple[str, str, str]
"""A model: its name, its path, and why it cannot be chosen, "" where it can."""


class ModelBox(QComboBox):
    """chosen: the path of a model, "" for none. nobody: the words for none."""

    chosen = Signal(str)

    def __init__(self, nobody: str) -> None:
        super().__init__()
        self._nobody = nobody
        self._offers: list[Offer] = []
        self.setMinimumWidth(64)  # a long name must not widen the pane
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.activated.connect(lambda index: self.chosen.emit(self.itemData(index)))

    def show_models(self, offers: Iterable[Offer], chosen: str) -> None:
        """Offer these, and show which is in use; a list that is open is not disturbed by the same again."""
        wanted = [(self._nobody, "", ""), *offers]
        if chosen not in [path for _, path, _ in wanted]:
            wanted.append((chosen.replace("\\", "/").rstrip("/").rpartition("/")[2], chosen, ""))
        if self._offers != wanted:
            self._offers = wanted
            self.clear()
            for name, path, why in wanted:
                self.addItem(f"{name} ({why})" if why else name, path)
            model = self.model()
            assert isinstance(model, QStandardItemModel)
            for row, (_, path, why) in enumerate(wanted):
                model.item(row).setEnabled(not why)
                self.setItemData(row, path, Qt.ItemDataRole.ToolTipRole)
            self.view().setMinimumWidth(self.view().sizeHintForColumn(0) + 24)
        self.setCurrentIndex(self.findData(chosen))

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()  # what is chosen is loaded: not in passing
