"""The button beside Send that has a message answered several times: the menu says how often, and does it."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QPoint, Signal
from PySide6.QtGui import QActionGroup
from PySide6.QtWidgets import QMenu, QToolButton

from app import theme
from app.widgets.named import named

FEWEST, MOST = 2, 8


class AnswerMenu(QToolButton):
    """wanted: answer so many times. chosen: how often from now on."""

    wanted = Signal(int)
    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        named(self, "answerMenu", "Answer several times")
        self.setToolTip("Answer several times")
        self.setProperty("kind", "quiet")
        self.setFixedSize(28, 36)
        self._count = FEWEST
        self._continuing = False
        self.ready = True
        self.clicked.connect(self._open)
        theme.theme_changed.connect(self._tint)
        self._tint()

    @property
    def count(self) -> int:
        return self._count

    def set_count(self, count: int) -> None:
        self._count = min(max(count, FEWEST), MOST)

    def set_continuing(self, continuing: bool) -> None:
        """Whether a text is continued, not a message answered."""
        self._continuing = continuing
        words = "Continue several times" if continuing else "Answer several times"
        self.setAccessibleName(words)
        self.setToolTip(words)

    def set_ready(self, ready: bool) -> None:
        """Whether there is anything to answer; how often can be chosen all the same."""
        self.ready = ready

    def menu_now(self) -> QMenu:
        """What to do and how often; it goes when it closes."""
        menu = named(QMenu(self), "answerMenuItems", "Answer several times")
        menu.setToolTipsVisible(True)
        does = "Continue" if self._continuing else "Answer"
        act = menu.addAction(f"{does} {self._count} times and keep all", lambda: self.wanted.emit(self._count))
        act.setEnabled(self.ready)
        act.setToolTip("Each is a version with its score; the likeliest is shown")
        menu.addSeparator()
        often = menu.addMenu("How often")
        group = QActionGroup(often)
        for count in range(FEWEST, MOST + 1):
            choice = often.addAction(f"{count} times", partial(self._choose, count))
            choice.setCheckable(True)
            choice.setChecked(count == self._count)
            group.addAction(choice)
        return menu

    def _choose(self, count: int) -> None:
        self.set_count(count)
        self.chosen.emit(count)

    def _open(self) -> None:
        menu = self.menu_now()
        menu.aboutToHide.connect(menu.deleteLater)
        size = menu.sizeHint()
        menu.popup(self.mapToGlobal(QPoint(self.width() - size.width(), -size.height() - 4)))

    def _tint(self, *_: object) -> None:
        self.setIcon(theme.icon("chevron-up", 16, "muted"))
