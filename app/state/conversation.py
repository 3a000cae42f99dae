"""The chat on the screen: which messages of its tree are shown, and everything a person does to them.

It knows the store and the model only as commands. Answers being written are `Answer` objects that live on while another
chat is shown; nothing is overwritten by retry or edit, and nothing typed is lost by an error.
"""

from __future__ import annotations

import dataclasses
import time
import uuid
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from app.settings import Settings
from app.state.answer import Answer
from app.state.branching import Branch, branch
from app.state.captures import Captures
from app.state.library import Library, title_of
from app.state.presets import Presets
from app.state.tree import Tree
from app.state.workspace import Workspace
from engine import (
    Chat,
    ChatOpened,
    DeleteMessages,
    Event,
    Failed,
    Generate,
    Message,
    ModelInfo,
    OpenChat,
    Prompt,
    Retune,
    Run,
    SamplingParams,
    SaveMessage,
    Stats,
    StoredMessage,
)

GREETINGS = {"chat": "Hi, how are you?", "complete": "Once upon a time"}
"""What waits to be sent at the first start: something to say, or the beginning of a text."""

DRAFT_DELAY = 400  # milliseconds without a key before a draft is stored


class Conversation(QObject):
    """chat_changed: Chat. path_changed: other messages are shown. message_changed: id of one with new text or status.

    text_added: id and new text. answering_changed: Run | None. reading_changed: Progress | None. stats_changed: Stats.
    refused: message, hint, details of what could not be sent. draft_changed: what the composer must hold now.
    deleted: how many messages undo_delete() would bring back.
    """

    chat_changed = Signal(object)
    path_changed = Signal()
    message_changed = Signal(str)
    text_added = Signal(str, str)
    answering_changed = Signal(object)
    reading_changed = Signal(object)
    stats_changed = Signal(object)
    refused = Signal(str, str, str)
    draft_changed = Signal(str)
    deleted = Signal(int)

    def __init__(
        self, workspace: Workspace, captures: Captures, presets: Presets, library: Library, settings: Settings
    ) -> None:
        super().__init__()
        self._workspace = workspace
        self._captures = captures
        self._presets = presets
        self._library = library
        self._settings = settings
        self._answers: dict[str, Answer] = {}  # by chat
        self._late: dict[str, Answer] = {}  # by message: written, and not stored yet
        self._removed: tuple[str, list[StoredMessage]] = ("", [])
        self._opening: Run | None = None
        self.chat: Chat = library.new()
        self.tree = Tree()
        self.draft = ""
        self._leaf = ""
        self._draft_timer = QTimer(self, singleShot=True, interval=DRAFT_DELAY)
        self._draft_timer.timeout.connect(self._store_draft)
        workspace.model_changed.connect(self._on_model)
        presets.sampling_changed.connect(self._on_sampling)
        library.chat_changed.connect(self._on_row)
        library.deleted.connect(self._on_chat_deleted)
        captures.follow(settings.value("follow_newest"))
        captures.follow_changed.connect(self._on_follow)

    # --- what is shown ------------------------------------------------------------------------------------------------

    @property
    def path(self) -> list[StoredMessage]:
        """The messages shown, first to last; one being written as it was when its run began."""
        return self.tree.path(self._leaf)

    @property
    def answering(self) -> Run | None:
        """The run that writes into the chat shown."""
        answer = self._answers.get(self.chat.id)
        return answer.run if answer else None

    @property
    def writing(self) -> str:
        """The id of the message being written in the chat shown, or ""."""
        answer = self._answers.get(self.chat.id)
        return answer.message.id if answer else ""

    @property
    def text(self) -> str:
        """Complete mode: the text as it stands, edits included."""
        if self.chat.mode != "complete":
            return ""
        return self.draft or (self.path[-1].text if self.path else "")

    def message(self, key: str) -> StoredMessage:
        """A message as it stands now, the text of this moment if it is being written."""
        answer = self._answers.get(self.chat.id)
        return answer.message if answer and answer.message.id == key else self.tree[key]

    def versions(self, key: str) -> tuple[int, int]:
        """Which of how many siblings a message is, counted from 1."""
        keys = [message.id for message in self.tree.siblings(key)]
        return keys.index(key) + 1, len(keys)

    def new_chat(self) -> None:
        """An empty chat; it is stored as soon as it holds something."""
        self._store_draft()
        base = self._workspace.info is not None and not self._workspace.info.chat_template
        self._show(self._library.new("complete" if base else "chat"), Tree())

    def greet(self) -> None:
        """The first start: a prompt waits to be sent."""
        if not self._settings.value("greeted"):
            self._settings.set("greeted", True)
            self.draft = GREETINGS[self.chat.mode]
            self.draft_changed.emit(self.draft)

    def open(self, key: str) -> None:
        if key != self.chat.id:
            self._store_draft()
            self._opening = self._workspace.submit(OpenChat(key), self._on_opened)

    def _on_opened(self, event: Event) -> None:
        if self._opening is None or event.run != self._opening.id:
            return  # another chat was asked for since
        if isinstance(event, ChatOpened):
            self._show(self._library.chat(event.chat.id) or event.chat, Tree(event.messages))
        elif isinstance(event, Failed):
            self.refused.emit(event.message, event.hint, event.details)

    def _show(self, chat: Chat, tree: Tree) -> None:
        self.chat, self.tree, self.draft = chat, tree, chat.draft
        self._removed = ("", [])
        answer = self._answers.get(chat.id)
        if answer is not None:
            tree.put(answer.message)
        self._remember()
        self.chat_changed.emit(chat)
        self._go_to(chat.leaf if chat.leaf in tree else tree.newest(chat.mode), keep=False)
        self.draft_changed.emit(self.draft)
        self.answering_changed.emit(self.answering)
        if answer is None:
            self.inspect(self._leaf)

    def _go_to(self, leaf: str, keep: bool = True) -> None:
        """Show the branch that ends in this message, and remember it."""
        self._leaf = leaf
        self._captures.show([message.id for message in self.path])
        self.path_changed.emit()
        if keep:
            self._change_row(leaf=leaf)

    # --- asking the model ---------------------------------------------------------------------------------------------

    def send(self, text: str) -> bool:
        """Say something and have it answered; in Complete mode, continue this text. False: it was refused."""
        if self.answering is not None or not text.strip():
            return False
        if self._workspace.info is None and self._workspace.loading is None:
            self.refused.emit("No model is loaded.", "Choose one in the Models pane.", "")
            return False
        self._draft_timer.stop()
        self.draft = ""
        leaf = self._leaf
        changes: dict[str, Any] = {"updated": time.time(), "draft": "", "model": self._model_name()}
        if not self.chat.title:
            changes["title"] = title_of(text)
        self._change_row(**changes)
        if self.chat.mode == "complete":
            self._continue_text(text, sent=text)
        else:
            message = self._make("user", text, leaf)
            self.tree.put(message)
            self._workspace.submit(SaveMessage(message))
            self._answer_to(message.id, sent=text)
        self.draft_changed.emit("")
        return True

    def retry(self, key: str) -> None:
        """Write another version of an answer, or an answer to a message that has none."""
        if self.answering is not None:
            return
        message = self.tree[key]
        if message.role == "text":
            self._continue_text(message.text[: message.stats.get("prompt_length", 0)])
        else:
            self._answer_to(key if message.role == "user" else message.parent)

    def go_on(self, key: str) -> None:
        """Continue an answer where it ended."""
        if self.answering is not None:
            return
        message = self.tree[key]
        if message.role == "text":
            self._continue_text(message.text)
            return
        prompt = self._prompt_before(message)
        records = self._captures.records(key)
        own = message.model == self._model_name()  # another model's ids mean nothing to this one
        if own and records and "".join(record.text for record in records) == message.text:
            prompt = dataclasses.replace(prompt, answer_ids=tuple(record.id for record in records))
        else:
            prompt = dataclasses.replace(prompt, answer_text=message.text)
        self._write(message, prompt)

    def branch(self, key: str, index: int, ids: tuple[int, ...] = (), text: str = "") -> None:
        """Write another version of an answer: the same up to a token, these ids or this text, and on from there."""
        message, records = self.tree.get(key), self._captures.records(key)
        if self.answering is not None or message is None or not 0 <= index < len(records) or not (ids or text):
            return
        if self._workspace.info is None:
            self.refused.emit("No model is loaded.", "Choose one in the Models pane.", "")
            return
        info, own = self._workspace.info, message.model == self._model_name()
        drawings = self._captures.drawings(key) if info.kind == "decoder" else []
        begun = branch(message, records, drawings, index, self._prompt_before(message), own, ids, text)
        if begun is None:
            self.refused.emit("The tokens of this answer are not those of its text.", "Retry writes it anew.", "")
            return
        stats = {name: value for name, value in message.stats.items() if name == "prompt_length"}
        self._write(self._make(message.role, begun.text, message.parent, stats), begun.prompt, begun=begun)

    def stop(self) -> None:
        if self.answering is not None:
            self.answering.cancel()

    def _answer_to(self, parent: str, sent: str = "") -> None:
        message = self._make("assistant", "", parent)
        self._write(message, self._prompt_before(message), sent)

    def _continue_text(self, text: str, sent: str = "") -> None:
        message = self._make("text", text, "", stats={"prompt_length": len(text)})
        self._write(message, Prompt(text=text), sent)

    def _write(self, message: StoredMessage, prompt: Prompt, sent: str = "", begun: Branch | None = None) -> None:
        """Start an answer into this message. sent: what goes back to the composer if not a word comes.

        begun: what a new version has of another.
        """
        before = self.tree.get(message.id)
        leaf = self._leaf
        chat = self.chat.id
        command = Generate(prompt, self._presets.sampling, self._captures.capture_params())
        late = self._late.pop(message.id, None)
        records, drawings = late.leave() if late else (begun.kept, begun.drawings) if begun else ((), ())
        answer = Answer(self._workspace, message, command, records, drawings)
        if begun is not None:
            self._captures.adopt(message.id, begun.kept, begun.drawings)
        self._captures.set_context(message.id, prompt)
        self._captures.begin(message.id, answer.run.id)
        self._answers[chat] = answer
        self.tree.put(answer.message)
        answer.text_added.connect(lambda text: self._if_shown(chat, self.text_added, message.id, text))
        answer.progress.connect(lambda progress: self._if_shown(chat, self.reading_changed, progress))
        answer.stats.connect(lambda stats: self._on_stats(chat, stats))
        answer.ended.connect(lambda failure: self._on_ended(chat, failure, before, sent, leaf))
        self._go_to(self.tree.newest_leaf(message.id))
        self.answering_changed.emit(answer.run)

    def _on_stats(self, chat: str, stats: Stats) -> None:
        self._if_shown(chat, self.reading_changed, None)
        self._if_shown(chat, self.stats_changed, stats)

    def _if_shown(self, chat: str, signal: Any, *values: object) -> None:
        if chat == self.chat.id:
            signal.emit(*values)

    def _on_ended(self, chat: str, failure: Failed | None, before: StoredMessage | None, sent: str, leaf: str) -> None:
        answer = self._answers.pop(chat)
        message = answer.message
        if answer.wrote:
            self._late[message.id] = answer
            answer.stored.connect(lambda: self._on_stored(answer))
        else:
            answer.leave()
        shown = chat == self.chat.id
        if shown:
            self.tree.put(message)
            self.reading_changed.emit(None)
        if not answer.wrote and before is not None:  # continuing brought nothing: it is what it was
            self._workspace.submit(SaveMessage(before))
            if shown:
                self.tree.put(before)
        elif not answer.wrote and (failure is not None or message.status == "stopped"):
            self._withdraw(message, failure is not None, sent, leaf, shown)
        if shown:
            if message.id in self.tree:
                self.message_changed.emit(message.id)
            self.answering_changed.emit(None)
            if failure is not None:
                self.refused.emit(failure.message, failure.hint, failure.details)

    def _on_stored(self, answer: Answer) -> None:
        if self._late.get(answer.message.id) is answer:
            del self._late[answer.message.id]

    def _withdraw(self, message: StoredMessage, failed: bool, sent: str, leaf: str, shown: bool) -> None:
        """Take an empty answer away; after a failure the message that asked for it goes back to the composer."""
        keys = [message.id]
        back = bool(sent) and (failed or message.role == "text")
        if back and message.role == "assistant":
            keys.append(message.parent)
        self._workspace.submit(DeleteMessages(tuple(keys)))
        if not shown:
            return
        self.tree.remove(keys)
        self._go_to(leaf if back or (leaf in self.tree and message.parent != leaf and not sent) else message.parent)
        if back:
            self.set_draft(sent)
            self.draft_changed.emit(sent)

    # --- changing what was said ---------------------------------------------------------------------------------------

    def edit(self, key: str, text: str, answer: bool) -> None:
        """Change a message. answer: as a new version, answered anew; otherwise a person's words change in place.

        A model's answer is never changed in place: its tokens would no longer be its own.
        """
        message = self.tree[key]
        if self.answering is not None or not text.strip() or (text == message.text and not answer):
            return
        if message.role == "user" and not answer:
            changed = dataclasses.replace(message, text=text)
            self._put(changed)
            self.message_changed.emit(key)
            return
        version = self._make(message.role, text, message.parent)
        self._put(version)
        if message.role == "user":
            self._answer_to(version.id)
        else:
            self._go_to(version.id)

    def delete(self, key: str) -> None:
        """Remove a message and all that follows from it; undo_delete() brings them back."""
        if self.answering is not None:
            return
        message = self.tree[key]
        removed = [self.tree[k] for k in self.tree.below(key)]
        others = [m.id for m in self.tree.siblings(key) if m.id != key]
        self._removed = (self._leaf, removed)
        self.tree.remove([m.id for m in reversed(removed)])
        self._workspace.submit(DeleteMessages(tuple(m.id for m in removed)))
        self._go_to(self.tree.newest_leaf(others[-1]) if others else message.parent)
        self.deleted.emit(len(removed))

    def undo_delete(self) -> None:
        leaf, removed = self._removed
        self._removed = ("", [])
        if removed:
            for message in removed:
                self.tree.put(message)
            self._workspace.submit(DeleteMessages(tuple(m.id for m in removed), undo=True))
            self._go_to(leaf)

    def show_version(self, key: str, step: int) -> None:
        """The sibling before (-1) or after (1) a message, with the latest that follows from it."""
        keys = [message.id for message in self.tree.siblings(key)]
        index = keys.index(key) + step
        if 0 <= index < len(keys) and self.answering is None:
            self._go_to(self.tree.newest_leaf(keys[index]))
            self.inspect(self._leaf)

    def inspect(self, key: str) -> None:
        """Have the captures of a message brought for the panes: its stored records, and what led to it."""
        message = self.tree.get(key)
        if message is not None and message.role in ("assistant", "text"):
            self._captures.set_context(key, self._prompt_before(message))
            self._captures.want(key)

    def set_mode(self, mode: str) -> None:
        """chat or complete: which of the chat's two transcripts is shown."""
        if mode != self.chat.mode and self.answering is None:
            self._store_draft()
            if any(True for _ in self.tree):  # what was typed belongs to the transcript that is left
                self.draft = ""
            self._change_row(mode=mode, draft=self.draft)
            self._go_to(self.tree.newest(mode), keep=False)
            self.draft_changed.emit(self.draft)

    def set_system(self, text: str) -> None:
        """What the model is told first; it counts from the next answer on."""
        if text != self.chat.system:
            self._change_row(system=text)

    def set_draft(self, text: str) -> None:
        """What stands in the composer (Chat) or the edited text (Complete); stored after a short pause."""
        if text != self.draft:
            self.draft = text
            self._draft_timer.start()

    def finish(self) -> bool:
        """The program ends: store the draft and ask every answer to end. True once all have and are stored."""
        self._store_draft()
        for answer in self._answers.values():
            answer.run.cancel()
        return not self._answers and not self._late

    # --- inside -------------------------------------------------------------------------------------------------------

    def _prompt_before(self, message: StoredMessage) -> Prompt:
        """What the model read before it wrote this message."""
        if message.role == "text":
            return Prompt(text=message.text[: message.stats.get("prompt_length", 0)])
        turns = [Message(m.role, m.text) for m in self.tree.path(message.parent) if m.text]
        system = [Message("system", self.chat.system)] if self.chat.system.strip() else []
        return Prompt(messages=(*system, *turns))

    def _make(self, role: str, text: str, parent: str, stats: dict[str, Any] | None = None) -> StoredMessage:
        model = "" if role == "user" else self._model_name()
        return StoredMessage(
            uuid.uuid4().hex, self.chat.id, parent, role, text, created=time.time(), model=model, stats=stats or {}
        )

    def _put(self, message: StoredMessage) -> None:
        self.tree.put(message)
        self._workspace.submit(SaveMessage(message))

    def _model_name(self) -> str:
        return self._workspace.info.name if self._workspace.info else self.chat.model

    def _change_row(self, **changes: Any) -> None:
        """Change the chat's row; one that is not stored yet stays so until it holds something."""
        self.chat = dataclasses.replace(self.chat, **changes)
        if self._library.chat(self.chat.id) is not None or self.chat.title or self.chat.draft:
            self._library.save(self.chat)
            self._remember()
        else:
            self.chat_changed.emit(self.chat)

    def _remember(self) -> None:
        """The next start opens this chat, if it is stored."""
        if self._library.chat(self.chat.id) is not None and self._settings.value("last_chat") != self.chat.id:
            self._settings.set("last_chat", self.chat.id)

    def _store_draft(self) -> None:
        self._draft_timer.stop()
        shown = self.path[-1].text if self.path and self.chat.mode == "complete" else ""
        draft = "" if self.draft == shown else self.draft
        if draft != self.chat.draft:
            self._change_row(draft=draft)

    def _on_row(self, chat: Chat) -> None:
        if chat.id == self.chat.id:
            self.chat = chat
            self.chat_changed.emit(chat)

    def _on_chat_deleted(self, chat: Chat) -> None:
        answer = self._answers.get(chat.id)
        if answer is not None:
            answer.run.cancel()
        if chat.id == self.chat.id:
            self._draft_timer.stop()
            self.draft = self.chat.draft  # nothing of it may be stored again
            self.new_chat()

    def _on_model(self, info: ModelInfo | None) -> None:
        """A base model continues text: an empty chat turns to Complete, and back for a model that talks."""
        if info is not None and not self.path:
            mode = "chat" if info.chat_template else "complete"
            if self.draft == GREETINGS[self.chat.mode]:
                self.draft = GREETINGS[mode]
            self.set_mode(mode)

    def _on_follow(self, _: bool) -> None:
        if self._settings.value("follow_newest") != self._captures.wish:
            self._settings.set("follow_newest", self._captures.wish)

    def _on_sampling(self, sampling: SamplingParams) -> None:
        if self.answering is not None:
            self._workspace.submit(Retune(self.answering.id, sampling=sampling))
