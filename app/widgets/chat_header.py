"""The head of the chat: which model, which mode, and what the model is told first. It knows values, no state."""

from __future__ import annotations

from html import escape

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPlainTextEdit, QPushButton, QVBoxLayout

from app import theme
from app.widgets.named import named, toggle_button
from engine import Chat, ModelInfo, Progress

ROOMY = 520  # pixels: narrower, words give way to icons
BESIDE = 84  # pixels of the row that are no words: margins, spaces, the arrow beside the name
WHOSE_FORMAT = "{name} has no chat template of its own: {format}'s is used, as its special tokens show."
WHY_COMPLETE = "{name} has no chat template: it continues text, it does not take turns."
WHY_NEITHER = '{name} is an {kind}: the <a href="playground">Playground</a> is the place for it.'


class ChatHeader(QFrame):
    """models_wanted: the model's name was clicked. playground_wanted: its link was. mode_wanted: chat or complete.
    system_edited: the text."""

    models_wanted = Signal()
    playground_wanted = Signal()
    mode_wanted = Signal(str)
    system_edited = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("chatHeader")
        self._name = ""
        self._info: ModelInfo | None = None
        self._chat = Chat("", "")
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
        self._why = named(QLabel(wordWrap=True, textFormat=Qt.TextFormat.RichText), "caption")
        self._why.setTextInteractionFlags(
            Qt.TextInteractionFlag.LinksAccessibleByMouse | Qt.TextInteractionFlag.LinksAccessibleByKeyboard
        )
        self._why.linkActivated.connect(lambda _: self.playground_wanted.emit())
        self._system = named(QPlainTextEdit(tabChangesFocus=True), "systemText")
        self._system.setAccessibleName("System prompt")
        self._system.setPlaceholderText("Told to the model first. It counts from the next answer on.")
        self._system.setFixedHeight(84)
        self._system.textChanged.connect(self._on_system)
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
        theme.theme_changed.connect(self._show_icons)
        self._show_icons()
        self.show_model(None)
        self.show_chat(self._chat)

    def _ask_mode(self, mode: str) -> None:
        self.mode_wanted.emit(mode)
        self.show_chat(self._chat)  # a click alone changes nothing

    def _on_system(self) -> None:
        self.system_edited.emit(self._system.toPlainText())

    def show_chat(self, chat: Chat) -> None:
        """The mode and the system prompt of a chat."""
        self._chat = chat
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

    def show_model(self, info: ModelInfo | None) -> None:
        self._info = info
        self._name = info.name if info else "No model"
        self._model.setAccessibleName(f"Model: {self._name}")
        self._fit()
        self.chat_button.setEnabled(info is None or (info.chat_template and info.kind != "encoder"))
        self.complete_button.setEnabled(info is None or info.kind == "decoder")
        self._explain()

    def show_loading(self, progress: Progress | None) -> None:
        if progress is None:
            self.show_model(self._info)
        elif self._info is None:
            self._name = "Loading the model"
            self._fit()

    def _explain(self) -> None:
        info = self._info
        words = ""
        if info is not None and not self.chat_button.isEnabled():
            why = WHY_COMPLETE if info.kind == "decoder" else WHY_NEITHER
            words = why.format(name=escape(info.name), kind=info.kind)
        elif info is not None and info.chat_format and self._chat.mode != "complete":
            words = WHOSE_FORMAT.format(name=escape(info.name), format=info.chat_format)
        self._why.setText(words)
        self._why.setVisible(bool(words))

    def _on_fold(self, shown: bool) -> None:
        self._system.setVisible(shown and self._chat.mode != "complete")

    def _fit(self) -> None:
        """In a narrow chat the system prompt is an icon, and a long name is cut."""
        told = bool(self._chat.system.strip())
        words = " System prompt, set" if told else " System prompt"
        self._system_button.setText(words if self.width() >= ROOMY else "")
        self._system_button.setAccessibleName(words.strip())
        others = [button for button in (self.chat_button, self.complete_button) if not button.isHidden()]
        others += [] if self._system_button.isHidden() else [self._system_button]
        room = self.width() - BESIDE - sum(button.sizeHint().width() for button in others)
        self._model.ensurePolished()
        metrics = self._model.fontMetrics()
        self._model.setText(metrics.elidedText(self._name, Qt.TextElideMode.ElideRight, max(24, room)))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _show_icons(self, *_: object) -> None:
        self._model.setIcon(theme.icon("chevron-down", 16, "muted"))
        self._system_button.setIcon(theme.icon("message-square", 16, "muted"))
