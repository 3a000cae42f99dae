"""What subcommands have in common on the command line: how one is declared, and texts, ids and numbers read from it."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from engine.cli.flags import add_flags
from engine.errors import EngineError, InvalidValue
from engine.messages import Message, Prompt
from engine.params import LoadParams, SamplingParams

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # it has no public name


def subcommand(
    commands: Commands,
    function: Callable[[argparse.Namespace], int],
    help: str,
    *,
    model: str | None = "needed",
    runs: bool = False,
) -> argparse.ArgumentParser:
    """Declare a subcommand that is called as its function is.

    model: whether it takes one, "needed", "optional" or None. runs: it loads the model, in the way that flags say.
    """
    sub = commands.add_parser(function.__name__, help=help, description=help)
    sub.set_defaults(function=function)
    if model is not None:
        several = "?" if model == "optional" else None
        sub.add_argument("model", metavar="MODEL", nargs=several, help="a model folder or a .gguf file")
    if runs:
        add_flags(sub, LoadParams)
    return sub


def add_sampling(sub: argparse.ArgumentParser) -> None:
    """Every knob of the sampling, and who drafts."""
    add_flags(sub, SamplingParams)
    sub.add_argument("--draft", metavar="MODEL", help="a smaller model of the same tokenizer that drafts for it")


def add_adapters(sub: argparse.ArgumentParser) -> None:
    """Adapters in PEFT's format."""
    sub.add_argument(
        "--adapter",
        dest="adapters",
        action="append",
        type=_weighed_path,
        metavar="PATH[=WEIGHT]",
        help="a LoRA adapter's folder, and how strongly it is to change the model, 0 to 2. Repeatable.",
    )


def _weighed_path(word: str) -> tuple[str, float]:
    """A path, and the number behind its last equals sign, where there is one."""
    path, sign, number = word.rpartition("=")
    with contextlib.suppress(ValueError):
        if sign and path:
            return path, float(number)
    return word, 1.0


def text_of(arguments: argparse.Namespace) -> str:
    """The text that was given, or that of the file that was named; "" where neither was."""
    if getattr(arguments, "file", None):
        try:
            return Path(arguments.file).read_text(encoding="utf-8")
        except OSError as error:
            raise EngineError(f"{arguments.file} cannot be read: {error.strerror}.", "Choose a text file.") from error
        except UnicodeDecodeError as error:
            raise EngineError(f"{arguments.file} is not UTF-8 text.", "Save it as UTF-8 first.") from error
    text: str = arguments.text or ""
    return text


def prompt_of(arguments: argparse.Namespace) -> Prompt:
    """What the model is to read: ids or a text, and a source for an encoder-decoder."""
    source = arguments.source
    if arguments.ids is None:
        return Prompt(text=text_of(arguments), source=source)
    try:
        return Prompt(ids=tuple(int(word) for word in arguments.ids.replace(",", " ").split()), source=source)
    except ValueError:
        raise InvalidValue(
            f"--ids is {arguments.ids!r}, which is not a list of whole numbers.", 'Write them like "1 2 3".'
        ) from None


def numbers(text: str | None, flag: str) -> list[int] | None:
    """ "0,3" as numbers; None where nothing was given."""
    if text is None:
        return None
    try:
        return [int(word) for word in text.replace(",", " ").split()]
    except ValueError:
        raise InvalidValue(f"{flag} is {text!r}, which is not a list of whole numbers.", 'Write "0,3".') from None


def messages_of(path: str) -> tuple[Message, ...]:
    """The turns that a JSON file holds."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        return tuple(Message(str(item["role"]), str(item["content"])) for item in data)
    except OSError as error:
        raise EngineError(f"{path} cannot be read: {error.strerror}.", "Choose a JSON file.") from error
    except (ValueError, TypeError, KeyError) as error:
        raise EngineError(
            f"{path} is not a list of messages.", 'Write [{"role": "user", "content": "..."}] in it.'
        ) from error


def print_json(**values: Any) -> None:
    """One JSON object on a line of its own."""
    print(json.dumps(values, ensure_ascii=False))
