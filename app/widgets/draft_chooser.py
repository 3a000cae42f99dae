"""Which smaller model drafts for the loaded one, how far its loading is, and what its drafts were worth."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app import theme
from app.widgets.model_box import ModelBox, Offer
from app.widgets.model_card import words
from app.widgets.named import named, quiet_button, slim_bar
from engine import Progress, Stats

NOBODY = "No draft model"
WHY = "A smaller model with the same tokenizer guesses ahead: answers come sooner, and stay the same."
NONE_FITS = "No model here is smaller and has the same tokenizer."


class DraftChooser(QWidget):
    """chosen: the path of a model, "" for none. cancelled: of the one being loaded."""

    chosen = Signal(str)
    cancelled = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.models = named(ModelBox(NOBODY), "draftModel", "Draft model")
        self.models.chosen.connect(self.chosen)
        self._phase = words("", "caption", wrap=False)
        self._bar = slim_bar("Loading of the draft model", 80)
        self.cancel = quiet_button("draftCancel", "Cancel loading the draft model", 24)
        self.cancel.clicked.connect(self.cancelled)
        self._told = words("", "caption")
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(QLabel("Draft model"))
        row.addWidget(self.models, 1)
        going = QHBoxLayout()
        going.setSpacing(8)
        going.addWidget(self._phase, 1)
        going.addWidget(self._bar)
        going.addWidget(self.cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.setSpacing(4)
        column.addLayout(row)
        column.addLayout(going)
        column.addWidget(self._told)
        theme.theme_changed.connect(self._tint)
        self._tint()
        self.show_progress(None)
        self.show_drafts(None)

    @property
    def told(self) -> str:
        return self._told.text()

    def show_models(self, offers: Sequence[Offer], chosen: str) -> None:
        """The models to choose from, and the path of the one that drafts."""
        self.models.show_models(offers, chosen)
        any_fits = any(not why for _, _, why in offers)
        told = WHY if any_fits or chosen or not offers else f"{WHY} {NONE_FITS}"
        self.models.setToolTip(told)
        self.models.setAccessibleDescription(told)

    def show_progress(self, progress: Progress | None) -> None:
        for part in (self._phase, self._bar, self.cancel):
            part.setVisible(progress is not None)
        if progress is not None:
            self._phase.setText(progress.phase)
            self._bar.setRange(0, progress.total)
            self._bar.setValue(progress.done)

    def show_drafts(self, stats: Stats | None) -> None:
        """What drafting gave the last answer; None: there is none yet."""
        self._told.setVisible(stats is not None)
        if stats is not None:
            self._told.setText(f"Last answer: {drafts_words(stats)}.")

    def _tint(self, *_: object) -> None:
        self.cancel.setIcon(theme.icon("x", 16, "muted"))


def drafts_words(stats: Stats) -> str:
    """How many drafted tokens were right."""
    if not stats.drafted:
        return "nothing was drafted"
    return f"{stats.accepted:,} of {stats.drafted:,} drafted tokens were right"
