"""The answers that a beam search holds, best first, with their scores: a table that is rewritten at every step."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QHeaderView, QTableWidget, QTableWidgetItem

from app.widgets.named import named
from engine import Beam

HEAD = ("Score", "Text")


class BeamList(QTableWidget):
    def __init__(self) -> None:
        super().__init__(0, len(HEAD))
        self._beams: Sequence[Beam] = ()
        named(self, "beams", "Beams, best first")
        self.setHorizontalHeaderLabels(list(HEAD))
        self.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setWordWrap(True)
        self.verticalHeader().hide()
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        header.setToolTip("Log-probability over length to the power of the length penalty: nearer to 0 is better")
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.verticalHeader().sectionResized.connect(self._fit)

    def show_beams(self, beams: Sequence[Beam]) -> None:
        self._beams = beams
        self.setRowCount(len(beams))
        for row, beam in enumerate(beams):
            score, text = QTableWidgetItem(f"{beam.score:.3f}"), QTableWidgetItem(beam.text)
            score.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            words = "Complete" if beam.finished else "Being written"
            for column, item in enumerate((score, text)):
                item.setToolTip(words)
                self.setItem(row, column, item)
        self._fit()

    def as_text(self) -> str:
        """Head and rows, separated by tabs."""
        rows = [(f"{beam.score:.6f}", beam.text) for beam in self._beams]
        return "\n".join("\t".join(cells) for cells in ([word.lower() for word in HEAD], *rows))

    def _fit(self, *_: object) -> None:
        """As high as its rows: the page scrolls, not the table."""
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + self.verticalHeader().length() + 4)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            QGuiApplication.clipboard().setText(self.as_text())
        else:
            super().keyPressEvent(event)
