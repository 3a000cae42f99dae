"""What an empty chat shows: which model is here, what it is, and what to do. It knows what a model says of itself."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from app import theme
from app.widgets.named import named
from engine import ModelInfo

WIDTH = 420
OTHER_KINDS = {  # what is said of a model that neither takes turns nor continues a text
    "encoder": "An encoder reads a text both ways and writes none. It fills masks and compares sentences.",
    "encoder-decoder": "An encoder-decoder reads a source and writes a target, as in translation.",
}


def belongs_elsewhere(info: ModelInfo | None) -> bool:
    """Whether a model is for the Playground: an encoder, or an encoder-decoder that takes no turns."""
    return info is not None and info.kind in OTHER_KINDS and (info.kind == "encoder" or not info.chat_template)


class Welcome(QWidget):
    """Icon, title, one or two sentences, perhaps a button. acted: the button was pressed."""

    acted = Signal()

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
        self.action = named(QPushButton(), "welcomeAction")
        self.action.clicked.connect(self.acted)
        self.action.hide()
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
        column.addWidget(self.action, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(3)
        theme.theme_changed.connect(self._show_icon)
        self._show_icon()

    def greet(self, info: ModelInfo | None, loading: bool, note: str) -> None:
        """Say who is here. note: what is known of the model beside what it is."""
        if info is not None and belongs_elsewhere(info):
            self._say(info.name, OTHER_KINDS[info.kind], "Open the Playground")
        elif info is not None:
            self._say(info.name, f"{note} Write below; Enter sends.".strip())
        elif loading:
            self._say("Loading the model", "You can write already; the answer comes when it is ready.")
        else:
            self._say("No model is loaded", "Choose one in the Models pane, or drop a model on the window.")

    def _say(self, title: str, text: str, action: str = "") -> None:
        self._title.setText(title)
        self._text.setText(text)
        self.action.setText(action)
        self.action.setVisible(bool(action))

    def _show_icon(self, *_: object) -> None:
        self._icon.setPixmap(theme.icon("vitrine", 56, "accent").pixmap(56))
