"""How alike sentences are: two to six of them, and the cosine of every two as a table tinted like a heat map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QGuiApplication, QKeyEvent, QKeySequence
from PySide6.QtWidgets import (
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.widgets.ask_text import AskPage
from app.widgets.cosines import CosineLegend, ground
from app.widgets.named import named, quiet_button

FEWEST, MOST = 2, 6
ROW = 32  # pixels


class SimilarityTable(QTableWidget):
    """Sentence by sentence: the number of each cosine on a ground that tells its size and its sign."""

    def __init__(self) -> None:
        super().__init__(0, 0)
        named(self, "similarities", "Cosines between the sentences")
        self.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        for header in (self.horizontalHeader(), self.verticalHeader()):
            header.setHighlightSections(False)
            header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.verticalHeader().setMinimumSectionSize(ROW)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._values: npt.NDArray[np.floating] = np.zeros((0, 0), np.float32)
        self._sentences: tuple[str, ...] = ()
        theme.theme_changed.connect(self._draw)

    def show_values(self, values: npt.NDArray[np.floating], sentences: Sequence[str]) -> None:
        """values: [N, N] cosines of N sentences."""
        self._values, self._sentences = values, tuple(sentences)
        size = len(values)
        self.setRowCount(size)
        self.setColumnCount(size)
        numbers = [str(number + 1) for number in range(size)]
        self.setHorizontalHeaderLabels(numbers)
        self.setVerticalHeaderLabels(numbers)
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + ROW * size + 4)
        self._draw()

    def as_text(self) -> str:
        """The matrix with its sentences, separated by tabs."""
        lines = ["\t".join(["", *self._sentences])]
        for sentence, row in zip(self._sentences, self._values):
            lines.append("\t".join([sentence, *(f"{value:.6f}" for value in row)]))
        return "\n".join(lines)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            QGuiApplication.clipboard().setText(self.as_text())
        else:
            super().keyPressEvent(event)

    def _draw(self, *_: object) -> None:
        for row in range(self.rowCount()):
            for column in range(self.columnCount()):
                value = float(self._values[row, column])
                color = ground(value)
                item = QTableWidgetItem(f"{value:.3f}".replace("-", "\N{MINUS SIGN}"))
                item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                item.setToolTip(f"{self._sentences[row]}\n{self._sentences[column]}")
                item.setBackground(color)
                item.setForeground(_ink(color))
                self.setItem(row, column, item)


def _ink(ground: QColor) -> QColor:
    """Black or white, whichever stands out more: one of them does by 4.5 : 1 on any ground."""
    return max((QColor("#000000"), QColor("#FFFFFF")), key=lambda ink: _contrast(ink, ground))


def _contrast(one: QColor, other: QColor) -> float:
    """WCAG 2 contrast ratio."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color: QColor) -> float:
    channels = (color.redF(), color.greenF(), color.blueF())
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


class SimilarityPage(AskPage):
    """Sentences one to a line, and their matrix."""

    def __init__(self) -> None:
        words = "Compares sentences by the cosine of their vectors: 1 is the same direction, 0 has nothing in common."
        super().__init__(words, "Compare", "Compare the sentences")
        self.fields: list[QLineEdit] = []
        self._removers: list[QToolButton] = []
        self._lines: list[QWidget] = []
        self._list = QVBoxLayout()
        self._list.setSpacing(4)
        self.add = named(QPushButton("Add sentence"), "addSentence")
        self.add.clicked.connect(self._on_add)
        self.foot.insertWidget(0, self.add)
        self.table = SimilarityTable()
        self.legend = CosineLegend()
        self.body.addLayout(self._list)
        self.body.addLayout(self.foot)
        self.body.addWidget(self.table)
        self.body.addWidget(self.legend)
        for _ in range(FEWEST):
            self._add_line()
        self._on_text()
        theme.theme_changed.connect(self._show_icons)

    @property
    def sentences(self) -> tuple[str, ...]:
        """Those that were written, in their order."""
        return tuple(field.text().strip() for field in self.fields if field.text().strip())

    def show_values(self, values: npt.NDArray[np.floating]) -> None:
        """values: [N, N] cosines of the sentences."""
        if len(values) == len(self.sentences):  # else they belong to sentences that are no longer here
            self.table.show_values(values, self.sentences)
            self.table.show()
            self.legend.show()

    def _add_line(self) -> None:
        line = QWidget()
        number, field = QLabel(), QLineEdit()
        number.setProperty("role", "caption")
        number.setFixedWidth(16)
        remove = quiet_button("removeSentence", "Remove the sentence")
        remove.clicked.connect(lambda: self._remove(line))
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        for part in (number, field, remove):
            row.addWidget(part)
        field.textChanged.connect(self._on_text)
        field.returnPressed.connect(self.ask)
        self._list.addWidget(line)
        self._lines.append(line)
        self.fields.append(field)
        self._removers.append(remove)
        self._number()

    def _on_add(self) -> None:
        self._add_line()
        self.fields[-1].setFocus()

    def _remove(self, line: QWidget) -> None:
        index = self._lines.index(line)
        del self._lines[index], self.fields[index], self._removers[index]
        self._list.removeWidget(line)
        line.hide()
        line.deleteLater()
        self._number()
        self._on_text()

    def _number(self) -> None:
        for index, (line, field, remove) in enumerate(zip(self._lines, self.fields, self._removers), start=1):
            label = line.findChild(QLabel)
            assert label is not None
            label.setText(str(index))
            named(field, f"sentence-{index}", f"Sentence {index}")
            remove.setAccessibleName(f"Remove sentence {index}")
            remove.setEnabled(len(self.fields) > FEWEST)
        self.add.setEnabled(len(self.fields) < MOST)
        self._show_icons()

    def _show_icons(self, *_: object) -> None:
        for button in self._removers:
            button.setIcon(theme.icon("x", 16, "muted"))

    def forget(self) -> None:
        """What was found belongs to another text or another model."""
        self.table.hide()
        self.legend.hide()

    def _on_text(self, *_: object) -> None:
        self.forget()
        self.set_ready(len(self.sentences) >= FEWEST)
