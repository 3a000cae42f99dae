"""The messages of a chat on a page that scrolls: built in small batches as they come near, following what is written.

What is built is one stretch of the chat, from its end or from the place where the reader was. The page follows only
while it stands at the bottom; a person who scrolls away stays at the message they look at, whatever grows above or
below it, and a pill brings them back. It knows messages and texts, not chats or the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QEvent, QRect, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFontMetricsF, QResizeEvent
from PySide6.QtWidgets import QApplication, QFrame, QHBoxLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

from app import theme
from app.widgets.ink import Ink
from app.widgets.named import named
from engine import StoredMessage

if TYPE_CHECKING:
    from app.widgets.message_view import MessageView

FIRST_BATCH = 3  # a message takes some 4 ms to build, and a frame has 16
BATCH = 2
FILL = QEvent.Type(QEvent.registerEventType())
NEAR = 400  # pixels from an edge of what is built at which more is built
COLUMN = 82  # characters
MARGIN = 24  # pixels that a message keeps free beside its text, both sides together


class Transcript(QScrollArea):
    """asked, edited, token_chosen and token_replaced come from the messages, see MessageView."""

    asked = Signal(str, str)
    edited = Signal(str, str, bool)
    token_chosen = Signal(str, int)
    token_replaced = Signal(str, int, int)

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
        self._written: dict[str, list[str]] = {}  # what was added to messages that are not built yet
        self._first = self._last = 0  # indices of the first message that is built, and of the first after them
        self._held: tuple[str, int] | None = None  # the place that stays where it is; None follows the end
        self._moving = False  # we scroll, not the person
        self._busy = self._browsable = False
        self._column = QWidget()
        self._rows = QVBoxLayout(self._column)
        self._rows.setContentsMargins(0, 24, 0, 16)
        self._rows.setSpacing(4)
        self._rows.addStretch(1)  # below: a short chat begins at the top, so that what is read stands still
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
        bar.rangeChanged.connect(self._stay)
        bar.valueChanged.connect(self._on_scroll)
        self._set_width()
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        app.focusChanged.connect(self._on_focus)

    # --- content ------------------------------------------------------------------------------------------------------

    def show_messages(
        self,
        messages: Sequence[StoredMessage],
        versions: Callable[[str], tuple[int, int]],
        fresh: bool = False,
        place: tuple[str, int] | None = None,
    ) -> None:
        """Show this branch. What it shares with the one before is kept.

        fresh: another chat, so begin at its end, or at a place that was asked for there.
        """
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
        count, to_end = len(messages), self._last == len(self._messages)
        self._messages = list(messages)
        self._written.clear()  # these are as they stand now
        self._first, self._last = min(self._first, same), min(self._last, same)
        if same == 0:
            start = next((i for i, message in enumerate(messages) if place and message.id == place[0]), count)
            self._held = place if start < count else None
            self._first = self._last = start if self._held else max(0, count - FIRST_BATCH)
            self._build_newer(FIRST_BATCH)
        elif to_end:
            self._build_newer(1)  # the rest in turns of their own, so that none of them is felt
        if self._held is not None and self._held[0] not in self._views:
            self._held = None
        for key, view in self._views.items():
            view.set_versions(versions(key))

    def view(self, key: str) -> MessageView | None:
        """The message's widget, if it is built."""
        return self._views.get(key)

    def append(self, key: str, text: str) -> None:
        view = self._views.get(key)
        if view is not None:
            view.append(text)
        else:
            self._written.setdefault(key, []).append(text)

    def update_message(self, message: StoredMessage) -> None:
        self._messages = [message if old.id == message.id else old for old in self._messages]
        self._written.pop(message.id, None)
        view = self._views.get(message.id)
        if view is not None:
            view.update_message(message)

    def set_busy(self, busy: bool, browsable: bool = False) -> None:
        self._busy, self._browsable = busy, browsable
        for view in self._views.values():
            view.set_busy(busy, browsable)

    def set_ink(self, ink: Ink) -> None:
        self._ink = ink
        self._set_width()
        self._pill.setIcon(theme.icon("arrow-down"))
        for view in self._views.values():
            view.set_ink(ink)

    def hold_still(self) -> None:
        """What changes now must not move the page."""
        self._held = self._place_at(self.verticalScrollBar().value())
        self._show_pill()

    def jump_to_latest(self) -> None:
        if self._last + BATCH < len(self._messages):
            self.show_messages(self._messages, self._versions, fresh=True)
        self._held = None
        self._stay()

    @property
    def built(self) -> int:
        """How many messages have widgets."""
        return len(self._views)

    @property
    def place(self) -> tuple[str, int] | None:
        """The message at the top of the view and how many pixels of it are above; None at the end."""
        return self._held

    def _place_at(self, value: int) -> tuple[str, int] | None:
        top = value - self._column.y()
        for message in self._messages[self._first : self._last]:
            view = self._views[message.id]
            if view.geometry().bottom() >= top:
                return message.id, top - view.y()
        return None

    def _build(self, index: int) -> None:
        from app.widgets.message_view import MessageView  # Markdown and Pygments: not needed for the first paint

        message = self._messages[index]
        view = MessageView(message, self._ink, self._versions(message.id))
        view.asked.connect(self.asked)
        view.edited.connect(self.edited)
        view.token_chosen.connect(self.token_chosen)
        view.token_replaced.connect(self.token_replaced)
        view.set_busy(self._busy, self._browsable)
        self._views[message.id] = view
        self._rows.insertWidget(index - self._first, view)
        for text in self._written.pop(message.id, ()):
            view.append(text)

    def _build_older(self) -> None:
        """A batch above what is there."""
        until, self._first = self._first, max(0, self._first - BATCH)
        for index in range(self._first, until):
            self._build(index)
        QTimer.singleShot(0, self, self._fill_later)

    def _build_newer(self, most: int = BATCH) -> None:
        """A batch below what is there."""
        until = min(len(self._messages), self._last + most)
        for index in range(self._last, until):
            self._build(index)
        self._last = until
        QTimer.singleShot(0, self, self._fill_later)

    def _fill_later(self) -> None:
        """An event of low priority comes after all that the layout still has to do, a timer would come before."""
        QCoreApplication.postEvent(self, QEvent(FILL), Qt.EventPriority.LowEventPriority.value)

    def _fill(self) -> None:
        """Build on while an edge of what is built is near."""
        bar = self.verticalScrollBar()
        if bar.value() < NEAR and self._first > 0:
            self._build_older()
        elif bar.value() > bar.maximum() - NEAR and self._last < len(self._messages):
            self._build_newer()

    # --- scrolling ----------------------------------------------------------------------------------------------------

    def _stay(self, *_: object) -> None:
        """Whatever has grown: at the end, or at the place that is held."""
        bar = self.verticalScrollBar()
        view = self._views.get(self._held[0]) if self._held else None
        self._moving = True
        if self._held is None:
            bar.setValue(bar.maximum())
        elif view is not None:
            bar.setValue(view.y() + self._column.y() + self._held[1])
        self._moving = False
        self._show_pill()

    def _on_scroll(self, value: int) -> None:
        if not self._moving:
            at_end = value >= self.verticalScrollBar().maximum() - 4 and self._last == len(self._messages)
            self._held = None if at_end else self._place_at(value)
            self._fill()
        self._show_pill()

    def _show_pill(self) -> None:
        bar = self.verticalScrollBar()
        self._pill.setVisible(self._held is not None and bar.value() < bar.maximum() - 40)

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

    def customEvent(self, event: QEvent) -> None:
        if event.type() == FILL:
            self._fill()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        size = self._pill.sizeHint()
        self._pill.setGeometry(
            QRect((self.viewport().width() - size.width()) // 2, self.height() - size.height() - 12, *size.toTuple())
        )
