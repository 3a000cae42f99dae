"""A dock whose content is made when it is first seen, under a quiet title bar of its own.

Qt's action for a dock closes one that lies behind another's tab, which nobody sees; `action` brings it to the front.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QPoint, QSize, Qt, Signal
from PySide6.QtGui import QAction, QCloseEvent, QColor, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QApplication, QDockWidget, QFrame, QHBoxLayout, QLabel, QTabBar, QTabWidget, QWidget

from app import theme
from app.widgets.named import named, quiet_button

LEAST_WIDTH = 280  # pixels
TORN_OFF = QPoint(-48, 32)


class Dock(QDockWidget):
    """make: builds the content; called once, after the dock is first visible and wake() was called.

    action: checked while the dock is open. shown: it was brought to the front. left: it was closed from within.
    """

    shown = Signal()
    left = Signal()

    def __init__(self, name: str, title: str, make: Callable[[], QWidget], parent: QWidget) -> None:
        super().__init__(title, parent)
        self.setObjectName(f"dock-{name}")
        self._make: Callable[[], QWidget] | None = make
        self._awake = False
        self._bar = TitleBar(title, self)
        self.setTitleBarWidget(self._bar)
        self._holder = _Holder()
        self.setWidget(self._holder)
        self.setMinimumWidth(LEAST_WIDTH)
        self.visibilityChanged.connect(self._on_visible)
        self.action = QAction(title, self, checkable=True)
        self.action.triggered.connect(self._toggle)
        self.toggleViewAction().toggled.connect(self.action.setChecked)

    def wake(self) -> None:
        """Contents may be built from now on: the window has been painted."""
        self._awake = True
        self._on_visible(not self.visibleRegion().isEmpty())  # a dock behind another's tab counts as visible

    @property
    def pane(self) -> QWidget | None:
        """The content, once it is there."""
        return self._holder.pane

    def build(self) -> QWidget:
        """The content, now."""
        if self._make is not None:
            make, self._make = self._make, None
            self._holder.hold(make())
        assert self._holder.pane is not None
        return self._holder.pane

    def paintEvent(self, event: QPaintEvent) -> None:
        """A line around what was torn off: it has no frame of the system's and may lie on a page of its own colour."""
        super().paintEvent(event)
        if self.isFloating():
            painter = QPainter(self)
            painter.setPen(QColor(theme.current().line))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    def bring(self) -> None:
        """To the front, with the focus where Tab would go in it."""
        self.show()
        self.raise_()
        if self.isFloating():
            self.activateWindow()
        pane = self.build()
        (pane if pane.focusProxy() is not None else _first_of(pane)).setFocus(Qt.FocusReason.ShortcutFocusReason)

    def call(self) -> None:
        """What its key does: to the front with the focus, or away where it has the focus already."""
        self._close_or_bring(self.isAncestorOf(QApplication.focusWidget() or self))

    def _toggle(self) -> None:
        """What its line in the menu does: away if it is seen, else to the front."""
        self._close_or_bring(True)

    def _close_or_bring(self, closes: bool) -> None:
        if closes and self.isVisible() and not self.visibleRegion().isEmpty():
            self.close()
        else:
            self.bring()
            self.shown.emit()
        self.action.setChecked(not self.isHidden())

    def closeEvent(self, event: QCloseEvent) -> None:
        super().closeEvent(event)
        if self.isAncestorOf(QApplication.focusWidget() or self):
            self.left.emit()

    def _on_visible(self, visible: bool) -> None:
        if visible and self._awake:
            self.build()


def _first_of(pane: QWidget) -> QWidget:
    """The first control of the page in view that takes the focus from the keyboard; itself where there is none."""
    each = pane.nextInFocusChain()
    while each is not None and each is not pane:
        takes = bool(each.focusPolicy() & Qt.FocusPolicy.TabFocus) and not isinstance(each, QTabBar | QTabWidget)
        if takes and each.isEnabled() and each.isVisible() and pane.isAncestorOf(each):
            return each
        each = each.nextInFocusChain()
    return pane


class _Holder(QFrame):
    """Stands between a pane and its dock, and hands on only what changes the room that the pane needs.

    Without it every new number in a pane has the window lay out all its docks and draw what stands between them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("paneHolder")
        self.pane: QWidget | None = None
        self._least = QSize()

    def hold(self, pane: QWidget) -> None:
        self.pane = pane
        pane.setParent(self)
        pane.setGeometry(self.rect())
        pane.show()
        self._measure()

    def _measure(self) -> None:
        least = self.minimumSizeHint()
        if least != self._least:
            self._least = least
            self.updateGeometry()

    def minimumSizeHint(self) -> QSize:
        if self.pane is None:
            return QSize()
        return self.pane.minimumSizeHint().expandedTo(self.pane.minimumSize())

    def sizeHint(self) -> QSize:
        return self.pane.sizeHint() if self.pane is not None else QSize()

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.LayoutRequest:
            self._measure()
        return super().event(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        if self.pane is not None:
            self.pane.resize(event.size())


class TitleBar(QFrame):
    """Title, tear off, close. What it does not use itself goes to the dock, so it drags like any title bar."""

    def __init__(self, title: str, dock: Dock) -> None:
        super().__init__(dock)
        self.setObjectName("dockTitle")
        self._dock = dock
        self.setFixedHeight(34)
        label = named(QLabel(title), "dockTitleText")
        label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 0, 4, 0)
        row.setSpacing(2)
        row.addWidget(label, 1)
        self._buttons = []
        for icon, words, slot in (
            ("panel-right", f"Tear off {title}", self._float),
            ("x", f"Close {title}", dock.close),
        ):
            button = quiet_button(f"dock-{icon}", words)
            button.setProperty("icon_name", icon)
            button.clicked.connect(slot)
            self._buttons.append(button)
            row.addWidget(button)
        theme.theme_changed.connect(self._show_icons)
        self._show_icons()

    def _float(self) -> None:
        self._dock.setFloating(not self._dock.isFloating())
        if self._dock.isFloating():  # Qt leaves it exactly where it was docked, as if nothing had happened
            self._dock.move(self._dock.pos() + TORN_OFF)
        self._dock.bring()  # else the focus goes to whatever comes next

    def _show_icons(self, *_: object) -> None:
        for button in self._buttons:
            button.setIcon(theme.icon(str(button.property("icon_name")), 16, "muted"))
