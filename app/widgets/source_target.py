"""Source and target of an encoder-decoder, side by side where there is room, stacked where there is not.

It shows what it is given: a target that grows, the beams of a search, the tokens of a target with their probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtGui import QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QComboBox, QHBoxLayout, QLabel, QPlainTextEdit, QVBoxLayout, QWidget

from app import theme
from app.widgets.ask_text import AskPage, TextField
from app.widgets.beam_list import BeamList
from app.widgets.ink import current_ink
from app.widgets.named import named, quiet_button, toggle_button
from app.widgets.token_strip import TokenStrip
from app.widgets.version_switch import VersionSwitch
from engine import Beam, TokenRecord

BESIDE = 560  # pixels: from here on the two stand side by side
TALL = 112  # pixels of either


class SourceTarget(AskPage):
    """token_chosen: the index of a token of the target. token_replaced: an index, and the id of the candidate wanted.

    step: -1 or 1, to another version of the target. source, task: what is to be read.
    """

    token_chosen = Signal(int)
    token_replaced = Signal(int, int)
    step = Signal(int)

    def __init__(self, size: int) -> None:
        """size: of the tokens' text, in pixels."""
        super().__init__("", "Write", "Write the target")
        self.tasks = named(QComboBox(), "task", "What to do with the source")
        self.tasks.setMinimumWidth(64)  # a long name must not widen the pane
        self.tasks.setToolTip("What the model is told before the source")
        self.field = TextField("source", "Source", "Text for the model to read", TALL)
        self.field.textChanged.connect(self._on_source)
        self.field.submitted.connect(self.ask)
        self.target = named(QPlainTextEdit(readOnly=True, tabChangesFocus=True), "target", "Target")
        self.target.setProperty("kind", "field")
        self.target.setPlaceholderText("What the model writes appears here.")
        self.target.setFixedHeight(TALL)
        self.copy = quiet_button("copyTarget", "Copy the target")
        self.copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.target.toPlainText()))
        self.as_tokens = toggle_button("targetTokens", "Tokens")
        self.as_tokens.setToolTip("Show the target's tokens, coloured by how likely each was")
        self.as_tokens.toggled.connect(lambda _: self._show_parts())
        self._records: Sequence[TokenRecord] = ()
        self.versions = VersionSwitch()
        self.versions.step.connect(self.step)
        self.strip = TokenStrip(current_ink(size))
        self.strip.focused.connect(self.token_chosen)
        self.strip.replaced.connect(self.token_replaced)
        self.strip.set_branching(True)
        self.beams = BeamList()
        self._beams_name = QLabel("Beams")
        self._beams_name.setProperty("role", "heading")
        self._sides = QBoxLayout(QBoxLayout.Direction.TopToBottom)
        self._sides.setSpacing(12)
        self._sides.addLayout(self._make_side("Source", self.field, self.tasks, self.button), 1)
        self._sides.addLayout(self._make_side("Target", self.target, self.versions, self.as_tokens, self.copy), 1)
        self.body.addLayout(self._sides)
        for widget in (self.strip, self._beams_name, self.beams):
            self.body.addWidget(widget)
        theme.theme_changed.connect(self._tint)
        self._tint()
        self.show_tasks(())
        self.show_beams(())
        self.show_versions((1, 1))
        self._on_source()
        self._show_parts()

    @property
    def source(self) -> str:
        return self.field.toPlainText()

    @property
    def task(self) -> str:
        return self.tasks.currentText()

    def show_tasks(self, tasks: Sequence[str]) -> None:
        """The tasks that the model knows by a prefix; none hides the list."""
        if tasks != tuple(self.tasks.itemText(index) for index in range(self.tasks.count())):
            self.tasks.clear()
            self.tasks.addItems(list(tasks))
        self.tasks.setVisible(bool(tasks))

    def show_target(self, text: str) -> None:
        """The whole target; what it only adds to the one before is appended, so that a selection stays."""
        shown = self.target.toPlainText()
        if shown and text.startswith(shown):
            cursor = self.target.textCursor()
            bar = self.target.verticalScrollBar()
            followed = bar.value() == bar.maximum()
            cursor.movePosition(cursor.MoveOperation.End)
            cursor.insertText(text[len(shown) :])
            if followed:
                bar.setValue(bar.maximum())
        else:
            self.target.setPlainText(text)
        self.copy.setEnabled(bool(text))

    def show_versions(self, versions: tuple[int, int]) -> None:
        """Which of how many targets it is."""
        self.versions.set(versions)

    def set_busy(self, busy: bool) -> None:
        """While the model writes, the target is its own."""
        super().set_busy(busy)
        self.versions.setEnabled(not busy)
        self.strip.set_branching(not busy)

    def show_beams(self, beams: Sequence[Beam]) -> None:
        self.beams.show_beams(beams)
        self._beams_name.setVisible(bool(beams))
        self.beams.setVisible(bool(beams))

    def show_records(self, records: Sequence[TokenRecord]) -> None:
        """The target's tokens so far."""
        self._records = records
        self._show_parts()

    def show_focus(self, index: int) -> None:
        """The token in focus; -1 for none of these."""
        self.strip.show_focus(index)

    def _show_parts(self) -> None:
        self.as_tokens.setEnabled(bool(self._records))
        shown = self.as_tokens.isChecked() and bool(self._records)
        self.strip.setVisible(shown)
        if shown and self.strip.grows_into(self._records):
            self.strip.append(self._records[self.strip.count :])
        elif shown and not self.strip.shows(self._records):
            self.strip.set(self._records)

    def _on_source(self) -> None:
        self.set_ready(bool(self.source.strip()))

    def _make_side(self, title: str, text: QWidget, *controls: QWidget) -> QVBoxLayout:
        name = QLabel(title)
        name.setProperty("role", "heading")
        head = QHBoxLayout()
        head.setSpacing(4)
        head.addStrut(theme.PRIMARY_HIT)
        head.addWidget(name, 1)
        for control in controls:
            control.setMinimumHeight(28)
            head.addWidget(control)
        side = QVBoxLayout()
        side.setSpacing(4)
        side.addLayout(head)
        side.addWidget(text)
        return side

    def _tint(self, *_: object) -> None:
        self.copy.setIcon(theme.icon("copy", 16, "muted"))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        wide = event.size().width() >= BESIDE
        self._sides.setDirection(QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom)
