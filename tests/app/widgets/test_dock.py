"""What a pane in a dock asks of the window: room where it needs more, and nothing for other words."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtWidgets import QApplication, QLabel, QMainWindow, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from app import theme
from app.widgets.dock import Dock
from app.widgets.named import slim_bar


class Counted(QObject):
    """How many events of one kind a widget gets."""

    def __init__(self, widget: QWidget, kind: QEvent.Type) -> None:
        super().__init__(widget)
        self.count, self._kind = 0, kind
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        self.count += event.type() == self._kind
        return False


@pytest.fixture
def window(qtbot: QtBot, themed: QApplication) -> QMainWindow:
    window = QMainWindow()
    qtbot.addWidget(window)
    window.resize(600, 400)
    return window


def test_other_words_in_a_pane_do_not_lay_out_the_window_and_a_larger_pane_does(
    window: QMainWindow, qtbot: QtBot
) -> None:
    label, tall = QLabel("1"), QWidget()
    label.setMinimumWidth(80)
    tall.setFixedHeight(500)
    tall.hide()

    def make() -> QWidget:
        pane = QWidget()
        column = QVBoxLayout(pane)
        column.addWidget(label)
        column.addWidget(tall)
        return pane

    dock = Dock("pane", "Pane", make, window)
    window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
    window.show()
    dock.wake()
    qtbot.waitUntil(lambda: dock.pane is not None and dock.pane.height() > 100)
    in_pane, in_window = (Counted(w, QEvent.Type.LayoutRequest) for w in (dock.build(), window))
    for words in ("2,000", "3,000"):  # the first time beside what showing it has left to do
        in_pane.count = in_window.count = 0
        label.setText(words)
        qtbot.waitUntil(lambda: in_pane.count > 0)
        QApplication.sendPostedEvents()
    assert in_window.count == 0
    tall.show()
    qtbot.waitUntil(lambda: dock.build().height() >= 500 and in_window.count > 0)


def test_a_slim_bar_is_drawn_with_the_frame_and_not_within_the_call(window: QMainWindow, qtbot: QtBot) -> None:
    bar = slim_bar("Progress", 160)
    window.setCentralWidget(bar)
    with qtbot.waitExposed(window):
        window.show()
    QApplication.processEvents()
    painted = Counted(bar, QEvent.Type.Paint)
    bar.setValue(50)
    assert painted.count == 0
    qtbot.waitUntil(lambda: painted.count == 1)


def test_a_dock_torn_off_has_a_line_around_it(window: QMainWindow, qtbot: QtBot) -> None:
    dock = Dock("pane", "Pane", QWidget, window)
    window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
    window.show()
    dock.wake()
    dock.setFloating(True)
    dock.resize(300, 200)
    qtbot.waitUntil(lambda: dock.isVisible() and dock.width() == 300)
    picture = dock.grab().toImage()
    line = theme.current().line.lower()
    edges = [(0, 100), (299, 100), (150, 0), (150, 199)]
    ratio = picture.devicePixelRatio()
    assert {picture.pixelColor(round(x * ratio), round(y * ratio)).name() for x, y in edges} == {line}
