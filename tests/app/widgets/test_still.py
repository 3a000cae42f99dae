"""Words that change all the time: they have the place that was given to them, and ask for no other."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QApplication, QHBoxLayout, QLabel, QWidget
from pytestqt.qtbot import QtBot

from app.widgets.still import Still


class Layouts(QObject):
    """How often a widget was asked to lay itself out."""

    count = 0

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        self.count += event.type() == QEvent.Type.LayoutRequest
        return False


def test_new_words_move_nothing_and_the_longest_have_room(qtbot: QtBot, themed: QApplication) -> None:
    still, free = QLabel("1"), QLabel("1")
    holder = Still(still, "token 1,024 of 1,024")
    page = QWidget()
    row = QHBoxLayout(page)
    row.addWidget(holder)
    row.addWidget(free)
    qtbot.addWidget(page)
    with qtbot.waitExposed(page):
        page.show()
    QApplication.processEvents()
    layouts = Layouts(page)
    page.installEventFilter(layouts)
    still.setText("token 1,024 of 1,024")
    QApplication.processEvents()
    assert still.text() and layouts.count == 0
    assert still.size() == holder.size() and still.width() >= still.sizeHint().width()
    free.setText("other words")  # a label without such a place does ask
    qtbot.waitUntil(lambda: layouts.count > 0)
