"""The Attention pane: where the model looked while it wrote the token in focus, in every head and in one head large.

A token was written by the row before it: that is the row in focus. Of a source, which is read at once, it is the row of
a token itself. What a stored answer looked at is captured by reading it again, at once where that is cheap, else when
asked.
"""

from __future__ import annotations

import time

import numpy as np
from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QGuiApplication, QHideEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.state import State
from app.state.attention import DECODER, MEAN, Part, Weights
from app.state.saving import Saver
from app.widgets.head_grid import HeadGrid
from app.widgets.heads_and_map import HeadsAndMap
from app.widgets.heatmap import Heatmap
from app.widgets.map_files import ask_where, writer
from app.widgets.map_notes import MapNotes
from app.widgets.named import named, quiet_button, toggle_button
from app.widgets.pieces import piece_of, visible, worded
from app.widgets.reader_line import ReaderLine
from app.widgets.slider import PlainSlider
from app.widgets.still import Still
from app.widgets.text_table import TextTable
from app.widgets.token_flow import FlowArea, TokenFlow

NAME, TITLE, ICON = "attention", "Attention", "grid-3x3"
REPAINT = 66  # milliseconds between two drawings while an answer streams; longer where one takes long
CHEAP = 2e10  # parameters x tokens that are read again without asking: about a second on two cores
EMPTY = "Where the model looks appears here while it writes. Send a message to see it."
NO_TEXT = "Where the model looks appears here. Fill a mask or classify a text in the Playground to see it."
HEAD = ("position", "token", "weight")
FURTHER = "Not kept: the rows of this text take more than 64 MB. To see this token's, it is read again up to there."
HEAD_WIDTH = 460  # pixels: from here on the buttons stand in the line of the head
ROLLOUT = "How much of each token has come into this one through all layers: attention rollout (Abnar and Zuidema 2020)"


class Pane(QWidget):
    """A view of state.captures' attention."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.setObjectName("pane")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._captures = state.captures
        self._workspace = state.workspace
        self._tried: tuple[str, int] | None = None
        self._part = DECODER
        self._saver = Saver(self)
        self._saver.saved.connect(lambda path: self._on_saved(f"Saved as {path}."))
        self._saver.failed.connect(self._on_saved)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REPAINT)
        self._timer.timeout.connect(self.refresh)
        # While an answer streams the small maps have a frame of their own, between two of the large one.
        self._heads = QTimer(self, singleShot=True, interval=REPAINT // 2)
        self._heads.timeout.connect(self._show_heads)
        self.reader = ReaderLine("Read again", "Run the model over this text once more to capture its attention")
        self.reader.asked.connect(self._captures.reread)
        self.reader.cancelled.connect(self._captures.rereading.cancel)
        full = QWidget()
        column = QVBoxLayout(full)
        column.setContentsMargins(12, 8, 12, 8)
        column.setSpacing(6)
        column.addLayout(self._make_head())
        column.addWidget(self._make_body(), 1)
        column.addWidget(self.reader)
        column.addLayout(self._make_scrub())
        self._empty = QLabel(EMPTY)
        self._empty.setWordWrap(True)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setProperty("role", "caption")
        self._empty.setContentsMargins(24, 24, 24, 24)
        self._pages = QStackedWidget()
        self._pages.addWidget(self._empty)
        self._pages.addWidget(full)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._pages)
        for signal in (
            self._captures.focus_changed, self._captures.records_changed, self._captures.attention_changed,
            self._captures.rereading.changed, self._workspace.model_changed,
        ):  # fmt: skip
            signal.connect(self._later)
        theme.theme_changed.connect(self._tint)
        self._tint()
        self.refresh()

    # --- parts --------------------------------------------------------------------------------------------------------

    def _make_head(self) -> QGridLayout:
        self.title = named(QLabel(), "headTitle")
        self.title.setProperty("role", "name")
        self.title.setMinimumWidth(1)  # the pane may be as narrow as its buttons
        self.parts = named(QComboBox(), "attentionPart", "Which attention")
        self.parts.currentIndexChanged.connect(self._on_part)
        self.mean = toggle_button("attentionMean", "Mean")
        self.mean.setToolTip("The mean over all heads of this layer")
        self.mean.toggled.connect(self.refresh)
        self.as_table = toggle_button("attentionTable", "Table")
        self.as_table.setToolTip("The row in focus as a table")
        self.as_table.toggled.connect(self._on_table)
        self.as_text = toggle_button("attentionText", "Text")
        self.as_text.setToolTip("The text tinted by where the token in focus looks")
        self.as_text.toggled.connect(self._on_text)
        self.rolled = toggle_button("attentionRollout", "Rollout")
        self.rolled.setToolTip(ROLLOUT)
        self.rolled.toggled.connect(self.refresh)
        self.rolled.hide()
        self.copy = quiet_button("attentionCopy", "Copy the row in focus")
        self.copy.clicked.connect(self._on_copy)
        self.save = quiet_button("attentionSave", "Save the map as a picture or as CSV")
        self.save.clicked.connect(self._on_save)
        self._head_line = QGridLayout()
        self._head_line.setHorizontalSpacing(2)
        self._head_line.setVerticalSpacing(6)
        self._head_line.setColumnStretch(0, 1)
        self._buttons = QWidget()
        line = QHBoxLayout(self._buttons)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(2)
        line.addStretch(1)
        for widget in (self.mean, self.as_text, self.as_table, self.copy, self.save):
            line.addWidget(widget)
        self._head_line.addWidget(self.title, 0, 0)
        self._head_line.addWidget(self.parts, 0, 1)
        self._head_line.addWidget(self.rolled, 0, 2)
        self._head_line.addWidget(self._buttons, 0, 3)
        self._wide = True  # all in one line
        return self._head_line

    def _make_body(self) -> HeadsAndMap:
        self.grid = HeadGrid()
        self.grid.chosen.connect(self._on_head)
        self.map = Heatmap()
        self.map.row_chosen.connect(self._on_row)
        self.map.pointed.connect(self._show_readout)
        self.table = TextTable("attentionRows", "Attention of the row in focus as a table", (1,))
        self.views = QStackedWidget()
        self.flow = TokenFlow()
        self.flow.chosen.connect(self._on_token)
        self.flow.pointed.connect(self._show_readout)
        for view in (self.map, self.table, FlowArea(self.flow)):
            self.views.addWidget(view)
        self.views.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)  # what is left is its
        self._notes = MapNotes()
        self._notes.zoomed.connect(self.map.zoom)
        self.readout = self._notes.readout
        self._body = HeadsAndMap(self.grid, self.views, self._notes)
        return self._body

    def _make_scrub(self) -> QHBoxLayout:
        self.scrub = named(PlainSlider(), "attentionScrub", "Token of the answer")
        self.scrub.valueChanged.connect(self._on_scrub)
        self._place = QLabel()
        self._place.setProperty("role", "caption")
        self._place.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        line = QHBoxLayout()
        line.addWidget(self.scrub, 1)
        line.addWidget(Still(self._place, "token 1,024 of 1,024"))
        return line

    # --- drawing ------------------------------------------------------------------------------------------------------

    @property
    def _head(self) -> int:
        return MEAN if self.mean.isChecked() else self.grid.choice[1]

    @property
    def _row(self) -> int:
        """The row in focus; -1 for none."""
        return self._captures.row_of(self._part)

    @property
    def _rolls(self) -> bool:
        return self.as_text.isChecked() and self.rolled.isChecked() and self._part.looks == self._part.seen

    def _weights(self) -> Weights | None:
        """The row in focus of the head that is shown large, or its rollout."""
        if self._rolls:
            return self._captures.rollout(self._part, self._row)
        return self._captures.row(self._part, self.grid.choice[0], self._head, self._row)

    def refresh(self, *_: object) -> None:
        """Draw everything now."""
        self._timer.stop()
        begun = time.perf_counter()
        info, record, focused = self._captures.info, self._captures.record, self._captures.focused
        reads = info is not None and info.kind == "encoder"
        shown = focused is not None and (record is None) == reads
        self._empty.setText(NO_TEXT if reads else EMPTY)
        self._pages.setCurrentIndex(1 if info is not None and shown else 0)
        if info is None or not shown:
            return
        self._show_parts(self._captures.parts)
        self.grid.set_shape(*self._captures.shape(self._part))
        if not self._captures.live:
            self._show_heads()
        elif not self._heads.isActive():
            self._heads.start()
        layer, head = self.grid.choice
        one = f"Layer {layer} · mean" if self.mean.isChecked() else f"Layer {layer} · head {head}"
        self.title.setText("All layers" if self._rolls else one)
        self.mean.setEnabled(not self._rolls)
        tokens = self._captures.tokens(self._part.looks)
        if self._part.looks == "target":
            tokens = tokens[:-1]  # the newest was not read yet: it has no row and nothing looks at it
        values, first = self._captures.map(self._part, layer, self._head)
        seen = None if self._part.causal else self._captures.tokens(self._part.seen)
        self.map.set_map(values, first, tokens, self._row if tokens else -1, seen)
        if self.as_text.isChecked():
            self._show_text(tokens, values, first)
        self._notes.show_zoom(self.views.currentIndex() == 0)
        self._lay_head(self.width() >= HEAD_WIDTH)
        self._body.arrange(self.views.currentIndex() == 0)
        self._show_scrub()
        self._show_readout()
        self._show_reader()
        if self.as_table.isChecked():
            self.table.show_rows(HEAD, self._row_lines())
        self._timer.setInterval(max(REPAINT, round((time.perf_counter() - begun) * 10_000)))

    def _show_heads(self) -> None:
        thumbnails = self._captures.thumbnails(self._part)
        self.grid.set_maps(None if thumbnails is None else thumbnails.cells)

    def _show_text(self, tokens: list[str], values: Weights, first: int) -> None:
        """The text under the row in focus; two texts with lines between them where one looks into the other."""
        row = self._weights()
        if self._part.looks == self._part.seen:
            self.flow.set_text(tokens, row, self._row)
            if self._captures.rolling:
                self._later()
            return

        def column(index: int) -> Weights:
            """Who looks at this token; NaN where that was not captured."""
            known = np.full(len(tokens), np.nan, np.float32)
            if index < values.shape[1]:
                known[first : first + len(values)] = values[:, index]
            return known

        self.flow.set_text(self._captures.tokens(self._part.seen), row, self._row, tokens, column)

    def _show_parts(self, parts: tuple[Part, ...]) -> None:
        """Offer the kinds of attention that the model has, if there is a choice."""
        if [self.parts.itemData(index) for index in range(self.parts.count())] != list(parts):
            self.parts.blockSignals(True)
            self.parts.clear()
            for index, part in enumerate(parts):
                self.parts.addItem(part.title, part)
                self.parts.setItemData(index, part.hint, Qt.ItemDataRole.ToolTipRole)
            self.parts.blockSignals(False)
            self._part = parts[0]
        self.parts.setToolTip(self._part.hint)
        self.parts.setVisible(len(parts) > 1)

    def _show_scrub(self) -> None:
        focused = self._captures.focused
        assert focused is not None
        source = self._part.looks == "source"
        count = len(self._captures.source_ids if source else self._captures.records(focused[0]))
        place = self._captures.source_row if source else focused[1]
        self.scrub.blockSignals(True)
        self.scrub.setRange(0, max(0, count - 1))
        self.scrub.setValue(place)
        self.scrub.blockSignals(False)
        self.scrub.setAccessibleName("Token of the source" if source else "Token of the answer")
        self.scrub.update()
        self._place.setText(f"token {place + 1} of {count}" if count else "")

    def _show_readout(self) -> None:
        seen = self.flow if self.as_text.isChecked() else self.map
        self.readout.setText(seen.readout() or self._most())

    def _most(self) -> str:
        """Where the row in focus looked most, in words."""
        record, row, tokens = self._captures.record, self._weights(), self._captures.tokens(self._part.seen)
        if row is None or len(row) > len(tokens):
            return ""
        if self._part.looks == "source":
            begun = f"{worded(tokens[self._row], 16)} looks at"
        elif record is not None:
            place = "" if self._part.causal else " in the source"
            begun = f"While writing {worded(piece_of(record), 16)} it looked{place} at"
        best = np.argsort(row)[::-1]
        if self._body.below:
            return f"{begun} " + " · ".join(f"{worded(tokens[i], 12)} {row[i]:.2f}" for i in best[:4])
        lines = max(1, min(8, self._body.notes_height // 18 - 3))
        return "\n".join([begun, *(f"{row[i]:.2f}  {worded(tokens[i], 20)}" for i in best[:lines])])

    def _show_reader(self) -> None:
        rereading, captures = self._captures.rereading, self._captures
        missing = self._weights() is None and not captures.rolling
        if missing and not captures.live and not captures.foreign and not rereading.running:
            self._read_if_cheap()
        words = ""
        if missing and not captures.live:
            words = captures.foreign or rereading.error or (FURTHER if captures.beyond else "Not captured.")
            if self._rolls and not captures.rollable(self._part):
                words = "Rollout needs all rows of all layers: this text is too long for them to be kept."
        self.reader.show_reading(rereading.progress, words, bool(words) and not captures.foreign)

    def _read_if_cheap(self) -> None:
        """Capture a stored answer's attention without being asked, once, where it takes a moment."""
        info, focused = self._captures.info, self._captures.focused
        if info is None or focused is None or not self.isVisible():
            return
        beyond = self._captures.beyond
        this = (focused[0], focused[1] if beyond else len(self._captures.records(focused[0])))
        tokens = len(self._captures.source_ids) + max(0, self._captures.row_of(DECODER) + 1)
        if this != self._tried and info.parameters * tokens <= CHEAP:
            self._tried = this
            self._captures.reread()

    def _row_lines(self) -> list[tuple[str, str, str]]:
        row, tokens = self._weights(), self._captures.tokens(self._part.seen)
        if row is None:
            return []
        return [(str(i), visible(token), f"{weight:.4f}") for i, (token, weight) in enumerate(zip(tokens, row))]

    def _lay_head(self, wide: bool) -> None:
        """All in one line, or the buttons in a line of their own."""
        self.rolled.setVisible(self.as_text.isChecked() and self._part.looks == self._part.seen)
        if wide != self._wide:
            self._wide = wide
            self._head_line.addWidget(self._buttons, *((0, 3) if wide else (1, 0, 1, 3)))

    def _later(self, *_: object) -> None:
        if self.isVisible() and not self._timer.isActive():
            self._timer.start()

    # --- what the person does -----------------------------------------------------------------------------------------

    def _on_head(self, layer: int, head: int) -> None:
        self._captures.set_layer(layer)
        self.mean.setChecked(False)
        self._tried = None
        self.refresh()

    def _on_part(self, index: int) -> None:
        self._part = self.parts.itemData(index)
        self._tried = None
        self.refresh()

    def _on_row(self, position: int) -> None:
        """A row was clicked: look at the token that it wrote, or at the one that it is."""
        if self._part.looks == "source":
            self._captures.focus_source(position)
        elif self._captures.focused is not None:
            message = self._captures.focused[0]
            for index, record in enumerate(self._captures.records(message)):
                if record.position == position + 1:
                    self._captures.focus(message, index)

    def _on_scrub(self, index: int) -> None:
        if self._part.looks == "source":
            self._captures.focus_source(index)
        elif self._captures.focused is not None:
            self._captures.focus(self._captures.focused[0], index)

    def _on_table(self, on: bool) -> None:
        self._show_view(self.as_text, on, 1)

    def _on_text(self, on: bool) -> None:
        self._show_view(self.as_table, on, 2)

    def _show_view(self, other: QPushButton, on: bool, view: int) -> None:
        """One of the three; the button of the other one comes up."""
        if on:
            other.setChecked(False)
        if on or self.views.currentIndex() == view:
            self.views.setCurrentIndex(view if on else 0)
        self.refresh()

    def _on_token(self, index: int) -> None:
        """A token of the text was clicked: look where it looked when it was written, or at the row that it is."""
        same_text = self._part.looks == "target" == self._part.seen
        self._on_row(index - 1 if same_text else index)

    def _on_copy(self) -> None:
        self.table.show_rows(HEAD, self._row_lines())
        QGuiApplication.clipboard().setText(self.table.as_text())

    def _on_save(self) -> None:
        """The whole map of the head that is shown, in a file of the person's choice."""
        name = self.title.text().lower().replace(" · ", "-").replace(" ", "-")
        path = ask_where(self, f"attention-{name}")
        if path:
            self._saver.save(path, writer(self.map, path))

    def _on_saved(self, words: str) -> None:
        self.readout.setText(words)

    def _tint(self, *_: object) -> None:
        self.copy.setIcon(theme.icon("copy", 16, "muted"))
        self.save.setIcon(theme.icon("download", 16, "muted"))
        if self.isVisible():
            self.refresh()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._later()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._captures.set_visible(NAME, True)
        self.refresh()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._captures.set_visible(NAME, False)
        self._captures.rereading.cancel()
