"""The Probabilities pane: what else could have been written in place of the token in focus, and why it was not."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QGuiApplication, QHideEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QScrollArea,
    QStackedWidget,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.state import State
from app.widgets.named import named, quiet_button, toggle_button
from app.widgets.pieces import piece_of, visible
from app.widgets.token_bars import HEAD, TokenBars, as_text, rows, summary

NAME, TITLE, ICON = "probabilities", "Probabilities", "chart-bar"
REPAINT = 33  # milliseconds between two drawings while an answer streams
COUNTS = (10, 20, 40, 64)
WIDTHS = (51, 51, 40, 58, 56)  # pixels of the figures' columns in the narrowest pane
EMPTY = "The candidates for each token appear here while the model writes. Send a message to see them."


class Pane(QWidget):
    """A view of state.captures' token in focus."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.setObjectName("pane")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._captures = state.captures
        self._settings = state.settings
        self._count = int(state.settings.value("candidates_shown"))
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REPAINT)
        self._timer.timeout.connect(self.refresh)
        self._full = QWidget()
        column = QVBoxLayout(self._full)
        column.setContentsMargins(12, 8, 12, 8)
        column.setSpacing(8)
        column.addLayout(self._make_head())
        column.addLayout(self._make_figures())
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
        self._captures.focus_changed.connect(self._later)
        self._captures.records_changed.connect(self._later)
        self._captures.follow_changed.connect(self.follow.setChecked)
        theme.theme_changed.connect(self._tint)
        self._tint()
        self.refresh()

    # --- parts --------------------------------------------------------------------------------------------------------

    def _make_head(self) -> QHBoxLayout:
        self.token = named(QLabel(), "focusToken", "The token in focus")
        self.token.setTextFormat(Qt.TextFormat.PlainText)
        self.token.setMinimumWidth(40)  # no token may widen the pane
        self.place = QLabel()
        self.place.setProperty("role", "caption")
        self.previous = quiet_button("tokenPrevious", "Previous token")
        self.previous.clicked.connect(lambda: self._captures.step(-1))
        self.next = quiet_button("tokenNext", "Next token")
        self.next.clicked.connect(lambda: self._captures.step(1))
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self.token)
        line.addSpacing(4)
        line.addWidget(self.place, 1)
        line.addWidget(self.previous)
        line.addWidget(self.next)
        return line

    def _make_figures(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(5)
        grid.setVerticalSpacing(0)
        self.figures: list[tuple[QLabel, QLabel]] = []
        for column in range(5):
            name, value = QLabel(), QLabel()
            name.setProperty("role", "caption")
            for row, label in enumerate((name, value)):
                label.setMinimumWidth(WIDTHS[column])  # so that no token's numbers widen the pane or move the next
                grid.addWidget(label, row, column)
            grid.setColumnStretch(column, 1)
            self.figures.append((name, value))
        return grid

    def _make_views(self) -> QStackedWidget:
        self.bars = TokenBars()
        self.bars.stepped.connect(self._captures.step)
        holder = QWidget()
        inner = QVBoxLayout(holder)
        inner.setContentsMargins(0, 0, 4, 0)
        inner.addWidget(self.bars)
        inner.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(holder)
        scroll.viewport().setAutoFillBackground(False)
        holder.setAutoFillBackground(False)
        self.table = named(QTableWidget(0, len(HEAD)), "candidateTable", "Candidates as a table")
        self.table.setHorizontalHeaderLabels([word.capitalize() for word in HEAD])
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setTabKeyNavigation(False)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(26)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setHighlightSections(False)
        self.views = QStackedWidget()
        self.views.addWidget(scroll)
        self.views.addWidget(self.table)
        return self.views

    def _make_foot(self) -> QHBoxLayout:
        self.follow = named(QCheckBox("Follow"), "follow", "Follow the newest token")
        self.follow.setToolTip("The token in focus is always the newest one")
        self.follow.setChecked(self._captures.following)
        self.follow.clicked.connect(self._on_follow)
        self.counts = named(QComboBox(), "candidateCount", "How many candidates are shown")
        self.counts.addItems([str(count) for count in COUNTS])
        self.counts.setCurrentText(str(self._count))
        self.counts.setToolTip("How many candidates are shown")
        self.counts.activated.connect(self._on_count)
        self.as_table = toggle_button("probabilitiesTable", "Table")
        self.as_table.toggled.connect(self._on_table)
        self.copy = quiet_button("probabilitiesCopy", "Copy as CSV")
        self.copy.clicked.connect(self._on_copy)
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self.follow, 1)
        for widget in (self.counts, self.as_table, self.copy):
            line.addWidget(widget)
        return line

    # --- drawing ------------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Draw the token in focus now."""
        self._timer.stop()
        record = self._captures.record
        self._pages.setCurrentIndex(0 if record is None else 1)
        focused = self._captures.focused
        if record is None or focused is None:
            return
        total = len(self._captures.records(focused[0]))
        self.place.setText(f"token {focused[1] + 1} of {total}")
        room = self.width() - self.place.sizeHint().width() - 2 * theme.HIT - 48  # and the spaces between them
        words = visible(piece_of(record), 40)
        self.token.setText(self.token.fontMetrics().elidedText(words, Qt.TextElideMode.ElideMiddle, max(40, room)))
        self.previous.setEnabled(focused[1] > 0)
        self.next.setEnabled(focused[1] < total - 1)
        for (name, value), (word, number, meaning) in zip(self.figures, summary(record)):
            name.setText(word)
            value.setText(number)
            for label in (name, value):
                label.setToolTip(meaning)
        if self.as_table.isChecked():
            self._fill_table()
        else:
            self.bars.show_record(record, self._count)

    def _fill_table(self) -> None:
        record = self._captures.record
        lines = rows(record, self._count) if record is not None else []
        self.table.setRowCount(len(lines))
        for row, (piece, *rest) in enumerate(lines):
            for column, text in enumerate((visible(piece), *rest)):
                item = QTableWidgetItem(text)
                if 1 <= column <= 3:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(row, column, item)

    def _later(self, *_: object) -> None:
        if self.isVisible() and not self._timer.isActive():
            self._timer.start()

    # --- what the person does -----------------------------------------------------------------------------------------

    def _on_follow(self, on: bool) -> None:
        self._captures.follow(on)

    def _on_count(self, index: int) -> None:
        self._count = COUNTS[index]
        self._settings.set("candidates_shown", self._count)
        self.refresh()

    def _on_table(self, on: bool) -> None:
        self.views.setCurrentIndex(1 if on else 0)
        self.refresh()

    def _on_copy(self) -> None:
        record = self._captures.record
        if record is not None:
            QGuiApplication.clipboard().setText(as_text(record, self._count, ","))

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
        self.refresh()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._captures.set_visible(NAME, False)
