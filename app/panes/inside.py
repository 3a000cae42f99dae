"""The Inside pane: what the model would say after each layer, how it tells positions apart, and a second beside it.

The layers are asked by reading the text again: at once where that takes a moment, else when asked, with what it costs.
"""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QLabel, QStackedWidget, QTabWidget, QVBoxLayout, QWidget

from app.state import State
from app.widgets.beside_page import BesidePage, SideShown
from app.widgets.lens_page import LensPage
from app.widgets.named import named
from app.widgets.position_page import PositionPage

NAME, TITLE, ICON = "inside", "Inside", "layers"
REPAINT = 100  # milliseconds between two drawings while the focus moves
CHEAP = 1.5  # seconds that are spent without asking
EMPTY = "What the model would say after each layer appears here. Send a message, or choose a token."
NO_MODEL = "Load a model to see its positions and masks."
NO_SECOND = "Choose a second model to compare with."
NOT_READ = "Press Read to see how this model reads the text."
LIVE = "The layers can be asked when the answer is written."


class Pane(QWidget):
    """A view of state.inside, and of state.beside and state.second."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.setObjectName("pane")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._inside, self._captures, self._workspace = state.inside, state.captures, state.workspace
        self._beside, self._second, self._adapters = state.beside, state.second, state.adapters
        self._tried: tuple[str, int] | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REPAINT)
        self._timer.timeout.connect(self.refresh)
        self.lens, self.positions, self.two = LensPage(), PositionPage(), BesidePage()
        self._empty = QLabel(EMPTY)
        self._empty.setWordWrap(True)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setProperty("role", "caption")
        self._empty.setContentsMargins(24, 24, 24, 24)
        self._layers = QStackedWidget()
        self._layers.addWidget(self._empty)
        self._layers.addWidget(self.lens)
        self.tabs = named(QTabWidget(), "insideTabs", "Inside the model")
        self.tabs.setDocumentMode(True)
        self.tabs.setAccessibleDescription("Left and Right choose a page.")
        self.tabs.tabBar().setAccessibleName("Inside the model")
        self.tabs.addTab(self._layers, "Layers")
        self.tabs.addTab(self.positions, "Positions")
        self.tabs.addTab(self.two, "Two models")
        self.tabs.currentChanged.connect(self.refresh)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.tabs)
        self.lens.reader.asked.connect(self._inside.look)
        self.lens.reader.cancelled.connect(self._inside.cancel)
        self.lens.chosen.connect(self._on_column)
        self.positions.length_chosen.connect(self._inside.ask_for_maps)
        self.two.asked.connect(self._on_read)
        self.two.stopped.connect(self._beside.stop)
        self.two.layer_chosen.connect(self._beside.show_layer)
        self.two.seconds.chosen.connect(self._compare_with)
        self.two.seconds.strengthened.connect(lambda strength: self._beside.choose(self._beside.adapter, strength))
        self._second.loading_changed.connect(self.two.seconds.show_progress)
        self._second.failed.connect(self.two.notice.fail)
        for signal in (
            self._captures.focus_changed, self._captures.records_changed, self._captures.attention_changed,
            self._workspace.model_changed, self._inside.lens_changed, self._inside.maps_changed,
            self._beside.changed, self._second.offers_changed,
        ):  # fmt: skip
            signal.connect(self._later)
        self.refresh()

    def refresh(self, *_: object) -> None:
        """Draw the page that is seen."""
        self._timer.stop()
        (self._show_layers, self._show_positions, self._show_two)[self.tabs.currentIndex()]()

    def _show_layers(self) -> None:
        inside, focused = self._inside, self._captures.focused
        self._layers.setCurrentIndex(0 if focused is None or self._captures.info is None else 1)
        if focused is None or self._captures.info is None:
            return
        rows = inside.rows
        names: list[str] = []
        if rows is not None:
            reads = self._captures.record is None
            ids = rows.ids[rows.first :] if reads else (*rows.ids[rows.first + 1 :], *self._next(rows.ids))
            names = self._captures.names(ids, "source" if reads else "target")
        self.lens.show_rows(rows, names, inside.place)
        if rows is None and inside.progress is None and not self._captures.live and not self._captures.foreign:
            self._look_if_cheap()
        askable = not self._captures.live and not self._captures.foreign
        self.lens.reader.show_reading(inside.progress, self._words(), askable)

    def _next(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        """The token that the last row wrote, which was not read."""
        assert self._captures.focused is not None
        records = self._captures.records(self._captures.focused[0])
        return tuple(record.id for record in records if record.position == len(ids))[-1:]

    def _words(self) -> str:
        inside = self._inside
        if inside.rows is not None:
            return ""
        if self._captures.live:
            return LIVE
        if self._captures.foreign or inside.error:
            return self._captures.foreign or inside.error
        tokens, layers, count, seconds = inside.cost()
        info = self._captures.info
        time = f", about {max(1, round(seconds)):,} s" if info is not None and info.device == "CPU" else ""
        return f"Not looked at. To look reads {tokens:,} tokens and asks {layers} layers about {count} of them{time}."

    def _look_if_cheap(self) -> None:
        """Once for each token, where it takes a moment."""
        focused = self._captures.focused
        *_, count, seconds = self._inside.cost()
        if self.isVisible() and focused not in (None, self._tried) and count and seconds <= CHEAP:
            self._tried = focused
            self._inside.look()

    def _show_positions(self) -> None:
        inside = self._inside
        maps = inside.maps
        if maps is None and self._workspace.info is not None and not inside.maps_error and self.isVisible():
            inside.ask_for_maps(self.positions.wanted)
        self.positions.show_maps(maps, inside.maps_error or ("" if self._workspace.info else NO_MODEL))

    def _show_two(self) -> None:
        if self.isVisible():
            self._beside.go_on()
        adapter = self._beside.adapter
        offers = [*self._second.offers, *self._adapters.choices]
        self.two.seconds.show_models(offers, adapter or self._second.chosen)
        self.two.seconds.show_strength(self._beside.strength if adapter else None)
        self.two.show_sides([self._side(second) for second in (False, True)])
        self.two.set_busy(self._beside.running)

    def _side(self, second: bool) -> SideShown:
        """What one of the two models found of the text that both read."""
        beside, info, reading = self._beside, self._beside.info(second), self._beside.reading(second)
        if info is None:
            words = NO_SECOND if second else NO_MODEL
        elif reading.progress is not None:
            words = f"{reading.progress.phase}."
        else:
            words = reading.error or beside.error or NOT_READ
        layers, heads = beside.shape(second)
        name, maps = beside.name(second), reading.maps.maps if reading.maps else ()
        weights = beside.rows(second, min(max(self.two.layer.currentIndex(), 0), max(layers - 1, 0)))
        return SideShown(name, layers, heads, beside.part(second).side, beside.tokens(second), weights, maps, words)

    # --- what the person does -----------------------------------------------------------------------------------------

    def _on_read(self) -> None:
        self.two.notice.hide()
        self._beside.read(self.two.field.toPlainText())

    def _compare_with(self, path: str) -> None:
        """An adapter takes no loading; a second model that is loaded stays, for whoever else looks at it."""
        adapter = path in [each for _, each, _ in self._adapters.choices]
        self._beside.choose(path if adapter else "")
        if not adapter and path != self._second.chosen:
            self._second.load(path)

    def _on_column(self, column: int) -> None:
        """Look at the token of this column, where it is one of the answer, or of a text that is read."""
        rows, focused = self._inside.rows, self._captures.focused
        if rows is None or focused is None:
            return
        position = rows.first + column
        if self._captures.record is None:
            self._captures.focus_source(position)
            return
        for index, record in enumerate(self._captures.records(focused[0])):
            if record.position == position + 1:
                self._captures.focus(focused[0], index)

    def _later(self, *_: object) -> None:
        if self.isVisible() and not self._timer.isActive():
            self._timer.start()

    # --- Qt -----------------------------------------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.refresh()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._inside.cancel()
