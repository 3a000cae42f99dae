"""One line that says what happened, with at most one action: errors, undo, and remarks at the place they belong to."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.widgets.named import named, quiet_button, toggle_button


class Notice(QFrame):
    """Hidden until say(). The text can be selected; details, if any, fold open below and can be copied."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("notice")
        self.setProperty("kind", "notice")
        self.passing = False
        self._act: Callable[[], None] | None = None
        self._icon = QLabel()
        self._text = QLabel(wordWrap=True)
        self._text.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self._action = named(QPushButton(), "noticeAction")
        self._action.clicked.connect(self._on_action)
        self._fold = toggle_button("noticeDetails", "Details")
        self._fold.setAccessibleName("Show details")
        self._fold.toggled.connect(self._on_fold)
        self._close = quiet_button("noticeClose", "Dismiss")
        self._close.setIcon(theme.icon("x"))
        self._close.clicked.connect(self.hide)
        self._details = named(QPlainTextEdit(readOnly=True), "noticeText")
        self._details.setAccessibleName("Details of the error")
        self._details.setFixedHeight(120)
        self._copy = named(QPushButton("Copy details"), "noticeCopy")
        self._copy.clicked.connect(self._on_copy)
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self._icon)
        row.addWidget(self._text, 1)
        for button in (self._action, self._fold, self._close):
            button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            row.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 4, 4, 4)
        column.addLayout(row)
        column.addWidget(self._details)
        column.addWidget(self._copy, 0, Qt.AlignmentFlag.AlignLeft)
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self.hide)
        self.hide()

    @property
    def text(self) -> str:
        return self._text.text()

    def say(
        self,
        text: str,
        action: str = "",
        act: Callable[[], None] | None = None,
        *,
        error: bool = False,
        details: str = "",
        seconds: float = 0,
        passing: bool = False,
    ) -> None:
        """Show a sentence. seconds: it goes by itself after that long, 0 stays until it is dismissed.

        passing: it is about what is on the screen, and means nothing once something else is.
        """
        self.passing = passing
        self._text.setText(text)
        self.setAccessibleName(text)
        icon = theme.icon("triangle-alert", 16, "danger") if error else theme.icon("info", 16, "muted")
        self._icon.setPixmap(icon.pixmap(16))
        self._action.setText(action)
        self._action.setVisible(bool(action))
        self._act = act
        self._fold.setChecked(False)
        self._fold.setVisible(bool(details))
        self._details.setPlainText(details)
        self._on_fold(False)
        self.setProperty("error", error)
        self.style().unpolish(self)
        self.style().polish(self)
        self.show()
        if seconds:
            self._timer.start(int(seconds * 1000))
        else:
            self._timer.stop()

    def fail(
        self,
        message: str,
        hint: str,
        details: str,
        action: str = "",
        act: Callable[[], None] | None = None,
        passing: bool = False,
    ) -> None:
        """Show an error: what, and what to do about it."""
        self.say(f"{message} {hint}".strip(), action, act, error=True, details=details, passing=passing)

    def _on_action(self) -> None:
        self.hide()
        if self._act is not None:
            self._act()

    def _on_fold(self, shown: bool) -> None:
        self._details.setVisible(shown)
        self._copy.setVisible(shown)

    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(f"{self._text.text()}\n\n{self._details.toPlainText()}")
