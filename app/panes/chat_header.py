"""The head of the chat: which model, which mode, and what the model is told first."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPlainTextEdit, QPushButton, QVBoxLayout

from app import theme
from app.state import State
from app.widgets.named import named, toggle_button
from engine import Chat, ModelInfo, Progress

ROOMY = 520  # pixels: narrower, words give way to icons
WHY_COMPLETE = "{name} has no chat template: it continues text, it does not take turns."


class ChatHeader(QFrame):
    """models_wanted: the model's name was clicked."""

    models_wanted = Signal()

    def __init__(self, state: State) -> None:
        super().__init__()
        self.setObjectName("chatHeader")
        self._state = state
        self._name = ""
        self._model = named(QPushButton(), "modelName")
        self._model.setIconSize(QSize(16, 16))
        self._model.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
        self._model.setToolTip("Choose a model")
        self._model.clicked.connect(self.models_wanted)
        self._system_button = toggle_button("systemButton", " System prompt")
        self._system_button.setIconSize(QSize(16, 16))
        self._system_button.setToolTip("What the model is told first")
        self._system_button.toggled.connect(self._on_fold)
        self.chat_button = toggle_button("segmentLeft", "Chat")
        self.complete_button = toggle_button("segmentRight", "Complete")
        self.chat_button.setToolTip("Take turns, in the model's own format")
        self.complete_button.setToolTip("Continue one text")
        self.chat_button.clicked.connect(lambda: self._ask_mode("chat"))
        self.complete_button.clicked.connect(lambda: self._ask_mode("complete"))
        for button in (self._model, self._system_button, self.chat_button, self.complete_button):
            button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            button.setAccessibleName(button.text().strip())
        self._why = named(QLabel(wordWrap=True), "caption")
        self._system = named(QPlainTextEdit(tabChangesFocus=True), "systemText")
        self._system.setAccessibleName("System prompt")
        self._system.setPlaceholderText("Told to the model first. It counts from the next answer on.")
        self._system.setFixedHeight(84)
        self._system.textChanged.connect(lambda: state.conversation.set_system(self._system.toPlainText()))
        segments = QHBoxLayout()
        segments.setSpacing(0)
        segments.addWidget(self.chat_button)
        segments.addWidget(self.complete_button)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self._model)
        row.addStretch(1)
        row.addWidget(self._system_button)
        row.addLayout(segments)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 12, 8)
        column.setSpacing(6)
        column.addLayout(row)
        column.addWidget(self._why)
        column.addWidget(self._system)
        state.workspace.model_changed.connect(self._show_model)
        state.workspace.loading_changed.connect(self._on_loading)
        state.conversation.chat_changed.connect(self._show_chat)
        theme.theme_changed.connect(self._show_icons)
        self._show_icons()
        self._show_model(state.workspace.info)
        self._show_chat(state.conversation.chat)

    def _ask_mode(self, mode: str) -> None:
        self._state.conversation.set_mode(mode)
        self._show_chat(self._state.conversation.chat)

    def _show_chat(self, chat: Chat) -> None:
        complete = chat.mode == "complete"
        self.chat_button.setChecked(not complete)
        self.complete_button.setChecked(complete)
        self._system_button.setVisible(not complete)
        self._fit()
        if chat.system != self._system.toPlainText():
            self._system.blockSignals(True)
            self._system.setPlainText(chat.system)
            self._system.blockSignals(False)
        self._on_fold(self._system_button.isChecked())
        self._explain()

    def _show_model(self, info: ModelInfo | None) -> None:
        self._name = info.name if info else "No model"
        self._model.setAccessibleName(f"Model: {self._name}")
        self._fit()
        self.chat_button.setEnabled(info is None or info.chat_template)
        self._explain()

    def _on_loading(self, progress: Progress | None) -> None:
        if progress is None:
            self._show_model(self._state.workspace.info)
        elif self._state.workspace.info is None:
            self._name = "Loading the model"
            self._fit()

    def _explain(self) -> None:
        info = self._state.workspace.info
        base = info is not None and not info.chat_template
        self._why.setText(WHY_COMPLETE.format(name=info.name) if info is not None and base else "")
        self._why.setVisible(base)

    def _on_fold(self, shown: bool) -> None:
        self._system.setVisible(shown and self._state.conversation.chat.mode != "complete")

    def _fit(self) -> None:
        """In a narrow chat the system prompt is an icon, and a long name is cut."""
        told = bool(self._state.conversation.chat.system.strip())
        words = " System prompt, set" if told else " System prompt"
        self._system_button.setText(words if self.width() >= ROOMY else "")
        self._system_button.setAccessibleName(words.strip())
        room = self.width() - (390 if self.width() >= ROOMY else 270)
        metrics = self._model.fontMetrics()
        self._model.setText(metrics.elidedText(self._name, Qt.TextElideMode.ElideRight, max(60, room)))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _show_icons(self, *_: object) -> None:
        self._model.setIcon(theme.icon("chevron-down", 16, "muted"))
        self._system_button.setIcon(theme.icon("message-square", 16, "muted"))
