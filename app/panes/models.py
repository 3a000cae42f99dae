"""The Models pane: the models of this machine folder by folder, how one is loaded, and the way to bring another.

Models can be dropped anywhere on it. Looking into folders and loading are the engine's work.
"""

from __future__ import annotations

import os
from pathlib import Path

from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent, QShowEvent
from PySide6.QtWidgets import QFileDialog, QFrame, QHBoxLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

from app import theme
from app.state import State
from app.state.adapters import USUAL
from app.widgets.adapter_card import AdapterView
from app.widgets.draft_chooser import DraftChooser
from app.widgets.dropped import files_of
from app.widgets.form import Form
from app.widgets.kept_line import KeptLine
from app.widgets.loading_strip import LoadingStrip
from app.widgets.model_card import memory_words, words
from app.widgets.model_list import ModelList
from app.widgets.named import named, quiet_button, toggle_button
from app.widgets.notice import Notice
from engine import AdapterCard, LoadParams, ModelCard, ModelInfo, Progress, Stats

NAME, TITLE, ICON = "models", "Models", "layers"
CHOOSE = "Choose a model's folder, or a folder of models"
HELP = (
    "To bring a real model, download a .gguf file, or a model's whole folder in safetensors form (config.json, "
    "tokenizer.json, tokenizer_config.json and the .safetensors files), then add its folder here or drop it on the "
    "window. It needs at least as much memory as its files are large. A LoRA adapter (adapter_config.json and "
    "adapter_model.safetensors) comes the same way. Vitrine itself downloads nothing."
)


class Pane(QWidget):
    """A view of state.models and state.adapters, of what state.workspace loads, and of what drafts for it."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.setObjectName("pane")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAcceptDrops(True)
        self._models, self._workspace, self._drafting = state.models, state.workspace, state.drafting
        self._adapters = state.adapters
        self._shown: object = None
        self._brought = ""  # the path of an adapter that was dropped, and is to be seen
        self.notice = Notice()
        self.loading = LoadingStrip()
        self.loading.cancelled.connect(self._workspace.cancel_load)
        self.drafts = DraftChooser()
        self.drafts.setParent(self)
        self.drafts.hide()
        self.drafts.chosen.connect(self._drafting.load)
        self.drafts.cancelled.connect(self._drafting.cancel)
        self._reveal = QTimer(self, singleShot=True, interval=0)  # once the cards have their places
        self._reveal.timeout.connect(self._show_current)
        self._settled = QTimer(self, singleShot=True, interval=500)
        self._settled.timeout.connect(self._forget_brought)
        self.kept = KeptLine()
        self.kept.cleared.connect(self._models.clear_kept)
        self.list = ModelList()
        self.list.load.connect(self._models.load)
        self.list.unload.connect(self._workspace.unload)
        self.list.removed.connect(self._models.remove_folder)
        self.list.used.connect(lambda path, on: self._adapters.set_weight(path, USUAL if on else 0.0))
        self.cards, self.removers = self.list.cards, self.list.removers
        column = QVBoxLayout(self)
        column.setContentsMargins(2, 2, 2, 2)  # room for the frame that says a folder can be dropped
        column.setSpacing(0)
        column.addLayout(self._make_head())
        column.addWidget(self._make_scroll(), 1)
        self._models.cards_changed.connect(self._on_cards)
        self._adapters.changed.connect(self._show_cards)
        self._models.forecasts_changed.connect(self._show_forecasts)
        self._models.failed.connect(lambda message, hint: self.notice.fail(message, hint, ""))
        self._models.adapters_brought.connect(self._on_brought)
        self._models.kept_changed.connect(self._show_kept)
        self._drafting.changed.connect(self._show_drafting)
        self._drafting.failed.connect(lambda message, hint, _: self.notice.fail(message, hint, ""))
        state.conversation.stats_changed.connect(self._show_drafts)
        self._workspace.model_changed.connect(self._on_model)
        self._workspace.loading_changed.connect(self._show_loading)
        # The details are told in the chat, which has the room for them.
        self._workspace.load_failed.connect(self._on_load_failed)
        theme.theme_changed.connect(self._tint)
        self._tint()
        self._mark_params()
        if self._models.cards:
            self._show_cards()
        self._show_loading(self._workspace.loading)

    # --- parts --------------------------------------------------------------------------------------------------------

    def _make_head(self) -> QVBoxLayout:
        self.add = named(QPushButton(" Add a folder"), "addFolder", "Add a folder")
        self.add.setToolTip(CHOOSE)
        self.add.clicked.connect(self._choose_folder)
        self.how = toggle_button("loadParams", "How to load")
        self.look = quiet_button("modelsRefresh", "Look through the folders again")
        self.look.clicked.connect(self._models.refresh)
        self.setFocusProxy(self.add)
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self.add)
        line.addWidget(self.how)
        line.addStretch(1)
        line.addWidget(self.look)
        head = QVBoxLayout()
        head.setContentsMargins(10, 10, 10, 8)
        head.setSpacing(8)
        head.addLayout(line)
        head.addWidget(self.loading)
        head.addWidget(self.notice)
        return head

    def _make_scroll(self) -> QScrollArea:
        holder = QWidget()
        inner = QVBoxLayout(holder)
        inner.setContentsMargins(10, 0, 10, 12)
        inner.setSpacing(12)
        inner.addWidget(self._make_params())
        inner.addWidget(self.list)
        inner.addWidget(self.kept)
        inner.addWidget(words(HELP, "caption"))
        inner.addStretch(1)
        scroll = self._scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setWidget(holder)
        scroll.verticalScrollBar().rangeChanged.connect(self._on_range)
        scroll.viewport().setAutoFillBackground(False)
        holder.setAutoFillBackground(False)
        return scroll

    def _make_params(self) -> QWidget:
        self.form = Form(self._models.load_params, headings=False)
        self.form.changed.connect(self._on_params)
        self.form.reset.connect(self._on_reset)
        self.again = named(QPushButton("Load the model again with these"), "loadAgain")
        self.again.clicked.connect(self._load_again)
        holder = QWidget()
        column = QVBoxLayout(holder)
        column.setContentsMargins(0, 0, 0, 8)
        column.setSpacing(8)
        column.addWidget(self.form)
        column.addWidget(self.again, 0, Qt.AlignmentFlag.AlignLeft)
        self.how.toggled.connect(holder.setVisible)
        holder.hide()
        return holder

    # --- drawing ------------------------------------------------------------------------------------------------------

    def _show_cards(self, *_: object) -> None:
        """Make the cards anew if any is another, and mark the one in use."""
        self.look.setEnabled(not self._models.scanning)
        models, folders, info = self._models.cards, self._models.folders, self._workspace.info
        adapters = self._adapters.cards()
        strange = info if info and not any(_same(model.path, info.path) for model in models) else None
        wanted = (models, folders, strange, adapters)
        if wanted != self._shown and (models or not self._models.scanning):
            self._shown = wanted
            self.drafts.setParent(self)  # its card goes
            self.drafts.hide()
            place = {model.path: "" if model.bundled else self._models.folder_of(model.path) for model in models}
            places = [(adapter, self._models.folder_of(adapter.path)) for adapter in adapters]
            self.list.show_models(
                _card_of(strange) if strange is not None else None,
                [model for model in models if not place[model.path]],
                [
                    (
                        folder,
                        [model for model in models if place[model.path] == folder],
                        [adapter for adapter, where in places if where == folder],
                    )
                    for folder in folders
                ],
            )
        self._show_forecasts()
        self._show_states()
        self._on_range()

    def _show_states(self) -> None:
        info, workspace = self._workspace.info, self._workspace
        for card in self.cards:
            loading = workspace.loading is not None and _same(card.card.path, workspace.loading_path)
            current = info is not None and _same(card.card.path, info.path)
            told = (info.runs, memory_words(info)) if info is not None and current else ()
            card.show_state(current, loading, " ".join(filter(None, told)))
        for adapter in self.list.adapters:
            adapter.show_weight(self._adapters.weight(adapter.card.path), info is not None)
        holder = self.list.current
        if holder is not None and self._drafting.possible:
            holder.adopt(self.drafts)
        else:
            self.drafts.hide()
        self.again.setVisible(info is not None)

    def _show_current(self) -> None:
        """Scroll to the card of what was dropped, else of the model in use, to its head where the whole is too high."""
        current = self._dropped or self.list.current
        if current is not None:
            self._scroll.ensureWidgetVisible(current, 0, 8)
            bar = self._scroll.verticalScrollBar()
            bar.setValue(min(bar.value(), self.list.y() + current.mapTo(self.list, QPoint(0, -8)).y()))

    def _forget_brought(self) -> None:
        self._brought = ""

    def _show_forecasts(self) -> None:
        for card in self.cards:
            card.show_forecast(self._models.forecasts.get(card.card.path))

    def _show_drafting(self) -> None:
        drafting = self._drafting
        self.drafts.show_models(drafting.offers, drafting.chosen)
        self.drafts.show_progress(drafting.loading)
        if not drafting.path:
            self.drafts.show_drafts(None)

    def _show_drafts(self, stats: Stats) -> None:
        self.drafts.show_drafts(stats if self._drafting.path else None)

    def _show_kept(self) -> None:
        self.kept.show_kept(self._models.kept, self._models.clearing)

    @property
    def _dropped(self) -> AdapterView | None:
        """The card of the adapter that was dropped just now."""
        return next((view for view in self.list.adapters if view.card.path == self._brought), None)

    def _on_brought(self, cards: tuple[AdapterCard, ...]) -> None:
        self._brought = cards[0].path

    def _on_range(self) -> None:
        """Cards have moved, as they do while they find their places."""
        if self._dropped is not None:
            self._reveal.start()
            self._settled.start()

    def _on_cards(self) -> None:
        self._show_cards()
        if self.isVisible() and not self._models.scanning:
            self._drafting.ask()

    def _on_model(self, _: ModelInfo | None) -> None:
        """Another model is in use: what goes with it, and what was kept of it."""
        self._show_cards()
        if self.isVisible():
            self._ask()
            self._reveal.start()

    def _ask(self) -> None:
        """What can change while the pane is out of sight: memory is taken and freed, models are quantised."""
        self._drafting.ask()
        self._models.ask_kept()

    def _on_load_failed(self, message: str, hint: str, _: str) -> None:
        """Say what went wrong, and offer the precision that fits where it was for want of memory."""
        path = self._workspace.loading_path
        forecast = next((each for key, each in self._models.forecasts.items() if _same(key, path)), None)
        instead = forecast.instead if forecast is not None else ""
        action = f"Load in {instead}" if instead else ""
        self.notice.fail(message, hint, "", action, lambda: self._models.load(path, instead))

    def _show_loading(self, progress: Progress | None) -> None:
        path = self._workspace.loading_path
        if progress is not None and self.loading.isHidden():
            self.notice.hide()
        names = (model.name for model in self._models.cards if _same(model.path, path))
        self.loading.show_progress(next(names, Path(path).name), progress)
        self._show_states()

    def _mark_params(self) -> None:
        usual, now = self._models.usual_load_params, self._models.load_params
        self.form.set_baseline(usual, lambda name: getattr(now, name) != getattr(usual, name))

    def _tint(self, *_: object) -> None:
        self.add.setIcon(theme.icon("folder-plus"))
        self.look.setIcon(theme.icon("refresh-cw", 16, "muted"))

    # --- what the person does -----------------------------------------------------------------------------------------

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, CHOOSE)
        if folder:
            self._models.add_folder(folder)

    def _on_params(self, params: LoadParams) -> None:
        self._models.set_load_params(params)
        self._mark_params()

    def _on_reset(self, name: str) -> None:
        params = self._models.load_params.replace(**{name: getattr(self._models.usual_load_params, name)})
        self.form.set_params(params)
        self._on_params(params)

    def _load_again(self) -> None:
        if self._workspace.info is not None:
            self._models.load(self._workspace.info.path)

    # --- Qt -----------------------------------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if files_of(event.mimeData()):
            event.acceptProposedAction()
            self._show_dropping(True)

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._show_dropping(False)

    def dropEvent(self, event: QDropEvent) -> None:
        self._show_dropping(False)
        self.notice.hide()
        self._models.open(files_of(event.mimeData()))
        event.acceptProposedAction()

    def _show_dropping(self, on: bool) -> None:
        self.setProperty("dropping", on)
        self.style().unpolish(self)
        self.style().polish(self)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not self._models.cards and not self._models.scanning:
            self._models.refresh()
        else:
            self._models.ask_forecasts()
        self._ask()
        self._reveal.start()


def _same(one: str, other: str) -> bool:
    return os.path.normpath(one) == os.path.normpath(other)


def _card_of(info: ModelInfo) -> ModelCard:
    """What is known of a loaded model that no folder here holds."""
    return ModelCard(
        path=info.path, name=info.name, family=info.family, kind=info.kind, supported=True,
        parameters=info.parameters, context=info.context, precision=info.precision, chat_template=info.chat_template,
    )  # fmt: skip
