"""Where a message is typed: grows to eight lines, Enter sends, Shift+Enter breaks the line.

It knows no chat. While the model writes, Stop stands in Send's place and one can type on; Enter then waits.
"""

from __future__ import annotations

import math

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QFocusEvent, QFontMetricsF, QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QWidget

from app import theme
from app.widgets.answer_menu import AnswerMenu
from app.widgets.dropped import TextEdit
from app.widgets.named import named, quiet_button

MOST_LINES = 8
SEND = ("Send", "Send the message", "Send (Enter)")  # words, name, tooltip
STOP = ("Stop", "Stop the answer", "Stop (Esc)")
CONTINUE = ("Continue", "Continue the text", "Continue (Ctrl+Enter)")
SEVERAL = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
ROOM = 3  # pixels above and below the lines


class Editor(TextEdit):
    """Plain text with the composer's keys."""

    submitted = Signal()
    several = Signal()  # to be answered more than once
    focused = Signal(bool)
    earlier = Signal()  # Up in an empty editor
    version = Signal(int)  # Left or Right in an empty editor

    def __init__(self) -> None:
        super().__init__(tabChangesFocus=True)
        self.setViewportMargins(0, ROOM, 0, 0)

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self.focused.emit(True)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.focused.emit(False)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key, plain = event.key(), event.modifiers() == Qt.KeyboardModifier.NoModifier
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and event.modifiers() in (
            Qt.KeyboardModifier.NoModifier,
            Qt.KeyboardModifier.KeypadModifier,
            Qt.KeyboardModifier.ControlModifier,
        ):
            self.submitted.emit()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and event.modifiers() == SEVERAL:
            self.several.emit()
        elif plain and key == Qt.Key.Key_Up and not self.toPlainText():
            self.earlier.emit()
        elif plain and key in (Qt.Key.Key_Left, Qt.Key.Key_Right) and not self.toPlainText():
            self.version.emit(-1 if key == Qt.Key.Key_Left else 1)
        else:
            super().keyPressEvent(event)


class Composer(QFrame):
    """submitted: the text to send. stopped: Stop was pressed. edited: the text as typed, for the draft.

    several: how often it is to be answered. count_chosen: how often from now on. aids_wanted: whether the card with
    ways to put a task is to be open.
    """

    submitted = Signal(str)
    stopped = Signal()
    edited = Signal(str)
    several = Signal(int)
    count_chosen = Signal(int)
    aids_wanted = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("composer")
        self._answering = self._continuing = False
        self.editor = named(Editor(), "composerText")
        self.editor.setAccessibleName("Message")
        self.editor.setPlaceholderText("Write a message")
        self.editor.setFrameShape(QFrame.Shape.NoFrame)
        self.editor.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.editor.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.editor.document().setDocumentMargin(0)
        self.editor.textChanged.connect(self._on_text)
        self.editor.submitted.connect(self._submit)
        self.editor.several.connect(self.ask_several)
        self.editor.focused.connect(self._show_focus)
        self._hint = named(QLabel("Ctrl+Enter continues at the end of the text."), "caption")
        self._hint.hide()
        self.button = named(QPushButton(), "primary")
        self.button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.button.setIconSize(QSize(16, 16))
        self.button.setFixedHeight(36)
        self.button.setMinimumWidth(84)
        self.button.clicked.connect(self._on_button)
        self.aids = quiet_button("promptAids", "Ways to put a task: examples, step by step", 36)
        self.aids.setCheckable(True)
        self.aids.toggled.connect(self.aids_wanted)
        self.answers = AnswerMenu()
        self.answers.wanted.connect(self.several)
        self.answers.chosen.connect(self.count_chosen)
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 8, 8, 8)
        row.setSpacing(8)
        row.addWidget(self._hint, 1)
        row.addWidget(self.editor, 1, Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self.aids, 0, Qt.AlignmentFlag.AlignBottom)
        row.addWidget(self.button, 0, Qt.AlignmentFlag.AlignBottom)
        row.addSpacing(-6)  # it belongs to the button
        row.addWidget(self.answers, 0, Qt.AlignmentFlag.AlignBottom)
        self.editor.document().documentLayout().documentSizeChanged.connect(self._fit)
        self.set_answering(False)
        self._fit()

    @property
    def text(self) -> str:
        return self.editor.toPlainText()

    def set_text(self, text: str) -> None:
        """Put a draft into the editor, the cursor at its end; says nothing back."""
        if text != self.text:
            self.editor.blockSignals(True)
            self.editor.setPlainText(text)
            self.editor.moveCursor(self.editor.textCursor().MoveOperation.End)
            self.editor.blockSignals(False)
        self._fit()
        self._enable()

    def set_answering(self, answering: bool) -> None:
        """Stop in Send's place while the model writes."""
        self._answering = answering
        self._show_button()

    def show_stopping(self) -> None:
        """Stop was asked for; the answer ends within a token or a layer."""
        if self._answering:
            self.button.setText(" Stopping")
            self.button.setEnabled(False)

    def set_continuing(self, continuing: bool) -> None:
        """Complete mode: the text is edited elsewhere, only the button is left."""
        self._continuing = continuing
        self.editor.setVisible(not continuing)
        self._hint.setVisible(continuing)
        self.answers.set_continuing(continuing)
        self._show_button()

    def _show_button(self) -> None:
        words, name, tip = SEND
        if self._answering:
            words, name, tip = STOP
        elif self._continuing:
            words, name, tip = CONTINUE
        self.button.setText(f" {words}")
        self.button.setAccessibleName(name)
        self.button.setToolTip(tip)
        self._enable()

    def _enable(self) -> None:
        self.button.setEnabled(self._answering or self._continuing or bool(self.text.strip()))
        ink = "on_accent" if self.button.isEnabled() else "muted"
        icon = "square" if self._answering else "play" if self._continuing else "send"
        self.button.setIcon(theme.icon(icon, 16, ink))
        self.answers.set_ready(not self._answering and self.button.isEnabled())
        self.aids.setIcon(theme.icon("layers", 16, "muted"))

    def _show_focus(self, focused: bool) -> None:
        """The whole composer is the field, so its frame carries the mark."""
        self.setProperty("focused", focused)
        self.style().unpolish(self)
        self.style().polish(self)

    def _submit(self) -> None:
        if not self._answering and self.text.strip():
            self.submitted.emit(self.text)

    def ask_several(self) -> None:
        """What the button beside Send offers, from the keyboard."""
        if self.answers.ready:
            self.several.emit(self.answers.count)

    def _on_button(self) -> None:
        if self._answering:
            self.show_stopping()
            self.stopped.emit()
        else:
            self.submitted.emit(self.text)

    def _on_text(self) -> None:
        self._enable()
        self.edited.emit(self.text)

    def _fit(self, *_: object) -> None:
        """As high as the text, up to eight lines; QPlainTextEdit's document counts in lines."""
        lines = self.editor.document().documentLayout().documentSize().height()
        spacing = math.ceil(QFontMetricsF(self.editor.font()).lineSpacing())  # a line is whole pixels high
        self.editor.setFixedHeight(round(spacing * max(1, min(MOST_LINES, lines))) + 2 * ROOM)
        policy = Qt.ScrollBarPolicy
        self.editor.setVerticalScrollBarPolicy(
            policy.ScrollBarAsNeeded if lines > MOST_LINES else policy.ScrollBarAlwaysOff
        )

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange and hasattr(self, "button"):
            self._enable()
            self._fit()
