"""The process that runs chat templates, which are programs from somebody else's checkpoint.

It reads one JSON request a line and answers one a line, knows neither tokens nor models, and imports only Jinja and
the standard library, so that it starts fast. Jinja's sandbox keeps a template from reaching anything; the limit on
memory set here and the time limit of whoever asks (engine/text/templates.py) keep it from hanging anything.

Request: template, messages ({role, content} each), generation, variables, now (ISO time). Answer: text; ranges, per
message the [first, past-last] characters of its content or null; certain, whether these are known or guessed; tails,
per role what the template writes after the content of a last message; or else error and line.
"""

from __future__ import annotations

import json
import re
import secrets
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

MEMORY = 256 * 2**20
LONGEST = 1_000_000  # characters that a template may write of its own
# Where the content of a message begins and ends. The number keeps a content from holding a mark, and digits survive
# what templates like to do to text (upper, title, trim).
NONCE = str(secrets.randbits(64))
BEGIN, END = (f"\ue000{NONCE}.{{}}{kind}" for kind in "\ue001\ue002")
MARKS = re.compile(f"\ue000{NONCE}\\.([0-9]+)([\ue001\ue002])")

Run = Callable[[list[dict[str, Any]], bool], str]


class Generation(Extension):
    """`{% generation %}...{% endgeneration %}`, which marks answers for training: here it only shows its body."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Render one request; a failing template answers with error and line."""
    messages = request["messages"]
    variables = {"tools": None, "documents": None} | request["variables"]
    variables["strftime_now"] = datetime.fromisoformat(request["now"]).strftime

    def run(messages: list[dict[str, Any]], generation: bool) -> str:
        return template.render({**variables, "messages": messages, "add_generation_prompt": generation})

    try:
        template = _compiled(request["template"])
        text = run(messages, request["generation"])
        if len(text) > LONGEST + 4 * sum(len(_content(message)) for message in messages):
            return {"error": "it writes too much text", "line": None}
        ranges, certain = _ranges(run, messages, request["generation"], text)
        return {
            "text": text,
            "ranges": ranges,
            "certain": certain,
            "tails": {role: _tail(run, messages, role) for role in {message["role"] for message in messages}},
        }
    except MemoryError:
        return {"error": "it needs too much memory", "line": None}
    except RecursionError:
        return {"error": "it calls itself without end", "line": None}
    except jinja2.TemplateSyntaxError as error:
        return {"error": error.message, "line": error.lineno}
    except Exception as error:  # whatever a stranger's program may raise
        return {"error": str(error) or type(error).__name__, "line": _line(error)}


@lru_cache(maxsize=4)
def _compiled(source: str) -> jinja2.Template:
    return _environment().from_string(source)


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    """As transformers sets it up: utils/chat_template_utils.py."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    return environment


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own would escape for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _ranges(
    run: Run, messages: list[dict[str, Any]], generation: bool, text: str
) -> tuple[list[list[int] | None], bool]:
    """Where each content stands in the text, and whether that is certain.

    It is where marks around the contents show it and change nothing else; or else it is a search, in order.
    """
    for blank in (True, False):
        try:
            marked = run([_marked(message, i, blank) for i, message in enumerate(messages)], generation)
        except Exception:  # a template that looks at its contents may dislike the marks
            continue
        if MARKS.sub("", marked) == text:
            places: dict[str, int] = {}
            length = 0
            for mark in MARKS.finditer(marked):
                places.setdefault(mark[0], mark.start() - length)
                length += len(mark[0])
            pairs = [(places.get(BEGIN.format(i)), places.get(END.format(i))) for i in range(len(messages))]
            return [[a, b] if a is not None and b is not None and a <= b else None for a, b in pairs], True
    found: list[list[int] | None] = []
    done = 0
    for message in messages:
        content = _content(message).strip()
        start = text.find(content, done) if content else -1
        found.append([start, start + len(content)] if start >= 0 else None)
        done = start + len(content) if start >= 0 else done
    return found, False


def _content(message: dict[str, Any]) -> str:
    """The text of a message; "" for one that has parts or a tool's call instead."""
    content = message.get("content")
    return content if isinstance(content, str) else ""


def _marked(message: dict[str, Any], index: int, blank: bool) -> dict[str, Any]:
    """The message with its content marked, inside the white space around it, which templates like to trim."""
    content = _content(message)
    core = content.strip()
    if not core and not blank:
        return message
    start = content.index(core)
    parts = (content[:start], BEGIN.format(index), core, END.format(index), content[start + len(core) :])
    return {**message, "content": "".join(parts)}


def _tail(run: Run, messages: list[dict[str, Any]], role: str) -> str:
    """What follows the content of the last message of this role when nothing comes after it."""
    last = max(i for i, message in enumerate(messages) if message["role"] == role)
    try:
        marked = run([*messages[:last], _marked(messages[last], last, True)], False)
    except Exception:  # some templates refuse to end on a system message
        return ""
    return MARKS.sub("", marked.partition(END.format(last))[2])


def _line(error: BaseException) -> int | None:
    """The template's line that failed, from the traceback that Jinja rewrites."""
    line, trace = None, error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in a terminal is for whoever asks
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ImportError, ValueError, OSError):
        pass  # Windows has no such limit, macOS may refuse it; the time limit still holds
    print("{}", flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
