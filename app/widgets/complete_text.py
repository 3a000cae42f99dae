"""Complete mode: one text that a person writes and the model continues. It knows a text and its versions."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFontMetricsF, QKeyEvent, QTextCursor
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.widgets.dropped import TextEdit
from app.widgets.ink import Ink
from app.widgets.named import named, quiet_button
from app.widgets.token_strip import TokenStrip
from engine import TokenRecord

BUTTONS = (
    ("previous", "chevron-left", "Version before"),
    ("next", "chevron-right", "Version after"),
    ("retry", "refresh-cw", "Retry the continuation"),
    ("several", "git-branch", "Continue several times from the same place, and keep all"),
    ("copy", "copy", "Copy the text"),
    ("tokens", "text-cursor-input", "Tokens of the continuation"),
    ("delete", "trash-2", "Delete this version"),
)


class _Editor(TextEdit):
    submitted = Signal()
    several = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        control = event.modifiers() & Qt.KeyboardModifier.ControlModifier
        shift = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
        if control and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            (self.several if shift else self.submitted).emit()
        else:
            super().keyPressEvent(event)


class CompleteText(QWidget):
    """edited: the text as typed. submitted: Ctrl+Enter. several: with Shift. asked: an action. token_chosen: an index.

    token_replaced: an index, and the id of the candidate wanted there.
    """

    edited = Signal(str)
    submitted = Signal()
    several = Signal()
    asked = Signal(str)
    token_chosen = Signal(int)
    token_replaced = Signal(int, int)

    def __init__(self, ink: Ink) -> None:
        super().__init__()
        self.setObjectName("page")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._ink = ink
        self._any = False
        self._versions = (1, 1)
        self._browsable = False
        self.editor = named(_Editor(tabChangesFocus=True), "completeText")
        self.editor.setAccessibleName("Text to continue")
        self.editor.setPlaceholderText("Write the beginning of a text. The model continues at its end.")
        self.editor.setFrameShape(QFrame.Shape.NoFrame)
        self.editor.document().setDocumentMargin(0)
        self.editor.textChanged.connect(lambda: self.edited.emit(self.text))
        self.editor.submitted.connect(self.submitted)
        self.editor.several.connect(self.several)
        self.strip: TokenStrip | None = None
        self._strip_page = named(QScrollArea(widgetResizable=True), "transcript")
        self._strip_page.setFrameShape(QFrame.Shape.NoFrame)
        self._strip_page.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._at_end = True
        self._strip_page.verticalScrollBar().valueChanged.connect(self._on_scroll)
        self._strip_page.verticalScrollBar().rangeChanged.connect(self._on_range)
        self._pages = QStackedWidget()
        self._pages.addWidget(self.editor)
        self._pages.addWidget(self._strip_page)
        self._label = named(QLabel(), "caption")
        bar = QHBoxLayout()
        bar.setSpacing(2)
        self._buttons: dict[str, QToolButton] = {}
        for name, icon, words in BUTTONS:
            button = quiet_button(f"text-{name}", words)
            button.setProperty("icon_name", icon)
            button.setProperty("action", name)
            button.clicked.connect(self._on_button)
            self._buttons[name] = button
            bar.addWidget(button)
            if name == "previous":
                bar.addWidget(self._label)
        self._buttons["tokens"].setCheckable(True)
        self._score = named(QLabel(), "caption")
        self._score.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)  # it must not widen the pane
        bar.addSpacing(6)
        bar.addWidget(self._score, 1)
        self._column = QWidget()
        column = QVBoxLayout(self._column)
        column.setContentsMargins(0, 24, 0, 0)
        column.addWidget(self._pages, 1)
        column.addLayout(bar)
        row = QHBoxLayout(self)
        row.setContentsMargins(24, 0, 24, 0)
        row.addStretch(1)
        row.addWidget(self._column, 1000)
        row.addStretch(1)
        self.set_ink(ink)
        self.set_versions((1, 1), False)

    @property
    def text(self) -> str:
        return self.editor.toPlainText()

    def set_text(self, text: str) -> None:
        """Another text; the cursor goes to its end. Says nothing back."""
        if text != self.text:
            self.editor.blockSignals(True)
            self.editor.setPlainText(text)
            self.editor.moveCursor(QTextCursor.MoveOperation.End)
            self.editor.blockSignals(False)

    def append(self, text: str) -> None:
        """What the model just wrote; the page follows only while it stands at the end."""
        bar = self.editor.verticalScrollBar()
        following = bar.value() >= bar.maximum() - 1
        cursor = QTextCursor(self.editor.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        self.editor.blockSignals(True)
        cursor.insertText(text)
        self.editor.blockSignals(False)
        if following:
            bar.setValue(bar.maximum())

    def set_versions(self, versions: tuple[int, int], any_text: bool) -> None:
        self._versions, self._any = versions, any_text
        self._label.setText(f"{versions[0]}/{versions[1]}")
        self.set_busy(self.editor.isReadOnly(), self._browsable)

    def set_score(self, words: str, meaning: str) -> None:
        """What is said of a version among several; "" for one without a score."""
        self._score.setText(words)
        self._score.setToolTip(meaning)

    def set_busy(self, busy: bool, browsable: bool = False) -> None:
        """While the model writes, the text is read only. browsable: its versions can be looked at all the same."""
        self.editor.setReadOnly(busy)
        self._browsable = browsable
        if self.strip is not None:
            self.strip.set_branching(not busy)
        number, count = self._versions
        several = count > 1
        for name in ("previous", "next"):
            self._buttons[name].setVisible(several)
        self._label.setVisible(several)
        still = not busy or browsable
        self._buttons["previous"].setEnabled(number > 1 and still)
        self._buttons["next"].setEnabled(number < count and still)
        for name in ("retry", "several", "delete"):
            self._buttons[name].setEnabled(self._any and not busy)
        for name in ("copy", "tokens"):
            self._buttons[name].setEnabled(self._any)

    def show_tokens(self, records: Sequence[TokenRecord], before: str = "") -> None:
        """The continuation as tokens, after the text that it continues; none shows the text as one again."""
        self._buttons["tokens"].setChecked(bool(records))
        if not records:
            self._pages.setCurrentWidget(self.editor)
            return
        if self.strip is None:
            self.strip = TokenStrip(self._ink)
            self.strip.focused.connect(self.token_chosen)
            self.strip.replaced.connect(self.token_replaced)
            self.strip.set_branching(not self.editor.isReadOnly())
            holder = named(QWidget(), "page")
            column = QVBoxLayout(holder)
            column.setContentsMargins(0, 0, 8, 0)
            column.addWidget(self.strip)
            column.addStretch(1)
            self._strip_page.setWidget(holder)
        if self.strip.grows_into(records, before):
            self.strip.append(records[self.strip.count :])
        else:
            self._at_end = True
            self.strip.set(records, before)
        self._pages.setCurrentWidget(self._strip_page)

    def _on_scroll(self, value: int) -> None:
        self._at_end = value >= self._strip_page.verticalScrollBar().maximum() - 1

    def _on_range(self, low: int, high: int) -> None:
        if self._at_end:
            self._strip_page.verticalScrollBar().setValue(high)

    def show_focus(self, index: int) -> None:
        if self.strip is not None:
            self.strip.show_focus(index)

    def set_ink(self, ink: Ink) -> None:
        self._ink = ink
        # As a style sheet: the window's own sheet takes a font that was set otherwise back when it is applied.
        self.editor.setStyleSheet(f"font-size: {ink.size}px;")
        self._column.setMaximumWidth(round(QFontMetricsF(theme.font(ink.size)).averageCharWidth() * 82))
        for button in self._buttons.values():
            button.setIcon(theme.icon(str(button.property("icon_name")), 16, "muted"))

    def _on_button(self) -> None:
        self.asked.emit(str(self.sender().property("action")))
