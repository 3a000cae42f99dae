"""The candidates of one token as bars: outlined before the sampler, filled after it, with the step that cut them.

It draws a record and knows nothing of where it comes from. The same numbers can be copied, and shown as a table.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent, QPen, QStaticText

from app import theme
from app.widgets.candidate_list import LEFT, RIGHT, ROW, CandidateList, shown_candidates
from app.widgets.order_list import step_words
from app.widgets.pieces import percent, visible
from engine import TokenRecord

NUMBER = 54  # the width of a column of numbers
HEAD = ("token", "id", "rank", "log-probability", "before", "after", "cut by", "chosen")


def number(probability: float) -> str:
    """A probability in percent with two decimals, without the sign."""
    return percent(probability).removesuffix(" %")


def cut_words(record: TokenRecord, index: int) -> str:
    """The step that removed a candidate, in lower case; "" where it survived."""
    step = int(record.cut[index])
    return step_words(record.steps[step]).lower() if 0 <= step < len(record.steps) else ""


def rank_of(record: TokenRecord, index: int) -> int:
    """The rank of a candidate, 1 for the likeliest: they are stored by rank, but for a drawn one of the tail."""
    return record.rank + 1 if index == record.chosen and record.rank > index else index + 1


def rows(record: TokenRecord, count: int) -> list[tuple[str, ...]]:
    """The candidates as rows of text under HEAD, probabilities as plain numbers, their logarithms in nats."""
    before = record.before
    return [
        (
            record.pieces[i], str(int(record.candidate_ids[i])), str(rank_of(record, i)),
            f"{float(record.logits[i]) - record.lse:.4f}", f"{before[i]:.6f}", f"{record.after[i]:.6f}",
            cut_words(record, i), "yes" if i == record.chosen else "",
        )
        for i in shown_candidates(record, count)
    ]  # fmt: skip


def as_text(record: TokenRecord, count: int, separator: str) -> str:
    """The rows with their head, for the clipboard; pieces as quoted strings, so that no blank is lost."""
    lines = [separator.join(HEAD)]
    for piece, *rest in rows(record, count):
        quoted = '"' + piece.replace('"', '""').replace("\n", "\\n").replace("\t", "\\t") + '"'
        lines.append(separator.join((quoted, *rest)))
    return "\n".join(lines)


@lru_cache(maxsize=4096)
def laid_out(text: str, mono: bool = False, bold: bool = False) -> QStaticText:
    """Words ready to be drawn: pieces and numbers come again with the next token, and to lay them out takes longest."""
    result = QStaticText(text)
    result.setTextFormat(Qt.TextFormat.PlainText)
    result.prepare(font=theme.font(theme.CONTROL if mono else theme.CAPTION, mono, bold))
    return result


def _write(painter: QPainter, x: float, y: float, words: QStaticText, share: float = 0) -> None:
    """In the middle of a row's height; share: how much of their width stands left of x."""
    size = words.size()
    painter.drawStaticText(QPointF(x - share * size.width(), y + (ROW - size.height()) // 2), words)


class TokenBars(CandidateList):
    """A bar before the sampling and one after it for every candidate."""

    def __init__(self) -> None:
        super().__init__("Candidates")

    def readout(self, line: int) -> str:
        assert self._record is not None
        record, index = self._record, self._indices[line]
        words = cut_words(record, index)
        chosen = ", chosen" if index == record.chosen else ""
        fate = f"cut by {words}" if words else f"after {percent(float(record.after[index]))}"
        before = percent(float(record.before[index]))
        rank = f"rank {rank_of(record, index)}, log-probability {float(record.logits[index]) - record.lse:.2f}"
        return f"{visible(record.pieces[index], 60)}: before {before}, {fate}, {rank}{chosen}"

    def as_text(self) -> str:
        assert self._record is not None
        return as_text(self._record, len(self._indices), "\t")

    # --- Qt -----------------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._record is None:
            return
        now, record, indices = theme.current(), self._record, self._indices
        text, muted, accent = QColor(now.text), QColor(now.muted), QColor(now.accent)
        small, mono = theme.font(theme.CAPTION), theme.font(theme.CONTROL, mono=True)
        bold = theme.font(theme.CONTROL, mono=True, bold=True)
        before, after, drawn = record.before[indices].tolist(), record.after[indices].tolist(), record.chosen
        top = max(*before, *after, 1e-9)
        pieces = [visible(record.pieces[i], 18) for i in indices]
        longest = max(laid_out(piece, mono=True).size().width() for piece in pieces) + 12
        name = max(min(longest, self.width() * 0.42), 64.0)
        place = QRectF(20 + name, 0, self.width() - 28 - name - 2 * NUMBER, ROW)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(small)
        self._draw_headings(painter, place)
        self._draw_ground(painter)
        for line in self._in_sight(event.rect().top(), event.rect().bottom()):
            y = self.top + line * ROW
            chosen, cut = indices[line] == drawn, cut_words(record, indices[line])
            if chosen:
                theme.icon("check", 14, "accent").paint(painter, 2, y + 6, 14, 14)
            words = pieces[line]
            if longest > name:
                words = QFontMetricsF(mono).elidedText(words, Qt.TextElideMode.ElideRight, name - 8)
            painter.setFont(bold if chosen else mono)
            painter.setPen(accent if chosen else muted if cut else text)
            _write(painter, 20, y, laid_out(words, mono=True, bold=chosen))
            self._draw_bar(painter, place.translated(0, y), before[line] / top, after[line] / top, chosen)
            painter.setFont(small)
            painter.setPen(muted)
            _write(painter, place.right() + NUMBER, y, laid_out(number(before[line])), 1)
            if cut:
                start = place.left() + max(4.0, place.width() * before[line] / top) + 8
                painter.drawText(QRectF(start, y, max(0.0, place.right() - start), ROW), LEFT, cut)
            else:
                painter.setPen(accent if chosen else text)
            left = laid_out("cut" if cut else number(after[line]))
            _write(painter, place.right() + 2 * NUMBER, y, left, 1)
        self._draw_focus(painter)

    def _draw_headings(self, painter: QPainter, place: QRectF) -> None:
        painter.setPen(QColor(theme.current().muted))
        line = QRectF(place.right(), 0, NUMBER, self.top)
        painter.drawText(line, RIGHT, "before %")
        painter.drawText(line.translated(NUMBER, 0), RIGHT, "after %")
        if place.width() > 190:
            painter.drawText(QRectF(place.left(), 0, place.width(), self.top), LEFT, "outline before, filled after")

    @staticmethod
    def _draw_bar(painter: QPainter, place: QRectF, before: float, after: float, chosen: bool) -> None:
        now = theme.current()
        bar = place.adjusted(0, 6, 0, -6)
        painter.setPen(Qt.PenStyle.NoPen)
        if after > 0:
            painter.setBrush(QColor(now.accent if chosen else now.muted))
            painter.setOpacity(1.0 if chosen else 0.55)
            painter.drawRoundedRect(QRectF(bar.left(), bar.top(), max(2.0, bar.width() * after), bar.height()), 3, 3)
            painter.setOpacity(1.0)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(now.text if chosen else now.muted), 1))
        outline = QRectF(bar.left(), bar.top(), max(2.0, bar.width() * before), bar.height())
        painter.drawRoundedRect(outline.adjusted(0.5, 0.5, -0.5, -0.5), 3, 3)


def _short(value: float) -> str:
    """A number of three figures, so that it takes the same room whatever it is; a tiny negative one is 0.00."""
    value = round(value, 2) + 0.0  # minus zero becomes zero
    return (f"{value:.2f}" if abs(value) < 9.995 else f"{value:.1f}").replace("-", "\N{MINUS SIGN}")


def summary(record: TokenRecord) -> list[tuple[str, str, str]]:
    """Name, value and explanation of what describes a drawn token."""
    index = record.chosen
    after = percent(float(record.after[index])) if index >= 0 else "not captured"
    surprise = -record.logprob / float(np.log(2))
    return [
        ("Before", percent(float(np.exp(record.logprob))), "Probability under the model's raw distribution"),
        ("After", after, "Probability in the draw, after all sampling steps"),
        ("Rank", f"{record.rank + 1:,}", "1 is the likeliest token"),
        ("Log-probability", f"{_short(record.logprob)} nats", "The natural logarithm of the probability before"),
        ("Entropy", f"{_short(record.entropy)} nats", "How undecided the model was over its whole vocabulary"),
        ("Surprise", f"{_short(surprise)} bits", "Minus the logarithm of the probability before"),
    ]
