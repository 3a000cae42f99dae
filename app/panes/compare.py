"""The Side by side pane: one prompt, two to four answers at once, differences marked, the best one kept in the chat."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QGridLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app.state import State
from app.state.comparison import FEWEST, LETTERS, MOST, PLAIN, Side
from app.widgets.ask_text import AskPage, TextField
from app.widgets.named import named, toggle_button
from app.widgets.notice import Notice
from app.widgets.pieces import visible
from app.widgets.row_table import RowTable
from app.widgets.second_chooser import SecondChooser
from app.widgets.side_column import SideColumn, spread, status_words

NAME, TITLE, ICON = "compare", "Side by side", "layers"
WORDS = "One prompt, answered at once in two to four ways. Keep takes an answer into the chat."
HEAD = ("Side", "Word", "A has", "It has")
MARKED = "Underlined: what side A does not have there. The table says the same in words."
ALIKE = "The answers are the same."
DELAY = 60  # milliseconds between two looks at the tokens of answers being written


class Pane(QWidget):
    """A view of state.comparison."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.setObjectName("pane")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._comparison, self._captures, self._presets = state.comparison, state.captures, state.presets
        self._second, self._models = state.second, state.models
        self._size = state.settings.value("text_size")
        self.columns: list[SideColumn] = []
        self.page = AskPage(WORDS, "Ask", "Ask all sides")
        self.field = TextField("comparePrompt", "Prompt for all sides", "Something to say, or a text to continue", 60)
        self.setFocusProxy(self.field)
        self.field.textChanged.connect(self._on_text)
        self.field.submitted.connect(self.page.ask)
        self.add = named(QPushButton("Add a side"), "addSide")
        self.add.clicked.connect(self._comparison.add)
        self.tokens = toggle_button("sideTokens", "Tokens")
        self.tokens.setToolTip("Show the answers as tokens, coloured by how likely each was")
        self.tokens.toggled.connect(lambda _: self._show_tokens())
        self.page.foot.insertWidget(0, self.add)
        self.page.foot.insertWidget(1, self.tokens)
        self.seconds = SecondChooser()
        self.seconds.chosen.connect(self._second.load)
        self.notice = Notice()
        self._grid = QGridLayout()
        self._grid.setSpacing(12)
        self.legend = named(QLabel(wordWrap=True), "caption")
        self.table = RowTable("differences", "Where the answers differ", HEAD, stretched=(2, 3))
        self.page.body.addWidget(self.field)
        self.page.body.addWidget(self.seconds)
        self.page.body.addLayout(self.page.foot)
        self.page.body.addWidget(self.notice)
        self.page.body.addLayout(self._grid)
        self.page.body.addWidget(self.legend)
        self.page.body.addWidget(self.table)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.page)
        self._records = QTimer(self, singleShot=True, interval=DELAY)
        self._records.timeout.connect(self._show_records)
        self.page.asked.connect(self._ask)
        self.page.stopped.connect(self._comparison.stop)
        self._comparison.sides_changed.connect(self._show_sides)
        self._comparison.side_changed.connect(self._show_side)
        self._comparison.text_added.connect(self._add_text)
        self._comparison.running_changed.connect(self._show_running)
        self._comparison.looked_changed.connect(self._show_looked)
        self._comparison.refused.connect(self.notice.fail)
        self._captures.focus_changed.connect(self._show_focus)
        self._second.changed.connect(self._show_seconds)
        self._second.loading_changed.connect(self.seconds.show_progress)
        self._second.failed.connect(self._on_second_failed)
        self._models.cards_changed.connect(self._show_seconds)
        self._second.offers_changed.connect(self._show_seconds)
        self._show_seconds()
        self._show_sides()
        self._show_running(self._comparison.running)
        self._on_text()

    # --- what the person does -----------------------------------------------------------------------------------------

    def _ask(self) -> None:
        self.notice.hide()
        self._comparison.ask(self.field.toPlainText())

    def _on_text(self) -> None:
        self.page.set_ready(bool(self.field.toPlainText().strip()))

    # --- what the state says ------------------------------------------------------------------------------------------

    def _show_seconds(self, *_: object) -> None:
        self.seconds.show_models(self._second.offers, self._second.chosen)

    def _on_second_failed(self, message: str, hint: str, details: str) -> None:
        self._show_seconds()
        self.notice.fail(message, hint, details)

    def _show_sides(self) -> None:
        sides = self._comparison.sides
        while len(self.columns) > len(sides):
            column = self.columns.pop()
            column.hide()
            column.deleteLater()
        while len(self.columns) < len(sides):
            self.columns.append(self._make_column(len(self.columns)))
        names = [preset.name for preset in self._presets.presets]
        for column, side in zip(self.columns, sides):
            column.show_presets(names, side.preset)
            column.show_models(self._comparison.models, int(side.second))
            column.show_adapters(self._comparison.adapters(side), side.adapter, side.strength, PLAIN)
            settings, baseline = self._comparison.settings(side), self._comparison.baseline(side)
            column.show_settings(settings, baseline, side.changes.keys())
        for number in range(len(sides)):
            self._show_side(number)
        self._show_looked()
        self._place()
        self._enable()

    def _make_column(self, number: int) -> SideColumn:
        column, comparison = SideColumn(number, LETTERS[number], self._size), self._comparison
        column.chosen.connect(lambda preset: comparison.choose(number, preset))
        column.changed.connect(lambda sampling: comparison.change(number, sampling))
        column.reset.connect(lambda name: comparison.reset(number, name))
        column.model_chosen.connect(lambda model: comparison.choose_model(number, bool(model)))
        column.adapter_chosen.connect(lambda path: comparison.choose_adapter(number, path))
        column.strengthened.connect(lambda strength: comparison.set_strength(number, strength))
        column.removed.connect(lambda: comparison.remove(number))
        column.kept.connect(lambda: comparison.keep(number))
        column.looked_at.connect(lambda: comparison.look_at(number))
        column.token_chosen.connect(lambda index: comparison.focus(number, index))
        column.show_tokens(self.tokens.isChecked())
        return column

    def _show_side(self, number: int) -> None:
        side, column = self._comparison.sides[number], self.columns[number]
        if column.text.toPlainText() != side.text:
            column.show_text(side.text)
        column.status.setText(side.error or self._words(side))
        column.keep.setText("Kept" if side.kept else "Keep")
        column.keep.setEnabled(bool(side.text) and side.run is None and not side.kept)
        column.keep.setVisible(self._comparison.can_keep)
        self._show_differences()
        self._records.start()

    def _words(self, side: Side) -> str:
        through = self._comparison.through(side)
        return status_words(side.status, side.tokens, side.speed, side.seed, through)

    def _show_running(self, running: bool) -> None:
        self.page.set_busy(running)
        self._enable()
        self._show_differences()

    def _enable(self) -> None:
        running, count = self._comparison.running, len(self._comparison.sides)
        self.add.setEnabled(count < MOST and not running)
        for column in self.columns:
            column.close_button.setEnabled(not running)
            column.close_button.setVisible(count > FEWEST)

    def _add_text(self, number: int, text: str) -> None:
        self.columns[number].add_text(text)
        if not self._records.isActive():
            self._records.start()

    def _show_tokens(self) -> None:
        for column in self.columns:
            column.show_tokens(self.tokens.isChecked())
        self._show_records()

    def _show_records(self) -> None:
        for column, side in zip(self.columns, self._comparison.sides):
            if self.tokens.isChecked():
                column.show_records(list(self._captures.records(side.key)))
            if side.run is not None:
                column.status.setText(self._words(side))

    def _show_looked(self) -> None:
        for column in self.columns:
            column.show_looked(column.number == self._comparison.looked)

    def _show_focus(self, key: str, index: int) -> None:
        for column, side in zip(self.columns, self._comparison.sides):
            column.strip.show_focus(index if key and key == side.key else -1)

    def _show_differences(self) -> None:
        """Only once all have ended: what an answer lacks while it is being written is no difference."""
        sides, whole = self._comparison.sides, not self._comparison.running
        rows: list[tuple[str, ...]] = []
        for number in range(1, len(sides)):
            found = self._comparison.differences(number) if whole and sides[0].text and sides[number].text else []
            self.columns[number].mark([(each.place, each.end) for each in found])
            rows += [(LETTERS[number], str(each.word), shown(each.first), shown(each.second)) for each in found]
        told = whole and sum(bool(side.text) for side in sides) > 1
        self.table.put(rows)
        self.table.setVisible(bool(rows))
        self.legend.setText(MARKED if rows else ALIKE)
        self.legend.setVisible(told)

    # --- Qt -----------------------------------------------------------------------------------------------------------

    def _place(self) -> None:
        """As many columns in a row as there is room for."""
        across = spread(self.columns, self.width() - 36)
        for column in self.columns:
            self._grid.removeWidget(column)
        for place, column in enumerate(self.columns):
            self._grid.addWidget(column, place // across, place % across)
            column.show()
        for place in range(MOST):
            self._grid.setColumnStretch(place, 1 if place < across else 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place()


def shown(text: str) -> str:
    """A stretch of an answer in print."""
    return visible(text, 60) if text.strip() else "nothing"
