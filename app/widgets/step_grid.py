"""One token through the sampling steps: a line for each candidate, a column for each step with what it left.

It draws what the engine derived and derives nothing itself. The same numbers can be copied, and shown as a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent

from app import theme
from app.widgets.candidate_list import LEFT, RIGHT, ROW, CandidateList, shown_candidates
from app.widgets.order_list import step_words
from app.widgets.pieces import percent, visible
from app.widgets.token_bars import number
from engine import TokenRecord

if TYPE_CHECKING:
    from engine import Stage

LEAST = 42  # pixels of a step's column: four figures and a bar
NAME = (62, 150)  # pixels of the tokens' column, at least and at most


def title(stage: Stage) -> str:
    """A stage as people say it; the first is what the model itself gave."""
    return step_words(stage.step) if stage.step else "Model"


def left_words(stage: Stage) -> str:
    """What a step did to the candidates as a whole."""
    gone, stay = int(stage.cut.sum()), int((stage.probabilities > 0).sum())
    return f"{gone:,} cut, {stay:,} left" if gone else f"{stay:,} left"


def step_rows(record: TokenRecord, stages: Sequence[Stage], count: int) -> list[tuple[str, ...]]:
    """The candidates as rows of text: token, id, the probability after each stage, or that it cut, and if chosen."""
    rows = []
    for index in shown_candidates(record, count):
        cells = [_cell(stage, index) for stage in stages]
        chosen = "yes" if index == record.chosen else ""
        rows.append((record.pieces[index], str(int(record.candidate_ids[index])), *cells, chosen))
    return rows


def step_head(stages: Sequence[Stage]) -> tuple[str, ...]:
    return ("token", "id", *(title(stage).lower() for stage in stages), "chosen")


def step_text(record: TokenRecord, stages: Sequence[Stage], count: int, separator: str) -> str:
    """The rows with their head, for the clipboard; pieces as quoted strings, so that no blank is lost."""
    lines = [separator.join(step_head(stages))]
    for piece, *rest in step_rows(record, stages, count):
        quoted = '"' + piece.replace('"', '""').replace("\n", "\\n").replace("\t", "\\t") + '"'
        lines.append(separator.join((quoted, *rest)))
    return "\n".join(lines)


def _cell(stage: Stage, index: int) -> str:
    if stage.cut[index]:
        return "cut"
    return f"{stage.probabilities[index]:.6f}" if stage.probabilities[index] > 0 else ""


class StepGrid(CandidateList):
    """A column for each stage: a bar and the probability, "cut" where the step removed the candidate, then nothing."""

    top = 40

    def __init__(self) -> None:
        super().__init__("Candidates after each sampling step")
        self._stages: tuple[Stage, ...] = ()

    def show_stages(self, record: TokenRecord, stages: Sequence[Stage], count: int) -> None:
        """record: as the draw at the end of these stages would have written it."""
        wider = len(stages) != len(self._stages)
        self._stages = tuple(stages)
        self.show_record(record, count)
        if wider:
            self.updateGeometry()

    def readout(self, line: int) -> str:
        assert self._record is not None
        index = self._indices[line]
        words = [f"{title(stage)} {self._words(stage, index)}" for stage in self._stages if self._words(stage, index)]
        chosen = ", chosen" if index == self._record.chosen else ""
        return f"{visible(self._record.pieces[index], 60)}: {', '.join(words)}{chosen}"

    def as_text(self) -> str:
        assert self._record is not None
        return step_text(self._record, self._stages, len(self._indices), "\t")

    @staticmethod
    def _words(stage: Stage, index: int) -> str:
        if stage.cut[index]:
            return "cut"
        share = float(stage.probabilities[index])
        return percent(share) if share > 0 else ""

    # --- Qt -----------------------------------------------------------------------------------------------------------

    def minimumSizeHint(self) -> QSize:
        return QSize(20 + NAME[0] + LEAST * len(self._stages), self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._record is None or not self._stages:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        name = min(max(NAME[0], (self.width() - 20) * 0.18), NAME[1])
        wide = max(float(LEAST), (self.width() - 24 - name) / len(self._stages))
        self._draw_heads(painter, 20 + name, wide)
        self._draw_ground(painter)
        for line in self._in_sight(event.rect().top(), event.rect().bottom()):
            self._draw_line(painter, line, name, wide)
        self._draw_focus(painter)

    def _draw_heads(self, painter: QPainter, left: float, wide: float) -> None:
        now = theme.current()
        painter.setFont(theme.font(theme.CAPTION))
        metrics = QFontMetricsF(painter.font())
        for column, stage in enumerate(self._stages):
            place = QRectF(left + column * wide, 0, wide - 4, self.top / 2)
            elided = metrics.elidedText(title(stage), Qt.TextElideMode.ElideRight, place.width())
            painter.setPen(QColor(now.text))
            painter.drawText(place, RIGHT, elided)
            gone = int(stage.cut.sum())
            painter.setPen(QColor(now.muted))
            stay = f"{int((stage.probabilities > 0).sum()):,}"
            short = left_words(stage) if wide > 110 else f"−{gone:,}" if gone else stay
            painter.drawText(place.translated(0, self.top / 2 - 3), RIGHT, short)

    def _draw_line(self, painter: QPainter, line: int, name: float, wide: float) -> None:
        assert self._record is not None
        now, index = theme.current(), self._indices[line]
        y, chosen = self.top + line * ROW, index == self._record.chosen
        gone = self._stages[-1].probabilities[index] <= 0
        if chosen:
            theme.icon("check", 14, "accent").paint(painter, 2, y + 6, 14, 14)
        painter.setFont(theme.font(theme.CONTROL, mono=True, bold=chosen))
        painter.setPen(QColor(now.accent if chosen else now.muted if gone else now.text))
        piece = visible(self._record.pieces[index], 18)
        words = QFontMetricsF(painter.font()).elidedText(piece, Qt.TextElideMode.ElideRight, name - 8)
        painter.drawText(QRectF(20, y, name - 8, ROW), LEFT, words)
        painter.setFont(theme.font(theme.CAPTION))
        for column, stage in enumerate(self._stages):
            cell = QRectF(20 + name + column * wide, y, wide - 4, ROW)
            share = float(stage.probabilities[index])
            if share > 0:
                bar = QRectF(cell.left() + 2, cell.bottom() - 6, (cell.width() - 2) * min(share, 1.0), 3)
                painter.fillRect(QRectF(bar.left(), bar.top(), cell.width() - 2, 3), QColor(now.faint))
                painter.fillRect(bar, QColor(now.accent if chosen else now.muted))
                painter.setPen(QColor(now.accent if chosen else now.text))
                painter.drawText(cell.adjusted(0, 0, 0, -5), RIGHT, number(share))
            elif stage.cut[index]:
                painter.setPen(QColor(now.muted))
                painter.drawText(cell.adjusted(0, 0, 0, -5), RIGHT, "cut")
