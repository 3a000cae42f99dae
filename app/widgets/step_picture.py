"""Tiny pictures of what a sampling step does: a dozen made-up tokens, outlined before the step and filled after it.

The formulas are the engine's, written small for a picture; the engine alone decides what is drawn in an answer.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from app import theme
from engine import Param

LOGITS = np.log(np.array([0.30, 0.19, 0.13, 0.1, 0.075, 0.06, 0.045, 0.035, 0.025, 0.02, 0.012, 0.008]))
REPEATED = np.array([2, 0, 1, 0, 0, 3, 0, 0, 0, 0, 0, 0])  # how often each was written before
EXAMPLES = {
    "temperature": 0.5, "top_k": 5, "top_p": 0.8, "min_p": 0.2, "typical_p": 0.6,
    "top_n_sigma": 1.0, "tail_free": 0.6, "top_a": 0.6, "smoothing": 0.8,
    "repetition_penalty": 1.4, "frequency_penalty": 0.6, "presence_penalty": 1.0,
}  # fmt: skip

Vector = npt.NDArray[np.float64]


def softmax(logits: Vector) -> Vector:
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())


def after(name: str, value: float) -> Vector:
    """The probabilities after one step at this value."""
    before = softmax(LOGITS)
    keep = np.ones(len(before), bool)
    logits = LOGITS.copy()
    match name:
        case "temperature":
            logits = LOGITS / value if value > 0 else np.where(before == before.max(), 0.0, -np.inf)
        case "top_k":
            keep = np.arange(len(before)) < value
        case "top_p":
            keep = before.cumsum() - before < value
        case "min_p":
            keep = before >= value * before[0]
        case "typical_p":
            order = np.argsort(np.abs(-np.log(before) + (before * np.log(before)).sum()))
            keep[order] = before[order].cumsum() - before[order] < value
        case "top_n_sigma":
            keep = LOGITS.max() - value * LOGITS.std() <= LOGITS
        case "tail_free":
            bends = np.abs(np.diff(before, 2))
            keep = np.arange(len(before)) <= (bends.cumsum() / bends.sum() <= value).sum()
        case "top_a":
            keep = before >= value * before[0] ** 2
        case "smoothing":
            logits = -value * (LOGITS - LOGITS.max()) ** 2
        case "repetition_penalty":
            logits = np.where(REPEATED > 0, LOGITS * value, LOGITS)
        case "frequency_penalty":
            logits = LOGITS - REPEATED * value
        case "presence_penalty":
            logits = LOGITS - (REPEATED > 0) * value
    keep[0] |= not keep.any()
    return softmax(np.where(keep, logits, -np.inf))


class StepPicture(QWidget):
    """value: where the knob stands; an example takes its place where that changes nothing to be seen."""

    def __init__(self, knob: Param, value: float) -> None:
        super().__init__()
        shown = EXAMPLES[knob.name] if value == knob.off else value
        self._after = after(knob.name, shown)
        self._words = f"{knob.label} {shown:g}"
        self.setFixedSize(260, 96)
        self.setAccessibleName(f"Twelve tokens before and after {self._words}")

    def paintEvent(self, event: QPaintEvent) -> None:
        now = theme.current()
        painter = QPainter(self)
        before = softmax(LOGITS)
        highest = max(before.max(), self._after.max())
        step, ground = self.width() / len(before), self.height() - 20
        for index, (old, new) in enumerate(zip(before, self._after)):
            x = index * step + 2
            filled, outlined = ((ground - 2) * p / highest for p in (new, old))
            painter.fillRect(QRectF(x, ground - filled, step - 4, filled), QColor(now.accent))
            painter.setPen(QPen(QColor(now.muted), 1))
            painter.drawRect(QRectF(x + 0.5, ground - outlined, step - 5, outlined))
        painter.setFont(theme.font(theme.CAPTION))
        painter.setPen(QColor(now.muted))
        below = QRectF(0, ground + 2, self.width(), 18)
        painter.drawText(below, Qt.AlignmentFlag.AlignVCenter, f"Outline: before. Filled: {self._words}.")


def picture(knob: Param, value: float) -> QWidget | None:
    """The picture for a knob, if it is a step."""
    return StepPicture(knob, value) if knob.name in EXAMPLES else None
