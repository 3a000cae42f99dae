"""The Models pane: the models on this machine, what each is, and the way to bring another one."""

from __future__ import annotations

import os

from PySide6.QtCore import Qt
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent, QShowEvent
from PySide6.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.state import State
from app.widgets.form import Form
from app.widgets.model_card import Card
from app.widgets.named import named, quiet_button, toggle_button
from app.widgets.notice import Notice
from engine import LoadParams, Progress

NAME, TITLE, ICON = "models", "Models", "layers"
HELP = (
    "The models that come with Vitrine are tiny: good for seeing how it works, not for answers to rely on. "
    "To bring a real one, download the whole folder of a Llama model in safetensors form (config.json, "
    "tokenizer.json and the .safetensors files), then add that folder here or drop it on this pane."
)


class Pane(QWidget):
    """A view of state.models and of the load going on in state.workspace."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.setObjectName("pane")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAcceptDrops(True)
        self._models = state.models
        self._workspace = state.workspace
        self.cards: list[Card] = []
        self.notice = Notice()
        self.form = Form(state.models.load_params, headings=False)
        self.form.changed.connect(self._on_params)
        self.form.reset.connect(self._on_reset)
        self.form.hide()
        self._list = QVBoxLayout()
        self._list.setSpacing(8)
        words = QLabel(HELP)
        words.setWordWrap(True)
        words.setProperty("role", "caption")
        holder = QWidget()
        inner = QVBoxLayout(holder)
        inner.setContentsMargins(12, 4, 12, 12)
        inner.setSpacing(8)
        inner.addWidget(self.form)
        inner.addLayout(self._list)
        inner.addWidget(words)
        inner.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setWidget(holder)
        scroll.viewport().setAutoFillBackground(False)
        holder.setAutoFillBackground(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(self._make_head())
        column.addWidget(self._make_loading())
        line = QHBoxLayout()
        line.setContentsMargins(12, 0, 12, 0)
        line.addWidget(self.notice)
        column.addLayout(line)
        column.addWidget(scroll, 1)
        self._models.cards_changed.connect(self._show_cards)
        self._models.failed.connect(lambda message, hint: self.notice.fail(message, hint, ""))
        self._workspace.model_changed.connect(self._show_cards)
        self._workspace.loading_changed.connect(self._show_loading)
        # The details are told in the chat, which has the room for them.
        self._workspace.load_failed.connect(lambda message, hint, _: self.notice.fail(message, hint, ""))
        theme.theme_changed.connect(self._tint)
        self._tint()
        self._show_cards()
        self._show_loading(self._workspace.loading)

    def _make_head(self) -> QHBoxLayout:
        self.add = QPushButton("Add a folder")
        self.add.clicked.connect(self._choose_folder)
        self.how = toggle_button("loadParams", "How to load")
        self.how.setToolTip("Device, threads and precision of the next model that is loaded")
        self.how.toggled.connect(self.form.setVisible)
        self.look = quiet_button("modelsRefresh", "Look through the folders again")
        self.look.clicked.connect(self._models.refresh)
        line = QHBoxLayout()
        line.setContentsMargins(12, 12, 12, 4)
        line.setSpacing(4)
        line.addWidget(self.add)
        line.addWidget(self.how)
        line.addStretch(1)
        line.addWidget(self.look)
        return line

    def _make_loading(self) -> QWidget:
        self.loading = QWidget()
        self.phase = named(QLabel(), "loadPhase", "Loading")
        self.phase.setProperty("role", "caption")
        self.bar = named(QProgressBar(), "loadProgress", "Loading a model")
        self.bar.setTextVisible(False)
        self.cancel = QPushButton("Cancel")
        self.cancel.setAccessibleName("Cancel loading")
        self.cancel.clicked.connect(self._workspace.cancel_load)
        line = QHBoxLayout()
        line.addWidget(self.bar, 1)
        line.addWidget(self.cancel)
        column = QVBoxLayout(self.loading)
        column.setContentsMargins(12, 0, 12, 4)
        column.setSpacing(2)
        column.addWidget(self.phase)
        column.addLayout(line)
        self.loading.hide()
        return self.loading

    # --- drawing ------------------------------------------------------------------------------------------------------

    def _show_cards(self, *_: object) -> None:
        """Make the cards anew, the loaded one marked; those that talk first, those that cannot be run last."""
        focused = next((card.card.path for card in self.cards if card.button.hasFocus()), "")
        for old in self.cards:
            self._list.removeWidget(old)
            old.hide()
            old.deleteLater()
        loaded = self._workspace.info.path if self._workspace.info else ""
        self.cards = []
        for model in sorted(self._models.cards, key=lambda m: (not m.supported, not m.chat_template)):
            folder = self._models.folder_of(model)
            card = Card(model, current=bool(loaded) and _same(model.path, loaded), added=bool(folder))
            card.load.connect(self._models.load)
            card.forget.connect(lambda folder=folder: self._models.remove_folder(folder))
            self._list.addWidget(card)
            self.cards.append(card)
            if model.path == focused:
                card.button.setFocus()
        self.look.setEnabled(not self._models.scanning)

    def _show_loading(self, progress: Progress | None) -> None:
        self.loading.setVisible(progress is not None)
        if progress is None:
            return
        self.notice.hide()
        name = os.path.basename(os.path.normpath(self._workspace.loading_path))
        count = f" {progress.done} of {progress.total}" if progress.total else ""
        self.phase.setText(f"{name}: {progress.phase.lower()}{count}")
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)

    def _tint(self, *_: object) -> None:
        self.add.setIcon(theme.icon("folder-plus"))
        self.look.setIcon(theme.icon("refresh-cw", 16, "muted"))
        for card in self.cards:
            card.remove.setIcon(theme.icon("x", 16, "muted"))

    # --- what the person does -----------------------------------------------------------------------------------------

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Choose the folder that holds the model's files")
        if folder:
            self._models.add_folder(folder)

    def _on_params(self, params: LoadParams) -> None:
        self._models.set_load_params(params)

    def _on_reset(self, name: str) -> None:
        params = self._models.load_params.replace(**{name: getattr(LoadParams(), name)})
        self._models.set_load_params(params)
        self.form.set_params(params)

    # --- Qt -----------------------------------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if _folders(event):
            event.acceptProposedAction()
            self._show_dropping(True)

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._show_dropping(False)

    def dropEvent(self, event: QDropEvent) -> None:
        self._show_dropping(False)
        for folder in _folders(event):
            self._models.add_folder(folder)
        event.acceptProposedAction()

    def _show_dropping(self, on: bool) -> None:
        self.setProperty("dropping", on)
        self.style().unpolish(self)
        self.style().polish(self)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not self._models.cards and not self._models.scanning:
            self._models.refresh()


def _folders(event: QDropEvent) -> list[str]:
    """The folders that are dragged; a file stands for the folder it lies in."""
    paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
    return list(dict.fromkeys(path if os.path.isdir(path) else os.path.dirname(path) for path in paths if path))


def _same(one: str, other: str) -> bool:
    return os.path.normpath(one) == os.path.normpath(other)
