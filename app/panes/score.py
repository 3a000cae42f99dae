"""The Text pane: how likely the model finds a text, and how tokenizers cut it."""

from __future__ import annotations

import math

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QTabWidget, QVBoxLayout, QWidget

from app.state import State
from app.state.tokenizers import MOST
from app.widgets.named import named, slim_bar
from app.widgets.notice import Notice
from app.widgets.score_page import ScorePage
from app.widgets.tokenizer_page import EXAMPLE, TokenizerPage
from engine import ModelInfo, Progress, Scored

NAME, TITLE, ICON = "score", "Text", "text-cursor-input"
LONG = "The text is too long to be coloured. Score a part of it to see its tokens."
UNALIKE = "The two models read this text differently, so their tokens cannot be laid side by side."


class Pane(QWidget):
    """A view of state.scoring, state.second and state.tokenizers."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.setObjectName("pane")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._scoring, self._second, self._tokenizers = state.scoring, state.second, state.tokenizers
        self._captures, self._workspace, self._adapters = state.captures, state.workspace, state.adapters
        self.page = ScorePage(state.settings.value("text_size"))
        self.cutting = TokenizerPage(MOST)
        self.tabs = named(QTabWidget(), "textTabs", "What to do with a text")
        self.tabs.setDocumentMode(True)
        self.tabs.setAccessibleDescription("Left and Right choose a page.")
        self.tabs.tabBar().setAccessibleName("What to do with a text")
        self.tabs.addTab(self.page, "Score")
        self.tabs.addTab(self.cutting, "Tokenizers")
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
        column.addWidget(self.tabs, 1)
        column.addLayout(beneath)
        column.addLayout(line)
        self._connect(state)
        self._show_model(self._workspace.info)
        self._show_progress(None)
        self._show_tokenizers()
        self.cutting.field.setPlainText(self._tokenizers.text or EXAMPLE)

    def _connect(self, state: State) -> None:
        page, scoring = self.page, self._scoring
        page.asked.connect(self._ask)
        page.stopped.connect(scoring.stop)
        page.file_wanted.connect(self._choose_file)
        page.seconds.chosen.connect(self._compare_with)
        page.seconds.strengthened.connect(scoring.set_strength)
        scoring.choice_changed.connect(self._show_seconds)
        page.token_chosen.connect(scoring.focus)
        scoring.running_changed.connect(self._show_running)
        scoring.progress.connect(self._show_progress)
        scoring.scored.connect(self._show_scores)
        scoring.opened.connect(self.page.field.setPlainText)
        scoring.failed.connect(self.notice.fail)
        self._second.changed.connect(self._show_seconds)
        self._second.loading_changed.connect(page.seconds.show_progress)
        self._second.failed.connect(self._on_second_failed)
        state.models.cards_changed.connect(self._show_seconds)
        self._second.offers_changed.connect(self._show_seconds)
        self._workspace.model_changed.connect(self._show_model)
        self._captures.focus_changed.connect(self._show_focus)
        self.cutting.text_changed.connect(self._tokenizers.read)
        self.cutting.put.connect(self._tokenizers.put)
        self.cutting.removed.connect(self._tokenizers.remove)
        self.cutting.file_wanted.connect(self._choose_model)
        self._tokenizers.changed.connect(self._show_tokenizers)
        self._tokenizers.failed.connect(self.notice.fail)

    # --- what the person does -----------------------------------------------------------------------------------------

    def _ask(self) -> None:
        self.notice.hide()
        source = "" if self.page.source.isHidden() else self.page.source.toPlainText()
        self._scoring.score(self.page.field.toPlainText(), source)

    def _compare_with(self, path: str) -> None:
        """An adapter takes no loading; a second model that is loaded stays, for whoever else looks at it."""
        adapter = path in [each for _, each, _ in self._adapters.choices]
        self._scoring.choose(path if adapter else "")
        if not adapter and path != self._second.chosen:
            self._second.load(path)

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Choose a text file", "", "Text (*.txt *.md);;All files (*)")
        if path:
            self._scoring.open(path)

    def _choose_model(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Choose a model's file", "", "Models (*.gguf tokenizer.json)")
        if path:
            self._tokenizers.open(path)

    # --- what the state says ------------------------------------------------------------------------------------------

    def _show_model(self, info: ModelInfo | None) -> None:
        self.page.show_kind(info.kind if info is not None else "")
        self._show_seconds()

    def _show_seconds(self, *_: object) -> None:
        adapter = self._scoring.adapter
        offers = [*self._second.offers, *self._adapters.choices]
        self.page.seconds.show_models(offers, adapter or self._second.chosen)
        self.page.seconds.show_strength(self._scoring.strength if adapter else None)

    def _on_second_failed(self, message: str, hint: str, details: str) -> None:
        self._show_seconds()
        self.notice.fail(message, hint, details)

    def _show_running(self, running: bool) -> None:
        self.page.set_busy(running)
        if not running:
            self._show_progress(None)

    def _show_progress(self, progress: Progress | None) -> None:
        for part in (self._doing, self._bar):
            part.setVisible(progress is not None)
        if progress is not None:
            self._doing.setText(progress.phase)
            self._bar.setRange(0, progress.total)
            self._bar.setValue(progress.done)

    def _show_scores(self) -> None:
        first, other, info = self._scoring.first, self._scoring.other, self._workspace.info
        if first is None or info is None:
            self.page.forget()
            return
        text = self._scoring.text
        joined = "".join(record.text for record in first.records)
        before = text[: len(text) - len(joined)] if text.endswith(joined) else ""
        lines = [described(first, info.name, info.kind, text)]
        compared, second = self._scoring.compared, self._second.info
        if other is not None:
            kind = info.kind if self._scoring.adapter or second is None else second.kind
            lines.append(described(other, compared, kind, text))
        note = "The first token has nothing before it, so it is not scored." if before.strip() else ""
        stretches = self._scoring.differences
        if not first.records:
            note = LONG
        elif other is not None and not stretches:
            note = UNALIKE
        elif info.kind == "encoder":
            note = "Each token was masked in turn and scored from all the others."
        self.page.show_scores("\n".join(lines), note, first.records, before)
        self.page.show_difference(stretches, f"{compared} against {info.name}" if compared else "")

    def _show_focus(self, key: str, index: int) -> None:
        self.page.strip.show_focus(index if key and key == self._scoring.key else -1)

    def _show_tokenizers(self) -> None:
        self.cutting.show_tokenizers(self._tokenizers.choices, self._tokenizers.paths, self._tokenizers.found)


def described(scored: Scored, model: str, kind: str, text: str) -> str:
    """What a model says of a whole text, in a line."""
    name = "Pseudo-perplexity" if kind == "encoder" else "Perplexity"
    bits = scored.nll / math.log(2)
    parts = (
        f"{name} {scored.perplexity:,.2f}",
        f"{scored.scored:,} tokens scored",
        f"{scored.nll / scored.scored:.3f} nats a token",
        f"{bits / max(1, len(text.encode())):.3f} bits a byte",
    )
    return f"{model}: {' · '.join(parts)}"
