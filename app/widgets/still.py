"""A place for words that change at every token: it stays as large as it is, and the layout around it is not asked.

A label asks for another layout at each new text, and of wrapped words that takes longer than all else about them.
"""

from __future__ import annotations

from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QLabel, QWidget


class Still(QWidget):
    """Holds a label."""

    def __init__(self, label: QLabel, longest: str = "") -> None:
        """longest: words that must find room, where it has no least size of its own."""
        super().__init__()
        said = label.text()
        label.setText(longest)
        label.setParent(self)
        self.setMinimumSize(label.minimumSizeHint().expandedTo(label.minimumSize()))
        self.setSizePolicy(label.sizePolicy())
        label.setText(said)
        self._label = label

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._label.resize(event.size())
