"""A card above the composer that puts a task into a prompt: as it stands, with examples from a table, step by step.

It knows no chat: the text goes out as `filled`, what is to be kept for the next time as `edited`.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
)

from app import theme
from app.state.prompting import KINDS, prompt
from app.widgets.named import named, quiet_button

ROWS = 3  # examples in sight
ROW = 28  # pixels


class PromptAids(QFrame):
    """filled: the prompt. edited: task and examples, to be kept. closed: the card is to go."""

    filled = Signal(str)
    edited = Signal(str, object)
    closed = Signal()

    def __init__(self, task: str = "", examples: Sequence[Sequence[str]] = ()) -> None:
        super().__init__()
        self.setObjectName("popover")
        self.kind = named(QComboBox(), "aidKind", "How the task is put")
        self.kind.addItems(list(KINDS))
        self.kind.setCurrentText("With examples")
        self.kind.currentTextChanged.connect(self._show_kind)
        self.close_button = quiet_button("aidClose", "Close")
        self.close_button.clicked.connect(self.closed)
        self.task = named(QLineEdit(task), "aidTask", "Task")
        self.task.setPlaceholderText("The task, for example: Give the opposite of the word.")
        self.question = named(QLineEdit(), "aidQuestion", "What it is to be done to")
        self.question.setPlaceholderText("What it is to be done to, for example: warm")
        self.question.returnPressed.connect(self.fill)
        self.table = named(QTableWidget(0, 2), "aidExamples", "Examples, an input and its output in each row")
        self.table.setHorizontalHeaderLabels(["Input", "Output"])
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.table.horizontalHeader().setHighlightSections(False)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(ROW)
        self.table.setFixedHeight(ROW * (ROWS + 1) + 6)
        self.more = QPushButton("Add example")
        self.more.clicked.connect(lambda: self._add("", ""))
        self.less = QPushButton("Remove example")
        self.less.clicked.connect(self._remove)
        self.use = QPushButton("Fill in")
        self.use.setToolTip("Put the prompt where you write; nothing is sent")
        self.use.clicked.connect(self.fill)
        head = QHBoxLayout()
        head.addWidget(self.kind)
        head.addStretch(1)
        head.addWidget(self.close_button)
        foot = QHBoxLayout()
        foot.setSpacing(8)
        foot.addWidget(self.more)
        foot.addWidget(self.less)
        foot.addStretch(1)
        foot.addWidget(self.use)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 10, 12, 10)
        column.setSpacing(8)
        column.addLayout(head)
        for widget in (self.task, self.table, self.question):
            column.addWidget(widget)
        column.addLayout(foot)
        for given, wanted in [pair for pair in examples if len(pair) == 2] or [("", "")]:
            self._add(str(given), str(wanted))
        theme.theme_changed.connect(self._tint)
        self._tint()
        self._show_kind()

    @property
    def examples(self) -> list[tuple[str, str]]:
        """The rows of the table."""
        cells = [[self.table.item(row, column) for column in (0, 1)] for row in range(self.table.rowCount())]
        return [(given.text() if given else "", wanted.text() if wanted else "") for given, wanted in cells]

    def start(self, question: str) -> None:
        """Begin with what was typed already."""
        self.question.setText(" ".join(question.split()))
        (self.question if self.task.text() else self.task).setFocus()

    def fill(self) -> None:
        """Give the prompt out, if it holds anything."""
        if self.task.text().strip() or self.question.text().strip():
            self.edited.emit(self.task.text(), self.examples)
            self.filled.emit(prompt(self.kind.currentText(), self.task.text(), self.question.text(), self.examples))

    def _add(self, given: str, wanted: str) -> None:
        row = self.table.rowCount()
        self.table.insertRow(row)
        for column, text in enumerate((given, wanted)):
            self.table.setItem(row, column, QTableWidgetItem(text))
        self.table.setCurrentCell(row, 0)
        self._show_kind()

    def _remove(self) -> None:
        self.table.removeRow(max(0, self.table.currentRow()))
        self._show_kind()

    def _show_kind(self, *_: object) -> None:
        several = self.kind.currentText() == "With examples"
        for widget in (self.table, self.more, self.less):
            widget.setVisible(several)
        self.less.setEnabled(self.table.rowCount() > 0)

    def _tint(self, *_: object) -> None:
        self.close_button.setIcon(theme.icon("x", 16, "muted"))

    # --- Qt -----------------------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.closed.emit()
        else:
            super().keyPressEvent(event)
