"""The window: sidebar, chat and docks, put together from tables. It has no logic beyond where things stand.

Docks are made when first seen, after the first paint; each is a module of app/panes that knows nothing of the others.
"""

from __future__ import annotations

import importlib

from PySide6.QtCore import QByteArray, QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QResizeEvent, QShortcut, QShowEvent
from PySide6.QtWidgets import QApplication, QFileDialog, QMainWindow, QMenu, QSplitter, QWidget

from app import actions, frame_style, theme
from app.panes import chat, chats, status
from app.state import State
from app.widgets.dock import LEAST_WIDTH, Dock
from app.widgets.dropped import files_of

DOCKS = (  # module of app/panes, title, whether it is open at first
    ("sampling", "Sampling", True),
    ("models", "Models", True),
    ("probabilities", "Probabilities", True),
    ("attention", "Attention", True),
    ("playground", "Playground", False),
    ("compare", "Side by side", False),
    ("score", "Text", False),
    ("inside", "Inside", False),
)
DRAWER_BELOW = 1000  # pixels: the docks become one tabbed drawer
FOLD_BELOW = 760  # pixels: the sidebar folds, the drawer is as slim as a dock can be
DRAWER = 300  # pixels: how wide the drawer opens
CHAT_LEAST = 360  # pixels: what sidebar and drawer must leave to the chat
BARE_BELOW = 680  # pixels: the drawer is put away
COLUMN = ((1280, 380), (1920, 480))  # pixels: width of the window, width of the right column
PLAYGROUND = 0.47  # of the width of the window
WIDE = ("playground", "compare", "score")  # docks that take as much when they are opened
HEIGHTS = (45, 55)  # parts of the right column's height: how to sample, what came of it
SMALLEST, LARGEST, USUAL = 12, 24, 15  # text sizes
LAYOUT_VERSION = 1


class Window(QMainWindow):
    """painted: the window has been seen for the first time."""

    painted = Signal()

    def __init__(self, state: State) -> None:
        super().__init__()
        self.setObjectName("window")
        self.setWindowTitle("Vitrine")
        self.setWindowIcon(theme.icon("vitrine", 64))
        self.setDockOptions(
            QMainWindow.DockOption.AllowTabbedDocks
            | QMainWindow.DockOption.AllowNestedDocks
            | QMainWindow.DockOption.AnimatedDocks
        )
        self.setMinimumSize(480, 400)
        self.setAcceptDrops(True)
        self._state = state
        self._settings = state.settings
        self._steps_down = 0  # how many of the bounds above the window is below
        self._sized = False  # the docks have got their widths and heights, ours or the person's
        self._put_away: list[Dock] = []
        self._wide_state: QByteArray | None = None
        self.chat = chat.Pane(state)
        self.chat.installEventFilter(self)  # until it is painted
        self.chats = chats.Pane(state)
        self._split = QSplitter(Qt.Orientation.Horizontal, childrenCollapsible=False, handleWidth=1)
        self._split.addWidget(self.chats)
        self._split.addWidget(self.chat)
        self._split.setStretchFactor(1, 1)
        self.chats.setMinimumWidth(180)
        self.chats.setMaximumWidth(360)
        self.chat.setMinimumWidth(300)
        self.setCentralWidget(self._split)
        self._status = status.Pane(state)
        holder = self.statusBar()
        holder.setSizeGripEnabled(False)
        holder.addWidget(self._status, 1)
        self.docks = {name: self._make_dock(name, title) for name, title, _ in DOCKS}
        self.actions_by_name = actions.build(self, self._slots())
        actions.fill_menus(self.menuBar(), self.actions_by_name)
        self._add_dock_actions()
        self.chat.models_wanted.connect(self._show_models)
        self.chat.playground_wanted.connect(self._show_playground)
        self._settings.changed.connect(self._on_setting)
        theme.theme_changed.connect(self._on_theme)
        self._on_setting("theme")
        self._on_theme()
        self._restore()

    # --- docks --------------------------------------------------------------------------------------------------------

    def _make_dock(self, name: str, title: str) -> Dock:
        def make() -> QWidget:
            pane: QWidget = importlib.import_module(f"app.panes.{name}").Pane(self._state)
            return pane

        return Dock(name, title, make, self)

    def _place_docks(self) -> None:
        """The layout that "Reset layout" brings back."""
        for name, _, shown in DOCKS:
            dock = self.docks[name]
            dock.setFloating(False)
            self.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
            dock.setVisible(shown)
        self.tabifyDockWidget(self.docks["sampling"], self.docks["models"])
        self.tabifyDockWidget(self.docks["models"], self.docks["playground"])
        self.tabifyDockWidget(self.docks["playground"], self.docks["compare"])
        self.tabifyDockWidget(self.docks["compare"], self.docks["score"])
        self.tabifyDockWidget(self.docks["probabilities"], self.docks["attention"])
        self.tabifyDockWidget(self.docks["attention"], self.docks["inside"])
        self.docks["sampling"].raise_()
        self.docks["probabilities"].raise_()
        self._sized = False

    def _size_docks(self, width: int) -> None:
        self._sized = True
        (small, narrow), (large, wide) = COLUMN
        column = round(narrow + (width - small) * (wide - narrow) / (large - small))
        groups = [self.docks["sampling"], self.docks["probabilities"]]
        self.resizeDocks(groups[:1], [column], Qt.Orientation.Horizontal)
        self.resizeDocks(groups, list(HEIGHTS), Qt.Orientation.Vertical)

    def _add_dock_actions(self) -> None:
        view = self.menuBar().findChild(QWidget, "menuView")
        first = self.actions_by_name["larger"]
        for number, dock in enumerate(self.docks.values(), start=1):
            dock.action.setShortcut(f"Ctrl+{number}")
            dock.action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)  # shown in the menu; the key is below
            QShortcut(dock.action.shortcut(), self, dock.call)
            dock.left.connect(self._write)
            if isinstance(view, QMenu):
                view.insertAction(first, dock.action)
        for name in WIDE:
            self.docks[name].shown.connect(lambda name=name: self._widen(name))
        if isinstance(view, QMenu):
            view.insertSeparator(first)

    def reset_layout(self) -> None:
        self._steps_down = 0
        self._put_away = []
        self._wide_state = None
        self._place_docks()
        self._split.setSizes([self._settings.value("sidebar_width"), self.width()])
        self.chats.show()
        self._fit(self.width())

    def _show_models(self) -> None:
        self.docks["models"].bring()

    def _show_playground(self) -> None:
        self.docks["playground"].bring()
        self._widen("playground")

    def _widen(self, name: str) -> None:
        """As wide as texts need to stand side by side, and higher than what stands beneath."""
        dock = self.docks[name]
        dock.raise_()
        if not self._steps_down and not dock.isFloating():
            self.resizeDocks([dock], [max(dock.width(), round(self.width() * PLAYGROUND))], Qt.Orientation.Horizontal)
            self.resizeDocks([dock, self.docks["probabilities"]], list(reversed(HEIGHTS)), Qt.Orientation.Vertical)

    def _fit(self, width: int) -> None:
        """One tabbed drawer in a narrow window, the person's own layout in a wide one; a sidebar where it has room."""
        before = self._steps_down
        self._steps_down = sum(width < bound for bound in (DRAWER_BELOW, FOLD_BELOW, BARE_BELOW))
        if self._steps_down and not before:
            self._wide_state = self.saveState(LAYOUT_VERSION)
            self._make_drawer()
        elif before and not self._steps_down:
            self._put_away = []
            self.restoreState(self._wide_state or QByteArray(), LAYOUT_VERSION)
        if bool(self._steps_down) != bool(before):
            self.setProperty("drawer", bool(self._steps_down))
            self.setStyleSheet(frame_style.sheet())  # all docks' tabs now share one slim bar, or do no longer
        if self._steps_down != before:
            self._fit_drawer(width)
        if not self._steps_down and not self._sized:
            self._size_docks(width)
        self._fold_sidebar(width)

    def _make_drawer(self) -> None:
        docked = [dock for dock in self.docks.values() if not dock.isFloating()]
        shown = [dock for dock in docked if not dock.isHidden()]
        seen = [dock for dock in shown if not dock.visibleRegion().isEmpty()]
        used = [dock for dock in seen if dock.isAncestorOf(self.focusWidget() or self)]
        for dock in docked[1:]:
            self.tabifyDockWidget(docked[0], dock)
        for dock in docked:
            dock.setVisible(dock in shown)
        for dock in (*used, *seen, *shown)[:1]:
            dock.raise_()

    def _fit_drawer(self, width: int) -> None:
        """Away where it would leave the chat too little room; back, with what it held, where there is enough."""
        docked = [dock for dock in self.docks.values() if not dock.isFloating() and not dock.isHidden()]
        if width < BARE_BELOW:
            self._put_away = docked
            for dock in docked:
                dock.hide()
            return
        for dock in self._put_away:
            dock.show()
        shown, self._put_away = docked or self._put_away, []
        if shown and self._steps_down:
            wide = DRAWER if width >= FOLD_BELOW else LEAST_WIDTH
            self.resizeDocks(shown[:1], [wide], Qt.Orientation.Horizontal)

    def _fold_sidebar(self, width: int) -> None:
        """The sidebar stays while it leaves the chat room to be read."""
        docked = [dock.width() for dock in self.docks.values() if dock.isVisible() and not dock.isFloating()]
        room = width - self.chats.sizeHint().width() - min(max(docked, default=0), DRAWER)
        fits = width >= FOLD_BELOW and room >= CHAT_LEAST
        self.chats.setVisible(fits and bool(self._settings.value("sidebar_shown")))
        self.actions_by_name["sidebar"].setChecked(not self.chats.isHidden())

    # --- actions ------------------------------------------------------------------------------------------------------

    def _slots(self) -> dict[str, actions.Slot]:
        talk = self._state.conversation
        return {
            "new_chat": self._new_chat,
            "search": self._search,
            "rename": self.chats.rename,
            "delete_chat": self.chats.delete,
            "mode": lambda: talk.set_mode("chat" if talk.chat.mode == "complete" else "complete"),
            "open_model": self._open_model,
            "quit": self.close,
            "stop": self._stop,
            "retry": lambda: self.chat.ask("retry", self.chat.last()),
            "several": lambda: self.chat.ask("several", self.chat.last()),
            "continue": lambda: self.chat.ask("continue", self._last_answer()),
            "tokens": lambda: self.chat.ask("tokens", self._last_answer()),
            "copy_answer": lambda: self.chat.ask("copy", self._last_answer()),
            "copy_code": self.chat.copy_last_code,
            "focus_composer": self._write,
            "sidebar": self._toggle_sidebar,
            "larger": lambda: self._resize_text(1),
            "smaller": lambda: self._resize_text(-1),
            "usual_size": lambda: self._settings.set("text_size", USUAL),
            "theme_system": lambda: self._settings.set("theme", "system"),
            "theme_light": lambda: self._settings.set("theme", "light"),
            "theme_dark": lambda: self._settings.set("theme", "dark"),
            "reset_layout": self.reset_layout,
            "shortcuts": self._show_shortcuts,
        }

    def _last_answer(self) -> str:
        return self.chat.last("assistant") or self.chat.last("text")

    def _new_chat(self) -> None:
        self._state.conversation.new_chat()
        self._write()

    def _write(self) -> None:
        """The keyboard goes to the composer, from a dock that was torn off too."""
        self.activateWindow()
        self.chat.focus_composer()

    def _stop(self) -> None:
        self.chat.stop()
        self._state.playground.stop()

    def _search(self) -> None:
        if not self.chats.isVisible():
            self._toggle_sidebar()
        self.chats.search.setFocus()
        self.chats.search.selectAll()

    def _open_model(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Choose the folder that holds the model's files")
        if folder:
            self._state.models.add_folder(folder)
            self._state.models.load(folder)

    def _toggle_sidebar(self) -> None:
        self.chats.setVisible(self.chats.isHidden())
        if self.width() >= FOLD_BELOW:
            self._settings.set("sidebar_shown", not self.chats.isHidden())
        self.actions_by_name["sidebar"].setChecked(not self.chats.isHidden())

    def _resize_text(self, step: int) -> None:
        size = self._settings.value("text_size") + step
        self._settings.set("text_size", min(max(size, SMALLEST), LARGEST))

    def _show_shortcuts(self) -> None:
        sheet = actions.ShortcutSheet(self)
        sheet.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        sheet.open()

    def _on_setting(self, name: str) -> None:
        if name == "theme":
            chosen = self._settings.value("theme")
            app = QApplication.instance()
            assert isinstance(app, QApplication)
            theme.follow(app, chosen)
            for choice in ("system", "light", "dark"):
                self.actions_by_name[f"theme_{choice}"].setChecked(choice == chosen)

    def _on_theme(self, *_: object) -> None:
        self.setStyleSheet(frame_style.sheet())

    # --- Qt -----------------------------------------------------------------------------------------------------------

    def _restore(self) -> None:
        self._place_docks()
        geometry, state = self._settings.value("window_geometry"), self._settings.value("window_state")
        if not (geometry and self.restoreGeometry(geometry)):
            self.resize(1280, 800)
        if state:
            self._sized = self.restoreState(state, LAYOUT_VERSION)
        self._split.setSizes([self._settings.value("sidebar_width"), self.width()])
        self.chats.setVisible(bool(self._settings.value("sidebar_shown")))
        self.actions_by_name["sidebar"].setChecked(not self.chats.isHidden())
        self.chat.focus_composer()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.chat and event.type() == QEvent.Type.Paint:
            self.chat.removeEventFilter(self)
            QTimer.singleShot(0, self, self._on_painted)
        return super().eventFilter(watched, event)

    def _on_painted(self) -> None:
        self.painted.emit()
        for dock in self.docks.values():
            dock.wake()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """A model may be dropped anywhere."""
        if files_of(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        self._show_models()
        self._state.models.open(files_of(event.mimeData()))
        event.acceptProposedAction()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._fold_sidebar(self.width())  # only now do the docks say how wide they are

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit(event.size().width())

    def closeEvent(self, event: QCloseEvent) -> None:
        self._settings.set("window_geometry", self.saveGeometry())
        wide = self._wide_state if self._steps_down else self.saveState(LAYOUT_VERSION)
        if self._sized and wide is not None:
            self._settings.set("window_state", wide)
        if self.chats.isVisible():
            self._settings.set("sidebar_width", self.chats.width())
        super().closeEvent(event)
