"""< n/m >: which of how many versions is shown, there only where there is more than one."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from app import theme
from app.widgets.named import named, quiet_button


class VersionSwitch(QWidget):
    """step: -1 or 1."""

    step = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        self._label = named(QLabel(), "caption")
        self._buttons = []
        for icon, words, step in (("chevron-left", "Version before", -1), ("chevron-right", "Version after", 1)):
            button = quiet_button(icon, words)
            button.setProperty("step", step)
            button.clicked.connect(self._on_click)
            self._buttons.append(button)
        row.addWidget(self._buttons[0])
        row.addWidget(self._label)
        row.addWidget(self._buttons[1])
        theme.theme_changed.connect(self._tint)
        self._tint()

    def set(self, versions: tuple[int, int]) -> None:
        number, count = versions
        self._label.setText(f"{number}/{count}")
        self._buttons[0].setEnabled(number > 1)
        self._buttons[1].setEnabled(number < count)
        self.setVisible(count > 1)

    def _on_click(self) -> None:
        self.step.emit(int(self.sender().property("step")))

    def _tint(self, *_: object) -> None:
        for button in self._buttons:
            button.setIcon(theme.icon(button.objectName(), 16, "muted"))
