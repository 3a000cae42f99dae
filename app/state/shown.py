"""The chat on the screen: its row, the tree of its messages, which branch of it is shown, and what is not sent yet.

It asks no model; `Conversation` does, on top of this. It knows the store only as commands, and nothing typed is lost.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from app.settings import Settings
from app.state.adapters import uses_in
from app.state.captures import Captures
from app.state.library import Library
from app.state.several import Several
from app.state.tree import Tree
from app.state.workspace import Workspace
from app.state.writing import Writing
from engine import (
    Chat,
    ChatOpened,
    DeleteMessages,
    Event,
    Failed,
    Message,
    ModelInfo,
    OpenChat,
    Prompt,
    Run,
    StoredMessage,
)

GREETINGS = {"chat": "Hi, how are you?", "complete": "Once upon a time"}
"""What waits to be sent at the first start: something to say, or the beginning of a text."""

DRAFT_DELAY = 400  # milliseconds without a key before a draft is stored


class Shown(QObject):
    """chat_changed: Chat. path_changed: other messages are shown. message_changed: id of one with new text or status.

    answering_changed: Run | None. refused: message, hint, details of what could not be done. draft_changed: what the
    composer must hold now. deleted: how many messages undo_delete() would bring back.
    """

    chat_changed = Signal(object)
    path_changed = Signal()
    message_changed = Signal(str)
    answering_changed = Signal(object)
    refused = Signal(str, str, str)
    draft_changed = Signal(str)
    deleted = Signal(int)

    def __init__(self, workspace: Workspace, captures: Captures, library: Library, settings: Settings) -> None:
        super().__init__()
        self._workspace = workspace
        self._captures = captures
        self._library = library
        self._settings = settings
        self._writing = Writing()
        self._removed: tuple[str, list[StoredMessage]] = ("", [])
        self._opening: Run | None = None
        self.chat: Chat = library.new()
        self.tree = Tree()
        self.draft = ""
        self._leaf = ""
        self._draft_timer = QTimer(self, singleShot=True, interval=DRAFT_DELAY)
        self._draft_timer.timeout.connect(self._store_draft)
        workspace.model_changed.connect(self._on_model)
        library.chat_changed.connect(self._on_row)
        library.deleted.connect(self._on_chat_deleted)

    # --- what is shown ------------------------------------------------------------------------------------------------

    @property
    def path(self) -> list[StoredMessage]:
        """The messages shown, first to last; one being written as it was when its run began."""
        return self.tree.path(self._leaf)

    @property
    def answering(self) -> Run | None:
        """The run that writes into the chat shown."""
        return self._writing.run(self.chat.id)

    @property
    def writing(self) -> str:
        """The id of the message being written in the chat shown, or ""."""
        answer = self._writing.of(self.chat.id)
        return answer.message.id if answer else ""

    @property
    def text(self) -> str:
        """Complete mode: the text as it stands, edits included."""
        if self.chat.mode != "complete":
            return ""
        return self.draft or (self.path[-1].text if self.path else "")

    @property
    def browsable(self) -> bool:
        """Whether other versions can be shown: not while one answer is written, but while several are."""
        answer = self._writing.of(self.chat.id)
        return answer is None or isinstance(answer, Several)

    def message(self, key: str) -> StoredMessage:
        """A message as it stands now, the text of this moment if it is being written."""
        answer = self._writing.of(self.chat.id)
        return answer.message if answer and answer.message.id == key else self.tree[key]

    def versions(self, key: str) -> tuple[int, int]:
        """Which of how many siblings a message is, counted from 1."""
        keys = [message.id for message in self.tree.siblings(key)]
        return keys.index(key) + 1, len(keys)

    def show_version(self, key: str, step: int) -> None:
        """The sibling before (-1) or after (1) a message, with the latest that follows from it."""
        keys = [message.id for message in self.tree.siblings(key)]
        index = keys.index(key) + step
        if 0 <= index < len(keys) and self.browsable:
            self._go_to(self.tree.newest_leaf(keys[index]))
            self.inspect(self._leaf)

    def inspect(self, key: str) -> None:
        """Have the captures of a message brought for the panes: its stored records, and what led to it."""
        message = self.tree.get(key)
        if message is not None and message.role in ("assistant", "text"):
            uses = uses_in(message.settings)
            self._captures.set_context(key, self._prompt_before(message), message.model, adapters=uses)
            self._captures.want(key)

    def _go_to(self, leaf: str, keep: bool = True) -> None:
        """Show the branch that ends in this message, and remember it."""
        self._leaf = leaf
        self._captures.show([message.id for message in self.path])
        self.path_changed.emit()
        if keep:
            self._change_row(leaf=leaf)

    # --- which chat ---------------------------------------------------------------------------------------------------

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
        answer = self._writing.of(chat.id)
        for message in answer.messages if answer is not None else ():
            tree.put(message)
        self._remember()
        self.chat_changed.emit(chat)
        self._go_to(chat.leaf if chat.leaf in tree else tree.newest(chat.mode), keep=False)
        self.draft_changed.emit(self.draft)
        self.answering_changed.emit(self.answering)
        if answer is None:
            self.inspect(self._leaf)

    # --- changing it --------------------------------------------------------------------------------------------------

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

    # --- inside -------------------------------------------------------------------------------------------------------

    def _prompt_before(self, message: StoredMessage) -> Prompt:
        """What the model read before it wrote this message."""
        if message.role == "text":
            return Prompt(text=message.text[: message.stats.get("prompt_length", 0)])
        turns = [Message(m.role, m.text) for m in self.tree.path(message.parent) if m.text]
        system = [Message("system", self.chat.system)] if self.chat.system.strip() else []
        return Prompt(messages=(*system, *turns))

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
        self._writing.cancel(chat.id)
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
