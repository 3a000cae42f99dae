"""What an empty chat shows: which model is here, what it is, and what to do. It knows a few words and an icon."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app import theme
from app.widgets.named import named

WIDTH = 420


class Welcome(QWidget):
    """Icon, title, one or two sentences."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("page")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._icon = QLabel()
        self._icon.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._title = named(QLabel(), "title")
        self._title.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._text = named(QLabel(), "welcomeText")
        self._text.setWordWrap(True)
        self._text.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        column = QVBoxLayout(self)
        column.setSpacing(10)
        column.addStretch(2)
        column.addWidget(self._icon)
        column.addWidget(self._title)
        middle = QHBoxLayout()
        middle.addStretch(1)
        middle.addWidget(self._text, 1000)
        middle.addStretch(1)
        self._text.setMaximumWidth(WIDTH)
        column.addLayout(middle)
        column.addStretch(3)
        theme.theme_changed.connect(self._show_icon)
        self._show_icon()

    def say(self, title: str, text: str) -> None:
        self._title.setText(title)
        self._text.setText(text)

    def _show_icon(self, *_: object) -> None:
        self._icon.setPixmap(theme.icon("vitrine", 56, "accent").pixmap(56))
