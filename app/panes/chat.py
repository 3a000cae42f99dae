"""The chat itself: header, transcript or text, composer. A view of `state.conversation`; the logic is there."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent, QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from app import theme
from app.state import State
from app.state.what_if import Outcome
from app.widgets.answer_score import score_words
from app.widgets.chat_header import ChatHeader
from app.widgets.complete_text import CompleteText
from app.widgets.composer import Composer
from app.widgets.ink import Ink, current_ink
from app.widgets.named import named
from app.widgets.notice import Notice
from app.widgets.prompt_aids import PromptAids
from app.widgets.reading_line import ReadingLine
from app.widgets.token_scales import TokenScale, choice
from app.widgets.transcript import Transcript
from app.widgets.welcome import Welcome, belongs_elsewhere
from engine import Chat, Progress, Run, StoredMessage

NAME = "chat"
TITLE = "Chat"
ICON = "message-square"


class Pane(QWidget):
    """models_wanted, playground_wanted: the person asked for that pane."""

    models_wanted = Signal()
    playground_wanted = Signal()

    def __init__(self, state: State) -> None:
        super().__init__()
        self.setObjectName("chatPane")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._state = state
        self._talk = state.conversation
        self._shown_chat = ""
        self._places: dict[str, tuple[str, int] | None] = {}  # where the reader was, by chat
        self._tokens_of: set[str] = set()
        self._text_tokens_shown = False
        self._answered = False
        ink = current_ink(state.settings.value("text_size"))
        self.header = ChatHeader()
        self.header.show_model(state.workspace.info)
        self.header.models_wanted.connect(self.models_wanted)
        self.transcript = Transcript(ink)
        self.text = CompleteText(ink)
        self._pages = QStackedWidget()
        self._pages.addWidget(self.transcript)
        self._pages.addWidget(self.text)
        self._welcome = Welcome()
        self._welcome.acted.connect(self.playground_wanted)
        self._pages.addWidget(self._welcome)
        self.notice = Notice()
        self.composer = Composer()
        self.composer.answers.set_count(state.settings.value("answers"))
        self.aids = PromptAids(state.settings.value("prompt_task"), state.settings.value("prompt_examples"))
        self.aids.hide()
        self._reading = ReadingLine()
        foot = named(QWidget(), "page")
        column = QVBoxLayout()
        column.setContentsMargins(0, 0, 0, 12)
        column.setSpacing(8)
        column.addWidget(self._reading)
        column.addWidget(self.notice)
        column.addWidget(self.aids)
        column.addWidget(self.composer)
        self._foot = QWidget()
        self._foot.setLayout(column)
        row = QHBoxLayout(foot)
        row.setContentsMargins(24, 4, 24, 0)
        row.addStretch(1)
        row.addWidget(self._foot, 1000)
        row.addStretch(1)
        page = QVBoxLayout(self)
        page.setContentsMargins(0, 0, 0, 0)
        page.setSpacing(0)
        page.addWidget(self.header)
        page.addWidget(self._pages, 1)
        page.addWidget(foot)
        self._connect()
        self._set_ink(ink)
        self.header.show_chat(self._talk.chat)
        self._on_chat(self._talk.chat)
        self._on_path()
        self._greet()
        self.composer.set_text(self._talk.draft)

    def _connect(self) -> None:
        talk, captures, workspace = self._talk, self._state.captures, self._state.workspace
        self.header.playground_wanted.connect(self.playground_wanted)
        self.header.mode_wanted.connect(talk.set_mode)
        self.header.system_edited.connect(talk.set_system)
        talk.chat_changed.connect(self.header.show_chat)
        workspace.model_changed.connect(self.header.show_model)
        workspace.loading_changed.connect(self.header.show_loading)
        talk.chat_changed.connect(self._on_chat)
        talk.path_changed.connect(self._on_path)
        talk.message_changed.connect(self._on_message)
        talk.text_added.connect(self._on_text)
        talk.answering_changed.connect(self._on_answering)
        talk.reading_changed.connect(self._reading.show_progress)
        talk.draft_changed.connect(self._on_draft)
        talk.refused.connect(self._on_refused)
        talk.deleted.connect(self._on_deleted)
        captures.records_changed.connect(self._on_records)
        captures.focus_changed.connect(self._on_focus)
        self._state.what_if.changed.connect(self._show_marks)
        choice.choose(self._state.settings.value("token_scale"))
        choice.changed.connect(self._on_scale)
        self._state.library.deleted.connect(self._on_chat_deleted)
        workspace.failed.connect(self.notice.fail)
        workspace.mended.connect(self.notice.say)
        workspace.load_failed.connect(self._on_load_failed)
        self._state.settings.changed.connect(self._on_setting)
        workspace.model_changed.connect(self._greet)
        workspace.loading_changed.connect(self._greet)
        self._state.models.cards_changed.connect(self._greet)
        theme.theme_changed.connect(self._on_theme)
        self.composer.submitted.connect(self.send)
        self.composer.several.connect(self.send_several)
        self.composer.count_chosen.connect(lambda count: self._state.settings.set("answers", count))
        self.composer.stopped.connect(talk.stop)
        self.composer.edited.connect(talk.set_draft)
        self.composer.aids_wanted.connect(self._show_aids)
        self.aids.closed.connect(lambda: self.composer.aids.setChecked(False))
        self.aids.filled.connect(self._fill)
        self.aids.edited.connect(self._keep_aids)
        self.composer.editor.earlier.connect(self._recall)
        self.composer.editor.version.connect(self._other_version)
        self.transcript.asked.connect(self.ask)
        self.transcript.edited.connect(talk.edit)
        self.transcript.token_chosen.connect(captures.focus)
        self.transcript.token_replaced.connect(self._on_replaced)
        self.text.edited.connect(talk.set_draft)
        self.text.submitted.connect(self.send)
        self.text.several.connect(self.composer.ask_several)
        self.text.asked.connect(lambda action: self.ask(action, self.last()))
        self.text.token_chosen.connect(lambda index: captures.focus(self.last(), index))
        self.text.token_replaced.connect(lambda *wanted: self._on_replaced(self.last(), *wanted))

    # --- what a person does -------------------------------------------------------------------------------------------

    def send(self, _: str = "") -> None:
        """Send what the composer holds; in Complete mode, the text."""
        self.send_several(1)

    def send_several(self, answers: int) -> None:
        """Send it to be answered so many times."""
        if self.composer.isHidden():
            return
        self.notice.hide()
        complete = self._talk.chat.mode == "complete"
        if self._talk.send(self.text.text if complete else self.composer.text, answers):
            self.transcript.jump_to_latest()

    def stop(self) -> None:
        self.composer.show_stopping()
        self._talk.stop()

    def focus_composer(self) -> None:
        """The keyboard goes to where one writes."""
        (self.text.editor if self._talk.chat.mode == "complete" else self.composer.editor).setFocus()

    def last(self, role: str = "") -> str:
        """The id of the last message shown (of a role), or ""."""
        return next((m.id for m in reversed(self._talk.path) if role in ("", m.role)), "")

    def ask(self, action: str, key: str) -> None:
        """Do one of the transcript's actions to a message."""
        if not key:
            return
        does: dict[str, Callable[[str], None]] = {
            "retry": self._talk.retry,
            "several": lambda k: self._talk.retry(k, self.composer.answers.count),
            "continue": self._talk.go_on,
            "delete": self._talk.delete,
            "tokens": self._toggle_tokens,
            "previous": lambda k: self._talk.show_version(k, -1),
            "next": lambda k: self._talk.show_version(k, 1),
            "copy": lambda k: QGuiApplication.clipboard().setText(self._talk.message(k).text),
        }
        self.notice.hide()
        does[action](key)

    def copy_last_code(self) -> None:
        for message in reversed(self._talk.path):
            view = self.transcript.view(message.id)
            if view is not None and view.copy_last_code():
                return

    def _show_aids(self, on: bool) -> None:
        self.aids.setVisible(on)
        if on:
            self.aids.start(self.composer.text if self._talk.chat.mode == "chat" else "")
        else:
            self.focus_composer()

    def _fill(self, text: str) -> None:
        """A prompt into the composer, or to the end of the text; it waits to be sent."""
        if self._talk.chat.mode == "complete":
            text = "\n\n".join(part for part in (self.text.text.rstrip(), text) if part)
        self._talk.set_draft(text)
        self._on_draft(text)
        self.composer.aids.setChecked(False)

    def _keep_aids(self, task: str, examples: list[tuple[str, str]]) -> None:
        self._state.settings.set("prompt_task", task)
        self._state.settings.set("prompt_examples", [list(example) for example in examples])

    def _recall(self) -> None:
        """Up in an empty composer: the message sent last."""
        key = self.last("user")
        if key:
            self.composer.set_text(self._talk.message(key).text)
            self._talk.set_draft(self.composer.text)

    def _other_version(self, step: int) -> None:
        key = self.last()
        if key:
            self._talk.show_version(key, step)

    def _toggle_tokens(self, key: str) -> None:
        if self._talk.chat.mode == "complete":
            self._text_tokens_shown = not self._text_tokens_shown
            self._show_text_tokens()
            return
        view = self.transcript.view(key)
        if view is None:
            return
        self.transcript.hold_still()
        if key in self._tokens_of:
            self._tokens_of.discard(key)
            view.hide_tokens()
            self._show_marks()
        else:
            self._tokens_of.add(key)
            self._talk.inspect(key)
            self._show_tokens(key)

    # --- what the state says ------------------------------------------------------------------------------------------

    def _on_chat(self, chat: Chat) -> None:
        self.composer.set_continuing(chat.mode == "complete")
        self._choose_page()
        if chat.id != self._shown_chat and self.notice.passing:
            self.notice.hide()

    def _choose_page(self) -> None:
        if belongs_elsewhere(self._state.workspace.info) and not self._talk.path:
            self._pages.setCurrentWidget(self._welcome)
        elif self._talk.chat.mode == "complete":
            self._pages.setCurrentWidget(self.text)
        else:
            self._pages.setCurrentWidget(self.transcript if self._talk.path else self._welcome)

    def _greet(self, *_: object) -> None:
        """An empty chat says who is here."""
        info = self._state.workspace.info
        self.composer.setHidden(belongs_elsewhere(info))
        note = next((card.note for card in self._state.models.cards if info and card.path == info.path), "")
        self._welcome.greet(info, self._state.workspace.loading is not None, note)
        self._choose_page()

    def _on_path(self) -> None:
        talk = self._talk
        fresh = talk.chat.id != self._shown_chat
        if fresh:
            self._places[self._shown_chat] = self.transcript.place
            self._shown_chat = talk.chat.id
            self._tokens_of.clear()
            self._text_tokens_shown = False
        writing = talk.writing
        path: list[StoredMessage] = []
        if talk.chat.mode != "complete":
            path = [talk.message(m.id) if m.id == writing else m for m in talk.path]
        self.transcript.show_messages(path, talk.versions, fresh, self._places.get(talk.chat.id))
        self._choose_page()
        self._tokens_of &= {message.id for message in path}
        self._show_complete()

    def _show_complete(self) -> None:
        if self._talk.chat.mode != "complete":
            return
        key = self.last()
        self.text.set_text(self._talk.draft or (self._talk.message(key).text if key else ""))
        self.text.set_versions(self._talk.versions(key) if key else (1, 1), bool(key))
        self.text.set_score(*score_words(self._talk.message(key).stats if key else {}))
        self._show_text_tokens()

    def _on_draft(self, text: str) -> None:
        if self._talk.chat.mode == "complete":
            self._show_complete()
        else:
            self.composer.set_text(text)

    def _on_message(self, key: str) -> None:
        self.transcript.update_message(self._talk.message(key))
        if key == self.last() == self._talk.writing:
            self.text.set_score(*score_words(self._talk.message(key).stats))  # its text is there as it came
        elif key == self.last():
            self._show_complete()

    def _on_text(self, key: str, text: str) -> None:
        if self._talk.chat.mode != "complete":
            self.transcript.append(key, text)
        elif key == self.last():
            self.text.append(text)

    def _on_answering(self, run: Run | None) -> None:
        self.composer.set_answering(run is not None)
        if run is None and self._answered:  # said aloud by screen readers: the eye sees Send come back
            QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self, "The answer is complete."))
        self._answered = run is not None
        self.transcript.set_busy(run is not None, self._talk.browsable)
        self.text.set_busy(run is not None, self._talk.browsable)
        self._reading.show_progress(Progress(run.id, "Waiting for the model", 0, 0) if run else None)

    def _on_records(self, key: str, first: int) -> None:
        if key in self._tokens_of:
            self._show_tokens(key)
        elif self._text_tokens_shown and key == self.last():
            self._show_text_tokens()

    def _show_tokens(self, key: str) -> None:
        view = self.transcript.view(key)
        records = self._state.captures.records(key)
        if view is None:
            return
        if not records:
            if self._talk.writing != key:
                words = "No tokens were recorded for this answer. Retry writes one with its tokens."
                self.notice.say(words, seconds=8, passing=True)
        elif view.strip is not None and view.strip.grows_into(records):
            view.strip.append(records[view.strip.count :])
        else:
            view.show_tokens(records)
        self._show_marks()

    def _show_text_tokens(self) -> None:
        key = self.last()
        if not self._text_tokens_shown or not key:
            self.text.show_tokens([])
            return
        message = self._talk.message(key)
        before = message.text[: message.stats.get("prompt_length", 0)]
        self.text.show_tokens(self._state.captures.records(key), before)
        self._show_marks()

    def _show_marks(self) -> None:
        """What the settings of now would have written otherwise, where its tokens are shown."""
        what_if = self._state.what_if
        what_if.watch(NAME, bool(self._tokens_of) or self._text_tokens_shown)
        strips = {key: view.strip for key in self._tokens_of if (view := self.transcript.view(key)) is not None}
        if self._text_tokens_shown:
            strips[self.last()] = self.text.strip
        for key, strip in strips.items():
            if strip is not None:
                outcome = what_if.outcome if key == what_if.message and what_if.outcome.differs else Outcome()
                marked = Outcome() if outcome.why else outcome  # where all is uncertain the words will do
                strip.show_marks(marked.changed, marked.uncertain, outcome.words if outcome.changed else "")

    def _on_scale(self, scale: TokenScale) -> None:
        self._state.settings.set("token_scale", scale.name)

    def _on_replaced(self, key: str, index: int, token: int) -> None:
        """A token of the tokens view was given up for another candidate."""
        records = self._state.captures.records(key)
        if index < len(records) and token in (ids := records[index].candidate_ids.tolist()):
            self._talk.branch(key, index, (token,), records[index].pieces[ids.index(token)])

    def _on_focus(self, key: str, index: int) -> None:
        for other in self._tokens_of:
            view = self.transcript.view(other)
            if view is not None and view.strip is not None:
                view.strip.show_focus(index if other == key else -1)
        if key == self.last():
            self.text.show_focus(index)

    def _on_refused(self, message: str, hint: str, details: str) -> None:
        models = self._state.workspace.info is None
        action, act = ("Models", self.models_wanted.emit) if models else ("", None)
        self.notice.fail(message, hint, details, action, act, passing=True)

    def _on_load_failed(self, message: str, hint: str, details: str) -> None:
        self.notice.fail(message, hint, details, "Models", self.models_wanted.emit)

    def _on_deleted(self, count: int) -> None:
        words = "1 message deleted." if count == 1 else f"{count} messages deleted."
        self.notice.say(words, "Undo", self._talk.undo_delete, seconds=12, passing=True)

    def _on_chat_deleted(self, chat: Chat) -> None:
        self.notice.say(f"“{chat.title or 'New chat'}” deleted.", "Undo", self._undo_chat, seconds=12)

    def _undo_chat(self) -> None:
        chat = self._state.library.undo_delete()
        if chat is not None:
            self._talk.open(chat.id)

    def _on_setting(self, name: str) -> None:
        if name == "text_size":
            self._on_theme()

    def _on_theme(self, *_: object) -> None:
        self._set_ink(current_ink(self._state.settings.value("text_size")))

    def _set_ink(self, ink: Ink) -> None:
        self.transcript.set_ink(ink)
        self.text.set_ink(ink)
        self._foot.setMaximumWidth(self.transcript.column_width + 28)
        font = self.composer.editor.font()
        font.setPixelSize(ink.size)
        self.composer.editor.setFont(font)
        for key in self._tokens_of:
            self._show_tokens(key)
