"""Command-line flags from the tables of params.py: one flag a knob, with its range and help."""

from __future__ import annotations

import argparse
from typing import Any, TypeVar

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


def given(arguments: argparse.Namespace, table: type[Params]) -> dict[str, Any]:
    """The knobs of a class that were named on the command line, with their values."""
    values = {knob.name: getattr(arguments, knob.name, None) for knob in table.table()}
    return {name: value for name, value in values.items() if value is not None}


def _flag(knob: Param) -> str:
    return "--" + knob.name.replace("_", "-")


def _kind(knob: Param) -> type:
    return str if knob.choices else type(knob.default)


def _help(knob: Param) -> str:
    span = "" if knob.choices else f" {knob.low:g} to {knob.high:g}."
    off = "" if knob.off is None else f" {knob.off:g} is off."
    return f"{knob.help}{span}{off} Default {knob.default}.".replace("%", "%%")
