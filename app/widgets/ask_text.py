"""A field to write in, buttons beneath it, and room for what comes of it: the frame of every page of the playground."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from app.widgets.dropped import TextEdit
from app.widgets.named import named


class TextField(TextEdit):
    """A few lines of plain text; Enter with Ctrl asks, Tab leaves."""

    submitted = Signal()

    def __init__(self, name: str, words: str, hint: str, height: int = 84) -> None:
        super().__init__(tabChangesFocus=True)
        named(self, name, words)
        self.setProperty("kind", "field")
        self.setPlaceholderText(hint)
        self.setFixedHeight(height)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        entered = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if entered and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.submitted.emit()
        else:
            super().keyPressEvent(event)


class AskPage(QWidget):
    """A page that scrolls as a whole. asked: the main button, or its key. stopped: the same button while it works.

    A page that asks adds its field and `foot` to `body`, then whatever shows the answer.
    """

    asked = Signal()
    stopped = Signal()

    def __init__(self, words: str, action: str, name: str) -> None:
        super().__init__()
        self._action = action
        self._busy = False
        self._ready = True
        self.button = named(QPushButton(action), "primary", name)
        self.button.clicked.connect(self._on_button)
        self.foot = QHBoxLayout()
        self.foot.setSpacing(8)
        self.foot.addStretch(1)
        self.foot.addWidget(self.button)
        explanation = QLabel(words, wordWrap=True)
        explanation.setProperty("role", "caption")
        holder = QWidget()
        outer = QVBoxLayout(holder)
        outer.setContentsMargins(12, 10, 12, 12)
        outer.setSpacing(8)
        outer.addWidget(explanation)
        explanation.setVisible(bool(words))  # not before it has its place: it would be a window of its own
        self.body = QVBoxLayout()
        self.body.setSpacing(8)
        outer.addLayout(self.body)
        outer.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(holder)
        scroll.viewport().setAutoFillBackground(False)
        holder.setAutoFillBackground(False)
        page = QVBoxLayout(self)
        page.setContentsMargins(0, 0, 0, 0)
        page.addWidget(scroll)

    def ask(self) -> None:
        """What the main button does while nothing runs."""
        if self._ready and not self._busy:
            self.asked.emit()

    def set_ready(self, ready: bool) -> None:
        """Whether there is anything to ask."""
        self._ready = ready
        self._enable()

    def set_busy(self, busy: bool) -> None:
        """Stop in the button's place while the model works."""
        self._busy = busy
        self.button.setText("Stop" if busy else self._action)
        self._enable()

    def _enable(self) -> None:
        self.button.setEnabled(self._busy or self._ready)

    def _on_button(self) -> None:
        if self._busy:
            self.button.setEnabled(False)
            self.stopped.emit()
        else:
            self.asked.emit()
