"""Small makers, so that no control lacks a name: for the style sheet, for screen readers, under the pointer."""

from __future__ import annotations

from typing import TypeVar

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QProgressBar, QPushButton, QToolButton, QWidget

W = TypeVar("W", bound=QWidget)


def named(widget: W, name: str, words: str = "") -> W:
    """Give a widget its object name and, where its own text does not do, the name that is read aloud."""
    widget.setObjectName(name)
    if words:
        widget.setAccessibleName(words)
    return widget


def quiet_button(name: str, words: str, hit: int = 28) -> QToolButton:
    """A button that is only an icon: its words are its tooltip and its name. hit: its side in pixels."""
    button = named(QToolButton(), name, words)
    button.setToolTip(words)
    button.setProperty("kind", "quiet")
    button.setFixedSize(hit, hit)
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    return button


def toggle_button(name: str, words: str) -> QPushButton:
    """A button that stays down."""
    button = named(QPushButton(words), name)
    button.setCheckable(True)
    return button


def slim_bar(words: str, width: int) -> QProgressBar:
    """A progress bar without numbers; they stand beside it."""
    bar = named(_SlimBar(), "slimBar", words)
    bar.setTextVisible(False)
    bar.setMaximumWidth(width)
    return bar


class _SlimBar(QProgressBar):
    """One that is drawn with the next frame; Qt's own draws all of the window that has changed within setValue."""

    def setValue(self, value: int) -> None:
        self.setUpdatesEnabled(False)
        super().setValue(value)
        self.setUpdatesEnabled(True)
