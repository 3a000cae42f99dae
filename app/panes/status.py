"""The strip at the foot of the window: model, device, precision; how full the context is; how fast it writes."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel

from app import theme
from app.state import State
from app.state.adapters import changed_by
from app.widgets.named import named, quiet_button, slim_bar
from engine import ModelInfo, Progress, Stats

NAME = "status"
ROOMY = 560  # pixels: narrower, the bar of the context goes
UNREAD = "Counted when the model reads this chat, with the next message"


class Pane(QFrame):
    def __init__(self, state: State) -> None:
        super().__init__()
        self.setObjectName("statusStrip")
        self._state = state
        self._chat = ""  # whose numbers are shown
        self._model = named(QLabel(), "caption")
        self._loading = slim_bar("Loading the model", 140)
        self._cancel = quiet_button("cancelLoad", "Cancel loading", 24)
        self._cancel.clicked.connect(state.workspace.cancel_load)
        self._used = named(QLabel(), "caption")
        self._context = slim_bar("Context used", 120)
        self._speed = named(QLabel(), "caption")
        self._speed.setText("10,000 tok/s")
        for label in (self._used, self._speed):
            label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 3, 12, 3)
        row.setSpacing(8)
        row.addWidget(self._model)
        row.addWidget(self._loading)
        row.addWidget(self._cancel)
        row.addStretch(1)
        row.addWidget(self._used)
        row.addWidget(self._context)
        row.addWidget(self._speed)
        keep_size(self._speed)
        self.setFixedHeight(30)
        state.workspace.model_changed.connect(self._show_model)
        state.adapters.changed.connect(self._show_name)
        state.workspace.loading_changed.connect(self._show_loading)
        state.conversation.stats_changed.connect(self._show_stats)
        state.conversation.path_changed.connect(self._on_path)
        theme.theme_changed.connect(self._show_icons)
        self._show_icons()
        self._show_model(state.workspace.info)
        self._show_loading(state.workspace.loading)

    def _show_model(self, info: ModelInfo | None) -> None:
        if info is None:
            self._model.setText("No model is loaded")
            self._model.setToolTip("")
            self._model.setAccessibleDescription("")
            self._used.clear()
        else:
            self._model.setToolTip(info.runs)
            self._model.setAccessibleDescription(info.runs)
            self._used.setText(f"context {info.context:,} / {info.context:,}")
            keep_size(self._used)
            self._context.setRange(0, info.context)
        self._show_name()
        self._fit()
        self._show_unread()

    def _on_path(self) -> None:
        """In another chat, what was counted is of the one before."""
        if self._state.conversation.chat.id != self._chat:
            self._chat = self._state.conversation.chat.id
            self._show_unread()

    def _show_unread(self) -> None:
        """How much of the context a chat takes is not known before the model reads it."""
        info = self._state.workspace.info
        if info is not None:
            unknown = bool(self._state.conversation.path)
            self._used.setText(f"context {'?' if unknown else 0} / {info.context:,}")
            self._used.setToolTip(UNREAD if unknown else "")
        self._context.setValue(0)
        self._speed.clear()

    def _show_name(self) -> None:
        """The model, what it is changed by, and how it runs."""
        info, adapters = self._state.workspace.info, self._state.adapters
        if info is not None and self._state.workspace.loading is None:
            name = f"{info.name} {changed_by(adapters.uses)}".strip()
            threads = f" · {info.threads} thread{'s' * (info.threads != 1)}" if info.device.lower() == "cpu" else ""
            self._model.setText(f"{name} · {info.device.upper()} {info.precision}{threads}")

    def _show_loading(self, progress: Progress | None) -> None:
        for widget in (self._loading, self._cancel):
            widget.setVisible(progress is not None)
        if progress is None:
            self._show_model(self._state.workspace.info)
            return
        self._model.setText(progress.phase.capitalize())
        self._loading.setRange(0, progress.total)
        self._loading.setValue(progress.done)

    def _show_stats(self, stats: Stats) -> None:
        self._used.setText(f"context {stats.context_used:,} / {stats.context_total:,}")
        self._used.setToolTip("")
        self._context.setRange(0, stats.context_total)
        self._context.setValue(stats.context_used)
        self._speed.setText(f"{stats.tokens_per_second:,.0f} tok/s" if stats.tokens_per_second else "")
        drafted = f"{stats.tokens_per_pass:.1f} tokens for each pass of the model: drafted ones were right"
        self._speed.setToolTip(drafted if stats.tokens_per_pass >= 1.05 else "")
        self._speed.setAccessibleDescription(self._speed.toolTip())

    def _fit(self) -> None:
        """The bar goes first: its numbers stand beside it."""
        self._context.setVisible(self._state.workspace.info is not None and self.width() >= ROOMY)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _show_icons(self, *_: object) -> None:
        self._cancel.setIcon(theme.icon("x", 16, "muted"))


def keep_size(label: QLabel) -> None:
    """As large as what it says now: other words will not have the window laid out again."""
    label.ensurePolished()
    label.setFixedSize(label.sizeHint())
