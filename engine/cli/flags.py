"""Command-line flags from the tables of engine/params: one flag a knob, with its range and help."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, TypeVar

from engine.errors import InvalidValue
from engine.params import Param, Params

P = TypeVar("P", bound=Params)


def add_flags(parser: argparse.ArgumentParser, table: type[Params]) -> None:
    """Add every knob of a parameter class; a flag that is not given leaves no trace (see given())."""
    group = parser.add_argument_group(table.__name__.removesuffix("Params").lower())
    for knob in table.table():
        group.add_argument(
            _flag(knob),
            dest=knob.name,
            type=_kind(knob),
            choices=knob.choices or None,
            default=None,
            metavar=None if knob.choices else knob.name.upper(),
            help=_help(knob),
        )
    for words in table.texts():
        group.add_argument(
            "--" + words.name.replace("_", "-"),
            dest=words.name,
            type=_weighed if words.weighed else str,
            action="append" if words.several else "store",
            default=None,
            metavar="TEXT=NUMBER" if words.weighed else "FILE" if words.file else "TEXT",
            help=f"{words.help}{' Repeatable.' * words.several}".replace("%", "%%"),
        )


def given(arguments: argparse.Namespace, table: type[Params]) -> dict[str, Any]:
    """The knobs and texts of a class that were named on the command line, with their values."""
    names = [knob.name for knob in table.table()] + [words.name for words in table.texts()]
    values = {name: getattr(arguments, name, None) for name in names}
    for words in table.texts():
        path = values[words.name]
        if words.file and path is not None:
            values[words.name] = _read(path)
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if v is not None}


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidValue(f"{path} cannot be read: {reason}.", "Choose a text file.") from error


def _weighed(word: str) -> tuple[str, float]:
    text, sign, number = word.rpartition("=")
    if not sign or not text:
        raise argparse.ArgumentTypeError(f'{word!r} is not a text and a number; write "text=5".')
    return text, float(number)


def _flag(knob: Param) -> str:
    return "--" + knob.name.replace("_", "-")


def _kind(knob: Param) -> type:
    return str if knob.choices else type(knob.default)


def _help(knob: Param) -> str:
    span = "" if knob.choices else f" {knob.low:g} to {knob.high:g}."
    off = "" if knob.off is None else f" {knob.off:g} is off."
    return f"{knob.help}{span}{off} Default {knob.default}.".replace("%", "%%")
