"""The Probabilities pane: what else could have been written in place of the token in focus, and why it was not.

Under the settings that wrote it, or under those of the sliders now: then every token of the answer is drawn again from
its stored candidates, and a line says how many would be others. A candidate that is clicked begins a branch.
"""

from __future__ import annotations

import dataclasses

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QGuiApplication, QHideEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QScrollArea,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.state import State
from app.state.conversation import Conversation
from app.state.playground import Playground
from app.state.what_if import Column
from app.widgets.named import named, quiet_button, toggle_button
from app.widgets.pieces import piece_of, visible
from app.widgets.segments import segments
from app.widgets.step_grid import StepGrid, step_head, step_rows, step_text
from app.widgets.still import Still
from app.widgets.text_table import TextTable
from app.widgets.token_bars import HEAD, TokenBars, as_text, rows, summary
from app.widgets.value_edit import ValueEdit
from engine import Param, SamplingParams, TokenRecord

NAME, TITLE, ICON = "probabilities", "Probabilities", "chart-bar"
REPAINT = 33  # milliseconds from a change to its drawing
WRITING = 50  # the same while an answer streams: nobody reads so many numbers sooner
COUNT = Param(20, 1, 200, 1, label="Candidates shown")
WIDTHS = (96, 76, 70)  # pixels of the figures' columns in the narrowest pane
EMPTY = "The candidates for each token appear here while the model writes. Send a message to see them."
OTHERWISE = "The settings were changed while this was written; these steps are those that it began with."
UNCERTAIN = "A token that is not stored could come out here."


class Pane(QWidget):
    """A view of state.captures' token in focus, and of state.what_if."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.setObjectName("pane")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._state = state
        self._captures = state.captures
        self._settings = state.settings
        self._count = min(max(int(state.settings.value("candidates_shown")), 1), 200)
        self._sampling = state.presets.sampling
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.refresh)
        self._full = QWidget()
        column = QVBoxLayout(self._full)
        column.setContentsMargins(12, 8, 12, 8)
        column.setSpacing(6)
        column.addLayout(self._make_head())
        column.addLayout(self._make_figures())
        column.addLayout(self._make_modes())
        self.words = named(QLabel(wordWrap=True), "caption", "What other settings would have written")
        column.addWidget(self.words)
        column.addWidget(self._make_views(), 1)
        column.addLayout(self._make_foot())
        empty = QLabel(EMPTY)
        empty.setWordWrap(True)
        empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        empty.setProperty("role", "caption")
        empty.setContentsMargins(24, 24, 24, 24)
        self._pages = QStackedWidget()
        self._pages.addWidget(empty)
        self._pages.addWidget(self._full)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._pages)
        self._connect()
        self._tint()
        self.refresh()

    def _connect(self) -> None:
        self._captures.focus_changed.connect(self._later)
        self._captures.records_changed.connect(self._later)
        self._captures.settled.connect(self._later)
        self._captures.follow_changed.connect(self.follow.setChecked)
        self._state.what_if.changed.connect(self._later)
        self._state.presets.sampling_changed.connect(self._on_sampling)
        self._state.conversation.answering_changed.connect(self._later)
        self._state.playground.running_changed.connect(self._later)
        theme.theme_changed.connect(self._tint)

    # --- parts --------------------------------------------------------------------------------------------------------

    def _make_head(self) -> QHBoxLayout:
        self.token = named(QLabel(), "focusToken", "The token in focus")
        self.token.setTextFormat(Qt.TextFormat.PlainText)
        self.token.setMinimumWidth(40)  # no token may widen the pane
        self.place = QLabel()
        self.place.setProperty("role", "caption")
        self._line = _Line(self.token, self.place)
        self.previous = quiet_button("tokenPrevious", "Previous token")
        self.previous.clicked.connect(lambda: self._captures.step(-1))
        self.next = quiet_button("tokenNext", "Next token")
        self.next.clicked.connect(lambda: self._captures.step(1))
        self.follow = named(QCheckBox("Follow"), "follow", "Follow the newest token")
        self.follow.setToolTip("The token in focus is always the newest one")
        self.follow.setChecked(self._captures.following)
        self.follow.clicked.connect(self._on_follow)
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self._line, 1)
        line.addWidget(self.follow)
        line.addWidget(self.previous)
        line.addWidget(self.next)
        return line

    def _make_figures(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(0)
        self.figures: list[tuple[QLabel, QLabel]] = []
        for place in range(6):
            name, value = QLabel(), QLabel()
            name.setProperty("role", "caption")
            row, column = divmod(place, len(WIDTHS))
            for offset, label in enumerate((name, value)):
                label.setMinimumWidth(WIDTHS[column])  # so that no token's numbers widen the pane or move the next
                grid.addWidget(Still(label), 2 * row + offset, column)
            grid.setColumnStretch(column, 1)
            self.figures.append((name, value))
        return grid

    def _make_modes(self) -> QHBoxLayout:
        self.drawn, self.steps = segments("Bars", "Steps")
        self.steps.setToolTip("What each sampling step left of the candidates")
        self.written, self.now = segments("As written", "Now")
        self.written.setToolTip("Under the settings that wrote the token")
        self.now.setToolTip("Under the settings of the Sampling pane, by the same draw")
        line = QHBoxLayout()
        line.setSpacing(0)
        for button in (self.drawn, self.steps):
            button.clicked.connect(self.refresh)
            line.addWidget(button)
        line.addStretch(1)
        line.addSpacing(8)
        for button in (self.written, self.now):
            button.clicked.connect(self.refresh)
            line.addWidget(button)
        return line

    def _make_views(self) -> QStackedWidget:
        self.bars, self.grid = TokenBars(), StepGrid()
        self.table = TextTable("candidateTable", "Candidates as a table")
        self.views = QStackedWidget()
        for drawn in (self.bars, self.grid):
            drawn.stepped.connect(self._captures.step)
            drawn.taken.connect(self._on_taken)
            self.views.addWidget(_scrolled(drawn))
        self.views.addWidget(self.table)
        return self.views

    def _make_foot(self) -> QHBoxLayout:
        self.instead = named(QLineEdit(), "writeInstead", "Another word in this token's place")
        self.instead.setMinimumWidth(60)
        policy = self.instead.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.instead.setSizePolicy(policy)
        self.instead.returnPressed.connect(self._on_instead)
        self.counts = named(ValueEdit(COUNT), "candidateCount")
        self.counts.setFixedWidth(44)
        self.counts.setToolTip("How many candidates are shown, from 1 to 200")
        self.counts.set_number(self._count)
        self.counts.changed.connect(self._on_count)
        self.as_table = toggle_button("probabilitiesTable", "Table")
        self.as_table.toggled.connect(lambda _: self.refresh())
        self.copy = quiet_button("probabilitiesCopy", "Copy as CSV")
        self.copy.clicked.connect(self._on_copy)
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self.instead, 1)
        for widget in (self.counts, self.as_table, self.copy):
            line.addWidget(widget)
        return line

    # --- drawing ------------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Draw the token in focus now."""
        self._timer.stop()
        record, focused = self._captures.record, self._captures.focused
        self._pages.setCurrentIndex(0 if record is None else 1)
        if record is None or focused is None:
            return
        self._show_place(record, focused)
        column = self._column()
        shown = record if column is None or not self.now.isChecked() else column.record
        outcome = dataclasses.replace(shown, id=record.id)  # what became of the token that was written
        for (name, value), (word, number, meaning) in zip(self.figures, summary(outcome)):
            name.setText(word)
            value.setText(number)
            for label in (name, value):
                label.setToolTip(meaning)
        self.words.setText(self._say(column))
        self.words.setVisible(bool(self.words.text()))
        writer = self._writer(focused[0])
        may = writer is not None and writer.can_branch(focused[0])
        self.instead.setVisible(writer is not None)
        self.instead.setEnabled(may)
        self.instead.setPlaceholderText("Write instead")
        self.instead.setToolTip(f"A word in place of “{visible(piece_of(record), 16)}”: Enter writes on from it")
        stages = column.stages if column is not None else ()
        if self.as_table.isChecked():
            self.views.setCurrentWidget(self.table)
            if self.steps.isChecked():
                head, lines = step_head(stages), step_rows(shown, stages, self._count)
            else:
                head, lines = HEAD, rows(shown, self._count)
            self.table.show_rows(head, [(visible(piece), *rest) for piece, *rest in lines])
        elif self.steps.isChecked():
            self.grid.set_taking(may)
            self.views.setCurrentIndex(1)
            self.grid.show_stages(shown, stages, self._count)
        else:
            self.bars.set_taking(may)
            self.views.setCurrentIndex(0)
            self.bars.show_record(shown, self._count)

    def _show_place(self, record: TokenRecord, focused: tuple[str, int]) -> None:
        total = len(self._captures.records(focused[0]))
        self._line.say(visible(piece_of(record), 40), f"{focused[1] + 1:,} of {total:,}")
        self.previous.setEnabled(focused[1] > 0)
        self.next.setEnabled(focused[1] < total - 1)

    def _column(self) -> Column | None:
        """The steps of the token in focus, where they are to be seen."""
        focused = self._captures.focused
        if focused is None or not (self.steps.isChecked() or self.now.isChecked()):
            return None
        return self._state.what_if.column(*focused, self._sampling if self.now.isChecked() else None)

    def _say(self, column: Column | None) -> str:
        outcome = self._state.what_if.outcome
        said = [outcome.words if self.now.isChecked() and (outcome.changed or outcome.why) else ""]
        if column is not None and self.now.isChecked() and column.uncertain and not outcome.why:
            said.append(UNCERTAIN)
        elif column is not None and not self.now.isChecked() and not column.exact:
            said.append(OTHERWISE)
        return " ".join(filter(None, said))

    def _later(self, *_: object) -> None:
        if self.isVisible() and not self._timer.isActive():
            self._timer.start(WRITING if self._captures.live else REPAINT)

    # --- what the person does -----------------------------------------------------------------------------------------

    def _on_sampling(self, sampling: SamplingParams) -> None:
        """A slider moved: what is shown is what it does."""
        if sampling != self._sampling:
            self._sampling = sampling
            if self._captures.record is not None:
                self.now.setChecked(True)
            self._later()

    def _writer(self, message: str) -> Conversation | Playground | None:
        """Where a token in focus was written, and another version can be begun."""
        if self._state.conversation.tree.get(message) is not None:
            return self._state.conversation
        return self._state.playground if message == self._state.playground.target_key else None

    def _on_taken(self, token: int) -> None:
        record, focused = self._captures.record, self._captures.focused
        if record is not None and focused is not None and (writer := self._writer(focused[0])) is not None:
            place = record.candidate_ids.tolist().index(token)
            writer.branch(*focused, (token,), record.pieces[place])

    def _on_instead(self) -> None:
        """The word as it is typed; behind a blank where the token was."""
        record, focused, text = self._captures.record, self._captures.focused, self.instead.text()
        writer = self._writer(focused[0]) if focused is not None else None
        if record is not None and focused is not None and writer is not None and text.strip():
            blank = " " if record.text.startswith(" ") and not text.startswith(" ") else ""
            self.instead.clear()
            writer.branch(*focused, text=blank + text)

    def _on_follow(self, on: bool) -> None:
        self._captures.follow(on)

    def _on_count(self, count: float) -> None:
        self._count = int(count)
        self._settings.set("candidates_shown", self._count)
        self.refresh()

    def _on_copy(self) -> None:
        record, column = self._captures.record, self._column()
        if record is None:
            return
        shown = record if column is None or not self.now.isChecked() else column.record
        if self.steps.isChecked():
            text = step_text(shown, column.stages if column is not None else (), self._count, ",")
        else:
            text = as_text(shown, self._count, ",")
        QGuiApplication.clipboard().setText(text)

    def _tint(self, *_: object) -> None:
        self.token.setFont(theme.font(theme.TITLE, mono=True, bold=True))
        for button, icon in ((self.previous, "chevron-left"), (self.next, "chevron-right"), (self.copy, "copy")):
            button.setIcon(theme.icon(icon, 16, "muted"))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._later()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._captures.set_visible(NAME, True)
        self._state.what_if.watch(NAME, True)
        self.refresh()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._captures.set_visible(NAME, False)
        self._state.what_if.watch(NAME, False)


class _Line(QWidget):
    """The token and its place, one behind the other; the layout around them is not asked at each token."""

    def __init__(self, token: QLabel, place: QLabel) -> None:
        super().__init__()
        self._token, self._place, self._words = token, place, ""
        for label in (token, place):
            label.setParent(self)
        self.setMinimumWidth(100)

    def say(self, token: str, place: str) -> None:
        self._words = token
        self._place.setText(place)
        self._arrange()

    def _arrange(self) -> None:
        """The place is whole, and of the token what there is room for."""
        place = self._place.sizeHint().width()
        room = max(40, self.width() - place - 8)
        metrics = self._token.fontMetrics()
        self._token.setText(metrics.elidedText(self._words, Qt.TextElideMode.ElideMiddle, room))
        token = self._token.sizeHint().width()
        self._token.setGeometry(0, 0, token, self.height())
        self._place.setGeometry(token + 8, 0, place, self.height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()


def _scrolled(drawn: QWidget) -> QScrollArea:
    """A drawing as high as it wants to be, on a page that scrolls; sideways only where it must."""
    holder = QWidget()
    inner = QVBoxLayout(holder)
    inner.setContentsMargins(0, 0, 4, 0)
    inner.addWidget(drawn)
    inner.addStretch(1)
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QFrame.Shape.NoFrame)
    scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    scroll.setWidget(holder)
    scroll.viewport().setAutoFillBackground(False)
    holder.setAutoFillBackground(False)
    return scroll
