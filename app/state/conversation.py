"""What a person says in the chat shown, and what the model answers: sent, retried, continued, branched, edited.

It knows the model only as commands. Answers being written live on while another chat is shown; nothing is overwritten
by retry or edit, and nothing typed is lost by an error.
"""

from __future__ import annotations

import dataclasses
import time
import uuid
from typing import Any

from PySide6.QtCore import Signal

from app.settings import Settings
from app.state.adapters import Adapters
from app.state.answer import Answer
from app.state.branching import Branch, branch
from app.state.captures import Captures
from app.state.library import Library, title_of
from app.state.presets import Presets
from app.state.several import Several, why_alike
from app.state.shown import Shown
from app.state.workspace import Workspace
from engine import (
    AdapterUse,
    BestOf,
    DeleteMessages,
    Failed,
    Generate,
    Prompt,
    Retune,
    SamplingParams,
    SaveMessage,
    StoredMessage,
)


class Conversation(Shown):
    """text_added: id and new text. reading_changed: Progress | None. stats_changed: Stats."""

    text_added = Signal(str, str)
    reading_changed = Signal(object)
    stats_changed = Signal(object)

    def __init__(
        self,
        workspace: Workspace,
        captures: Captures,
        presets: Presets,
        adapters: Adapters,
        library: Library,
        settings: Settings,
    ) -> None:
        super().__init__(workspace, captures, library, settings)
        self._presets = presets
        self._adapters = adapters
        presets.sampling_changed.connect(self._on_sampling)
        captures.follow(settings.value("follow_newest"))
        captures.follow_changed.connect(self._on_follow)

    # --- asking the model ---------------------------------------------------------------------------------------------

    def send(self, text: str, answers: int = 1) -> bool:
        """Say something and have it answered; in Complete mode, continue this text. False: it was refused.

        answers: how often, each of them kept as a version.
        """
        if self.answering is not None or not text.strip() or not self._can_ask(answers):
            return False
        self._draft_timer.stop()
        self.draft = ""
        leaf = self._leaf
        changes: dict[str, Any] = {"updated": time.time(), "draft": "", "model": self._model_name()}
        if not self.chat.title:
            changes["title"] = title_of(text)
        self._change_row(**changes)
        if self.chat.mode == "complete":
            self._continue_text(text, answers, sent=text)
        else:
            message = self._make("user", text, leaf)
            self._put(message)
            self._answer_to(message.id, answers, sent=text)
        self.draft_changed.emit("")
        return True

    def retry(self, key: str, answers: int = 1) -> None:
        """Write other versions of an answer, or answers to a message that has none."""
        if self.answering is not None or (answers > 1 and not self._can_ask(answers)):
            return
        message = self.tree[key]
        if message.role == "text":
            self._continue_text(message.text[: message.stats.get("prompt_length", 0)], answers)
        else:
            self._answer_to(key if message.role == "user" else message.parent, answers)

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

    def can_branch(self, key: str) -> bool:
        """Whether another version of this message can be begun now."""
        return self.answering is None and key in self.tree

    def branch(self, key: str, index: int, ids: tuple[int, ...] = (), text: str = "") -> None:
        """Write another version of an answer: the same up to a token, these ids or this text, and on from there."""
        message, records = self.tree.get(key), self._captures.records(key)
        if self.answering is not None or message is None or not 0 <= index < len(records) or not (ids or text):
            return
        info = self._workspace.info
        if info is None:
            self.refused.emit("No model is loaded.", "Choose one in the Models pane.", "")
            return
        own = message.model == self._model_name()
        drawings = self._captures.drawings(key) if info.kind == "decoder" else []
        length = message.stats.get("prompt_length", 0)
        prompt = self._prompt_before(message)
        begun = branch(message.text, length, records, drawings, index, prompt, own, ids, text)
        if begun is None:
            self.refused.emit("The tokens of this answer are not those of its text.", "Retry writes it anew.", "")
            return
        stats = {"prompt_length": length} if "prompt_length" in message.stats else {}
        self._write(self._make(message.role, begun.text, message.parent, stats), begun.prompt, begun=begun)

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

    def stop(self) -> None:
        self._writing.cancel(self.chat.id)

    @property
    def stored(self) -> bool:
        """Whether nothing is being written, and all that was is on the disk."""
        return self._writing.stored

    def finish(self) -> bool:
        """The program ends: store the draft and ask every answer to end. True once all have and are stored."""
        self._store_draft()
        self._writing.cancel_all()
        return self.stored

    def _can_ask(self, answers: int) -> bool:
        """Whether the model can be asked for so many answers; else `refused` says why not."""
        info = self._workspace.info
        if info is None and self._workspace.loading is None:
            self.refused.emit("No model is loaded.", "Choose one in the Models pane.", "")
        elif answers > 1 and info is not None and info.kind == "encoder":
            self.refused.emit(f"{info.name} is an encoder: it writes no answers.", "Choose one that writes text.", "")
        elif answers > 1 and (why := why_alike(self._presets.sampling)):
            self.refused.emit(why, "Choose the Balanced preset in the Sampling pane, or ask for one answer.", "")
        else:
            return True
        return False

    def _answer_to(self, parent: str, answers: int = 1, sent: str = "") -> None:
        message = self._make("assistant", "", parent)
        self._write(message, self._prompt_before(message), answers, sent)

    def _continue_text(self, text: str, answers: int = 1, sent: str = "") -> None:
        message = self._make("text", text, "", stats={"prompt_length": len(text)})
        self._write(message, Prompt(text=text), answers, sent)

    # --- what comes of it ---------------------------------------------------------------------------------------------

    def _write(
        self,
        message: StoredMessage,
        prompt: Prompt,
        answers: int = 1,
        sent: str = "",
        begun: Branch | None = None,
    ) -> None:
        """Start an answer into this message. sent: what goes back to the composer if not a word comes.

        answers: how many, of which the first goes into this message. begun: what a new version has of another.
        """
        before = self.tree.get(message.id)
        chat, leaf = self.chat.id, self._leaf
        sampling, capture, uses = self._presets.sampling, self._captures.capture_params(), self._adapters.uses
        answer: Answer | Several
        if answers > 1:
            answer = Several(self._workspace, message, BestOf(prompt, answers, sampling, capture, adapters=uses))
            answer.began.connect(lambda version: self._on_began(chat, version, prompt, uses))
            answer.changed.connect(lambda version: self._on_version(chat, version))
        else:
            late = self._writing.resume(message.id)
            records, drawings = late or ((begun.kept, begun.drawings) if begun else ((), ()))
            command = Generate(prompt, sampling, capture, adapters=uses)
            answer = Answer(self._workspace, message, command, records, drawings)
            if begun is not None:
                self._captures.adopt(message.id, begun.kept, begun.drawings)
        self._captures.set_context(message.id, prompt, adapters=uses)
        self._captures.begin(message.id, answer.run.id)
        self._writing.begin(chat, answer)
        self.tree.put(answer.message)
        answer.text_added.connect(lambda key, text: self._if_shown(chat, self.text_added, key, text))
        answer.progress.connect(lambda progress: self._if_shown(chat, self.reading_changed, progress))
        answer.stats.connect(lambda stats: self._if_shown(chat, self.stats_changed, stats))
        answer.ended.connect(lambda failure: self._on_ended(chat, failure, before, sent, leaf))
        self._go_to(self.tree.newest_leaf(message.id))
        self.answering_changed.emit(answer.run)

    def _if_shown(self, chat: str, signal: Any, *values: object) -> None:
        if chat == self.chat.id:
            signal.emit(*values)

    def _on_began(self, chat: str, version: StoredMessage, prompt: Prompt, uses: tuple[AdapterUse, ...]) -> None:
        """Another of several answers begins: it is shown, unless the person has gone back to one before it."""
        answer = self._writing.of(chat)
        assert isinstance(answer, Several)
        shown = chat == self.chat.id
        follows = not shown or self._leaf == answer.messages[-2].id
        self._captures.set_context(version.id, prompt, adapters=uses)
        self._captures.begin(version.id, answer.run.id, watched=shown and follows)
        if shown:
            for message in answer.messages[-2:]:
                self.tree.put(message)
        self._show_leaf(chat, version.id if follows else self._leaf)

    def _on_version(self, chat: str, version: StoredMessage) -> None:
        """One of several answers has new figures, or has ended."""
        if chat == self.chat.id:
            self.tree.put(version)
            self.message_changed.emit(version.id)

    def _choose(self, chat: str, answer: Several) -> None:
        """All of several answers have ended: the likeliest is shown, unless the person is at one before the last."""
        if chat != self.chat.id or self._leaf == answer.latest:
            self._show_leaf(chat, answer.message.id)
        if chat == self.chat.id and answer.dropped in self.tree:
            self.tree.remove([answer.dropped])
            self.path_changed.emit()

    def _show_leaf(self, chat: str, leaf: str) -> None:
        """The branch of a chat that ends in this message, now or when it is opened."""
        if chat == self.chat.id:
            self._go_to(leaf)
        elif (row := self._library.chat(chat)) is not None:
            self._library.change(row, leaf=leaf)

    def _on_ended(self, chat: str, failure: Failed | None, before: StoredMessage | None, sent: str, leaf: str) -> None:
        answer = self._writing.end(chat)
        message, shown = answer.message, chat == self.chat.id
        if shown:
            for written in answer.messages:
                self.tree.put(written)
            self.reading_changed.emit(None)
        if not answer.wrote and before is not None:  # continuing brought nothing: it is what it was
            self._workspace.submit(SaveMessage(before))
            if shown:
                self.tree.put(before)
        elif not answer.wrote and (failure is not None or message.status == "stopped"):
            self._withdraw(message, failure is not None, sent, leaf, shown)
        elif isinstance(answer, Several):
            self._choose(chat, answer)
        if shown:
            for written in answer.messages:
                if written.id in self.tree:
                    self.message_changed.emit(written.id)
            self.answering_changed.emit(None)
            if failure is not None:
                self.refused.emit(failure.message, failure.hint, failure.details)

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

    # --- inside -------------------------------------------------------------------------------------------------------

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

    def _on_follow(self, _: bool) -> None:
        if self._settings.value("follow_newest") != self._captures.wish:
            self._settings.set("follow_newest", self._captures.wish)

    def _on_sampling(self, sampling: SamplingParams) -> None:
        """The next token counts; several answers are all written as the first, so that they can be compared."""
        answer = self._writing.of(self.chat.id)
        if isinstance(answer, Answer):
            self._workspace.submit(Retune(answer.run.id, sampling=sampling))
