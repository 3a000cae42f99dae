"""Messages to ids through the checkpoint's own chat template, with the ids of each message.

The template runs in a helper process of its own (engine/text/render_worker.py), killed when it takes too long. What a
message says cannot forge the template's marks: special tokens written out in a content are ordinary text. That goes
further than most peers; a person who wants to write them uses Complete.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from engine.messages import Message
from engine.text.tokenizer import Tokenizer

SECONDS = 2.0
STARTING_SECONDS = 30.0
REMEMBERED = 8
HINT = "Complete works without a template."
WORD_JOINER = "\u2060"


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """spans: (role, first id, one past the last id) of each message, in the messages' order, with its marks.

    The prompt for an answer, after the last message, belongs to none; what stands before the first belongs to it.
    """

    text: str
    ids: tuple[int, ...]
    spans: tuple[tuple[str, int, int], ...]


class ChatTemplate:
    """A checkpoint's Jinja template with its tokenizer. Close it to end its process; it starts again when needed."""

    def __init__(self, source: str, special_tokens: dict[str, str], tokenizer: Tokenizer) -> None:
        self._source = source
        self._special_tokens = special_tokens
        self._tokenizer = tokenizer
        self._specials = tuple(tokenizer.piece(id) for id in tokenizer.special_ids)
        self._helper = Helper()
        self._rendered: dict[tuple[tuple[Message, ...], bool, str], RenderedPrompt] = {}

    def render(self, messages: Sequence[Message], add_generation_prompt: bool, answer_text: str = "") -> RenderedPrompt:
        """The prompt for these messages; answer_text is what the answer already begins with.

        The template writes its own special tokens, so none are added. Raises EngineError where the template fails.
        """
        key = (tuple(messages), add_generation_prompt, answer_text)
        known = self._rendered.pop(key, None) or self._render(*key)
        self._rendered[key] = known
        if len(self._rendered) > REMEMBERED:
            del self._rendered[next(iter(self._rendered))]
        return known

    def close(self) -> None:
        """End the helper process, if one runs."""
        self._helper.close()

    def _render(self, messages: tuple[Message, ...], generation: bool, answer_text: str) -> RenderedPrompt:
        reply = self._ask(messages, generation)
        # What cannot be found for certain in the text has its special tokens broken up before it gets there.
        known = _known(reply)
        if any(not place and self._holds_special(message.content) for place, message in zip(known, messages)):
            messages = tuple(
                m if place else Message(m.role, self._broken(m.content)) for place, m in zip(known, messages)
            )
            reply = self._ask(messages, generation)
        literal = [*filter(None, _known(reply)), (len(reply["text"]), len(reply["text"]) + len(answer_text))]
        text: str = reply["text"] + answer_text
        ids, offsets = self._tokenizer.encode_with_offsets(text, literal)
        spans = _spans([message.role for message in messages], reply, offsets)
        return RenderedPrompt(text, tuple(ids), spans)

    def _ask(self, messages: tuple[Message, ...], generation: bool) -> dict[str, Any]:
        reply = self._helper.ask(
            {
                "template": self._source,
                "messages": [{"role": message.role, "content": message.content} for message in messages],
                "generation": generation,
                "variables": self._special_tokens,
                "now": datetime.now().isoformat(),
            }
        )
        if "error" in reply:
            where = f" in line {reply['line']}" if reply["line"] else ""
            raise EngineError(f"The chat template stopped{where}: {reply['error'].rstrip('.')}.", HINT)
        return reply

    def _holds_special(self, content: str) -> bool:
        return any(special in content for special in self._specials)

    def _broken(self, content: str) -> str:
        for special in self._specials:
            content = content.replace(special, special[:1] + WORD_JOINER + special[1:])
        return content


def _known(reply: dict[str, Any]) -> list[tuple[int, int] | None]:
    """The characters of each content in the text, None where they are a guess or there are none."""
    return [(place[0], place[1]) if place and reply["certain"] else None for place in reply["ranges"]]


def _spans(roles: list[str], reply: dict[str, Any], offsets: list[tuple[int, int]]) -> tuple[tuple[str, int, int], ...]:
    """Each message's ids: from the end of the one before it to the end of what its role writes after a content.

    A token on the border goes to the side that holds more of it. A message that the template left out is empty.
    """
    text, ranges = reply["text"], reply["ranges"]
    middles = [(start + end) / 2 for start, end in offsets]
    located = sorted((i for i in range(len(roles)) if ranges[i]), key=lambda i: ranges[i])
    bounds: dict[int, tuple[int, int]] = {}
    done = 0
    for n, i in enumerate(located):
        past = ranges[i][1]
        following = ranges[located[n + 1]][0] if n + 1 < len(located) else len(text)
        border = past + _common(text[past : max(past, following)], reply["tails"][roles[i]])
        token = next((t for t in range(done, len(middles)) if middles[t] >= border), len(middles))
        bounds[i] = (done, token)
        done = token
    spans = []
    last = 0
    for i, role in enumerate(roles):
        first, last = bounds.get(i, (last, last))
        spans.append((role, first, last))
    return tuple(spans)


def _common(one: str, other: str) -> int:
    """How many characters the two begin with alike."""
    return next((n for n, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))


class Helper:
    """The helper process, started at the first question and again after it was killed. One question at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._end: weakref.finalize[..., Helper] | None = None

    def ask(self, request: dict[str, Any], seconds: float = SECONDS) -> dict[str, Any]:
        """The worker's reply; EngineError where it does not come in time."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            line, late = self._exchange(json.dumps(request) + "\n", seconds)
        if late:
            raise EngineError(f"The chat template did not finish within {seconds:g} seconds.", HINT)
        if not line:
            raise EngineError("The process that runs the chat template ended unexpectedly.", "Try again.")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def close(self) -> None:
        with self._lock:
            if self._end is not None:
                self._end()
            self._process = self._end = None

    def _start(self) -> None:
        if self._end is not None:
            self._end()
        # Run as a file: as a module it would import the whole engine first.
        worker = Path(__file__).with_name("render_worker.py")
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(worker)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self._end = weakref.finalize(self, _end, self._process)
        self._exchange("", STARTING_SECONDS)  # a cold start is not the template's fault

    def _exchange(self, question: str, seconds: float) -> tuple[str, bool]:
        """Write a line, read a line; (line, whether time ran out). A pipe has no time-out of its own: kill ends it."""
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        late = threading.Event()

        def kill() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()
        line = ""
        try:
            process.stdin.write(question)
            process.stdin.flush()
            line = process.stdout.readline()
        except (OSError, ValueError):
            process.kill()
        finally:
            timer.cancel()
            timer.join()
        if not line:
            process.wait()
        return line, late.is_set() and not line


def _end(process: subprocess.Popen[str]) -> None:
    """Let the process go: it ends when its input does, or else it is killed."""
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(1.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
