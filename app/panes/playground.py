"""The Playground pane: what can be tried with the loaded model beside a chat, a page for each thing its kind can do."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QFocusEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QStackedWidget, QTabWidget, QVBoxLayout, QWidget

from app.state import State
from app.widgets.encoder_pages import FillPage, LabelPage, WordPage
from app.widgets.named import named, slim_bar
from app.widgets.notice import Notice
from app.widgets.similarity import SimilarityPage
from app.widgets.source_target import SourceTarget
from engine import Classified, Embedded, Filled, ModelInfo, Nearest, Progress, Run

NAME, TITLE, ICON = "playground", "Playground", "text-cursor-input"
NO_MODEL = "Load a model that translates, summarizes or fills masks, and what it can do appears here."
A_DECODER = "{name} continues text: talk to it in the chat. What encoders and encoder-decoders can do appears here."


class Pane(QWidget):
    """A view of state.playground; which pages it has follows the kind of the model."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.setObjectName("pane")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._state = state
        self._play = state.playground
        self.empty = QLabel(NO_MODEL)
        self.empty.setWordWrap(True)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.empty.setProperty("role", "caption")
        self.empty.setContentsMargins(24, 24, 24, 24)
        self.writer = SourceTarget(state.settings.value("text_size"))
        self.fill, self.labels, self.similarity, self.words = FillPage(), LabelPage(), SimilarityPage(), WordPage()
        self.tabs = named(QTabWidget(), "playgroundTabs", "What to try")
        self.tabs.setDocumentMode(True)
        self.tabs.setAccessibleDescription("Left and Right choose a page.")
        self.tabs.tabBar().setAccessibleName("What to try")
        for page, title in (
            (self.fill, "Fill"), (self.labels, "Labels"), (self.similarity, "Similarity"), (self.words, "Words"),
        ):  # fmt: skip
            self.tabs.addTab(page, title)
        self.tabs.setUsesScrollButtons(False)  # a model does three things at most: they fit into a narrow pane
        self._pages = QStackedWidget()
        for view in (self.empty, self.writer, self.tabs):
            self._pages.addWidget(view)
        self.notice = Notice()
        self._doing = named(QLabel(), "caption")
        self._bar = slim_bar("Progress", 160)
        line = QHBoxLayout()
        line.setContentsMargins(12, 0, 12, 8)
        line.addWidget(self._doing)
        line.addWidget(self._bar)
        line.addStretch(1)
        beneath = QHBoxLayout()
        beneath.setContentsMargins(12, 0, 12, 0)
        beneath.addWidget(self.notice)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self._pages, 1)
        column.addLayout(beneath)
        column.addLayout(line)
        self._connect()
        self._show_model(state.workspace.info)
        self._show_running(self._play.running)

    def _connect(self) -> None:
        play, captures = self._play, self._state.captures
        for page in (self.writer, self.fill, self.labels, self.similarity, self.words):
            page.asked.connect(self.notice.hide)
            page.stopped.connect(play.stop)
        self.writer.asked.connect(lambda: play.write(self.writer.source, self.writer.task))
        self.writer.token_chosen.connect(lambda index: captures.focus(play.target_key, index))
        self.writer.token_replaced.connect(lambda index, token: play.branch(play.target_key, index, (token,)))
        self.writer.step.connect(play.show_version)
        self.fill.asked.connect(lambda: play.fill(self.fill.text))
        self.fill.accepted.connect(lambda: play.fill(self.fill.text))
        self.labels.asked.connect(lambda: play.classify(self.labels.text))
        self.similarity.asked.connect(lambda: play.embed(self.similarity.sentences))
        self.words.asked.connect(lambda: play.find(self.words.text))
        play.running_changed.connect(self._show_running)
        play.progress.connect(self._show_progress)
        play.failed.connect(self.notice.fail)
        play.target_changed.connect(self._show_target)
        play.beams_changed.connect(self.writer.show_beams)
        play.versions_changed.connect(self._show_versions)
        play.filled.connect(self._show_filled)
        play.classified.connect(self._show_classified)
        play.embedded.connect(self._show_embedded)
        play.nearest.connect(self._show_nearest)
        captures.records_changed.connect(self._show_records)
        captures.focus_changed.connect(self._show_focus)
        self._state.workspace.model_changed.connect(self._show_model)

    # --- what the state says ------------------------------------------------------------------------------------------

    def _show_model(self, info: ModelInfo | None) -> None:
        self.notice.hide()
        for page in (self.fill, self.labels, self.similarity, self.words):
            page.forget()
        kinds = {"encoder-decoder": self.writer, "encoder": self.tabs}
        self._pages.setCurrentWidget(kinds.get(self._play.kind, self.empty))
        for page, use in ((self.fill, "fill"), (self.labels, "classify")):
            self.tabs.setTabVisible(self.tabs.indexOf(page), self._play.use == use)
            if self._play.use == use:
                self.tabs.setCurrentWidget(page)  # what it was made for, first
        self.empty.setText(A_DECODER.format(name=info.name) if info is not None else NO_MODEL)
        self.writer.show_tasks(tuple(self._play.tasks))
        self._show_versions()

    def _show_running(self, run: Run | None) -> None:
        for page in (self.writer, self.fill, self.labels, self.similarity, self.words):
            page.set_busy(run is not None)
        if run is None:
            self._doing.hide()
            self._bar.hide()
        else:
            self._show_progress(Progress(run.id, "Waiting for the model", 0, 0))

    def _show_progress(self, progress: Progress) -> None:
        self._doing.setText(progress.phase)
        self._doing.show()
        self._bar.setRange(0, progress.total)
        self._bar.setValue(progress.done)
        self._bar.show()

    def _show_versions(self) -> None:
        play = self._play
        self.writer.show_versions(play.versions)
        self.writer.show_target(play.target)
        self.writer.show_records(list(self._state.captures.records(play.target_key)))

    def _show_target(self, text: str) -> None:
        self.writer.show_target(text)
        if text:
            self._doing.setText("Writing")
            self._bar.hide()

    def _show_records(self, key: str, _: int) -> None:
        if key == self._play.target_key:
            self.writer.show_records(list(self._state.captures.records(key)))

    def _show_focus(self, key: str, index: int) -> None:
        self.writer.show_focus(index if key == self._play.target_key else -1)

    def _show_filled(self, event: Filled) -> None:
        self.fill.show_masks(event.masks)

    def _show_classified(self, event: Classified) -> None:
        self.labels.show_labels(event.labels)

    def _show_embedded(self, event: Embedded) -> None:
        self.similarity.show_values(event.similarities)

    def _show_nearest(self, event: Nearest) -> None:
        self.words.show_words(event.words)

    # --- Qt -----------------------------------------------------------------------------------------------------------

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Who comes here can write at once."""
        super().focusInEvent(event)
        fields: dict[QWidget | None, QWidget] = {
            self.writer: self.writer.field,
            self.fill: self.fill.field,
            self.labels: self.labels.field,
            self.similarity: self.similarity.fields[0],
            self.words: self.words.field,
        }
        shown = self._pages.currentWidget()
        field = fields.get(self.tabs.currentWidget() if shown is self.tabs else shown)
        if field is not None:
            field.setFocus(event.reason())
