"""The headless door: the same engine, the same knobs, in a terminal. Imports no Qt.

`vitrine SUBCOMMAND ...` and `python -m engine SUBCOMMAND ...` are the same. With --json, one JSON object on stdout.
A mistake is one sentence on stderr and exit 1; wrong usage is exit 2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from engine.cli import encoding, files, inside, texts, writing
from engine.errors import EngineError

SUBCOMMANDS = (
    "generate",
    "chat",
    "score",
    "fill",
    "classify",
    "embed",
    "tokenize",
    "template",
    "inspect",
    "attend",
    "lens",
    "quantize",
    "cache",
    "bench",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit status."""
    arguments = _parser().parse_args(argv)
    function: Callable[[argparse.Namespace], int] = arguments.function
    try:
        return function(arguments)
    except EngineError as error:
        print(str(error), file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 141


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vitrine", description="Vitrine without its window.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="|".join(SUBCOMMANDS))
    for group in (writing, inside, texts, encoding, files):
        group.add(commands)
    for name, sub in commands.choices.items():
        if name != "chat":
            sub.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser


if __name__ == "__main__":
    sys.exit(main())
