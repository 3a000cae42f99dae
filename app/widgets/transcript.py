"""The messages of a chat on a page that scrolls: built in batches from the end, following what is written.

It follows only while it stands at the bottom; a person who scrolls away stays where they are, and a pill brings them
back. It knows messages and texts, not chats or the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QRect, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFontMetricsF, QResizeEvent
from PySide6.QtWidgets import QApplication, QFrame, QHBoxLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

from app import theme
from app.widgets.ink import Ink
from app.widgets.named import named
from engine import StoredMessage

if TYPE_CHECKING:
    from app.widgets.message_view import MessageView

FIRST_BATCH = 8  # a message takes some 4 ms to build, and a frame has 16
BATCH = 4
NEAR_TOP = 400  # pixels from the top at which older messages are built
COLUMN = 82  # characters
MARGIN = 24  # pixels that a message keeps free beside its text, both sides together


class Transcript(QScrollArea):
    """asked, edited and token_chosen come from the messages, see MessageView."""

    asked = Signal(str, str)
    edited = Signal(str, str, bool)
    token_chosen = Signal(str, int)

    def __init__(self, ink: Ink, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("transcript")
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName("Transcript")
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._ink = ink
        self._messages: list[StoredMessage] = []
        self._versions: Callable[[str], tuple[int, int]] = lambda key: (1, 1)
        self._views: dict[str, MessageView] = {}
        self._first = 0  # index of the first message that is built
        self._follow = True
        self._busy = False
        self._anchor: int | None = None  # distance from the end to keep while older messages are put above
        self._column = QWidget()
        self._rows = QVBoxLayout(self._column)
        self._rows.setContentsMargins(0, 24, 0, 16)
        self._rows.setSpacing(4)
        self._rows.addStretch(1)
        page = named(QWidget(), "page")
        row = QHBoxLayout(page)
        row.setContentsMargins(24, 0, 24, 0)
        row.addStretch(1)
        row.addWidget(self._column, 1000)
        row.addStretch(1)
        self.setWidget(page)
        self._pill = named(QPushButton("Jump to latest", self), "pill")
        self._pill.setIcon(theme.icon("arrow-down"))
        self._pill.setIconSize(QSize(16, 16))
        self._pill.setAccessibleName("Jump to latest")
        self._pill.clicked.connect(self.jump_to_latest)
        self._pill.hide()
        bar = self.verticalScrollBar()
        bar.rangeChanged.connect(self._on_range)
        bar.valueChanged.connect(self._on_scroll)
        self._set_width()
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        app.focusChanged.connect(self._on_focus)

    # --- content ------------------------------------------------------------------------------------------------------

    def show_messages(
        self, messages: Sequence[StoredMessage], versions: Callable[[str], tuple[int, int]], fresh: bool = False
    ) -> None:
        """Show this branch. What it shares with the one before is kept; fresh: another chat, so begin at its end."""
        same = 0
        if not fresh:
            for old, new in zip(self._messages, messages):
                if old.id != new.id:
                    break
                same += 1
        self._versions = versions
        for message in self._messages[same:]:
            view = self._views.pop(message.id, None)
            if view is not None:
                self._rows.removeWidget(view)
                view.hide()
                view.deleteLater()
        self._messages = list(messages)
        if same == 0:
            QTimer.singleShot(0, self, self._drop_anchor)
            self._first = max(0, len(messages) - FIRST_BATCH)
            self._follow = True
        self._first = min(self._first, len(messages))
        for index in range(max(same, self._first), len(messages)):
            self._build(index)
        for key, view in self._views.items():
            view.set_versions(versions(key))

    def view(self, key: str) -> MessageView | None:
        """The message's widget, if it is built."""
        return self._views.get(key)

    def append(self, key: str, text: str) -> None:
        view = self._views.get(key)
        if view is not None:
            view.append(text)

    def update_message(self, message: StoredMessage) -> None:
        self._messages = [message if old.id == message.id else old for old in self._messages]
        view = self._views.get(message.id)
        if view is not None:
            view.update_message(message)

    def set_busy(self, busy: bool) -> None:
        self._busy = busy
        for view in self._views.values():
            view.set_busy(busy)

    def set_ink(self, ink: Ink) -> None:
        self._ink = ink
        self._set_width()
        self._pill.setIcon(theme.icon("arrow-down"))
        for view in self._views.values():
            view.set_ink(ink)

    def hold_still(self) -> None:
        """What changes now must not move the page."""
        self._follow = False
        self._show_pill()

    def jump_to_latest(self) -> None:
        self._follow = True
        self.verticalScrollBar().setValue(self.verticalScrollBar().maximum())
        self._show_pill()

    @property
    def built(self) -> int:
        """How many messages have widgets."""
        return len(self._views)

    def _build(self, index: int, row: int | None = None) -> None:
        from app.widgets.message_view import MessageView  # Markdown and Pygments: not needed for the first paint

        message = self._messages[index]
        view = MessageView(message, self._ink, self._versions(message.id))
        view.asked.connect(self.asked)
        view.edited.connect(self.edited)
        view.token_chosen.connect(self.token_chosen)
        view.set_busy(self._busy)
        self._views[message.id] = view
        self._rows.insertWidget(self._rows.count() if row is None else row, view)

    def _build_older(self) -> None:
        """A batch above what is there, the page standing still."""
        if self._first == 0 or self._anchor is not None:
            return
        bar = self.verticalScrollBar()
        self._anchor = bar.maximum() - bar.value()
        until, self._first = self._first, max(0, self._first - BATCH)
        for offset, index in enumerate(range(self._first, until)):
            self._build(index, 1 + offset)
        QTimer.singleShot(0, self, self._drop_anchor)

    def _drop_anchor(self) -> None:
        self._anchor = None
        if self.verticalScrollBar().value() < NEAR_TOP:
            self._build_older()

    # --- scrolling ----------------------------------------------------------------------------------------------------

    def _on_range(self, low: int, high: int) -> None:
        bar = self.verticalScrollBar()
        if self._anchor is not None:
            bar.setValue(high - self._anchor)
        elif self._follow:
            bar.setValue(high)
        self._show_pill()

    def _on_scroll(self, value: int) -> None:
        bar = self.verticalScrollBar()
        if self._anchor is None:
            self._follow = value >= bar.maximum() - 4
            if value < NEAR_TOP:
                self._build_older()
        self._show_pill()

    def _show_pill(self) -> None:
        bar = self.verticalScrollBar()
        self._pill.setVisible(not self._follow and bar.value() < bar.maximum() - 40)

    def _set_width(self) -> None:
        """Lines of 72 to 84 characters, whatever the size of the text."""
        font = self.font()
        font.setPixelSize(self._ink.size)
        font.setFamilies([self._ink.family])
        self._column.setMaximumWidth(round(QFontMetricsF(font).averageCharWidth() * COLUMN) + MARGIN)

    @property
    def column_width(self) -> int:
        return self._column.maximumWidth()

    def _on_focus(self, old: QWidget | None, new: QWidget | None) -> None:
        for widget in (old, new):
            for view in self._views.values():
                if widget is not None and view.isAncestorOf(widget):
                    view.show_actions()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        size = self._pill.sizeHint()
        self._pill.setGeometry(
            QRect((self.viewport().width() - size.width()) // 2, self.height() - size.height() - 12, *size.toTuple())
        )
