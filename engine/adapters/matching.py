"""Which modules an adapter's settings mean, by their names, and with what rank and scale, as PEFT understands them.

Source: PEFT's check_target_module_exists and get_pattern_key. Free of torch.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from engine.adapters.settings import AGAIN, ALL_LINEAR, Settings
from engine.errors import BadModelFiles

LITERAL = re.compile(r"[\w.-]*")
"""What is a name and no pattern; its points then stand for themselves."""

IN_A_LAYER = re.compile(r"(?:.*?\.)??(?P<stack>[^.]+)\.(?P<number>\d+)\.")
SECONDS = 5.0


def targeted(settings: Settings, names: Collection[str]) -> set[str]:
    """Those of the names of Linear modules that are meant; all of the layers' where all Linear ones are."""
    excluded = _named(settings, settings.excluded, names)
    if isinstance(settings.targets, str) and settings.targets.lower() == ALL_LINEAR:
        return {name for name in names if IN_A_LAYER.match(name)} - excluded
    found = _named(settings, settings.targets, names) - excluded
    if settings.layers is None or isinstance(settings.targets, str):
        return found
    return {name for name in found if _layer(name, settings.stacks) in settings.layers}


def ranks_and_alphas(settings: Settings, names: Collection[str]) -> dict[str, tuple[int, float]]:
    """The rank and alpha of each of the names: those of the first pattern that it ends with."""
    keys = {*settings.ranks, *settings.alphas}
    fitting = {key: {name for name in names if _ends(name, key)} for key in keys if LITERAL.fullmatch(key)}
    patterns = sorted(keys - fitting.keys())
    fitting |= zip(patterns, _fitting(settings, [rf"(.*\.)?({key})" for key in patterns], names))

    def first(name: str, table: Iterable[str]) -> str | None:
        return next((key for key in table if name in fitting[key]), None)

    found = {}
    for name in names:
        rank, alpha = first(name, settings.ranks), first(name, settings.alphas)
        found[name] = (
            settings.rank if rank is None else settings.ranks[rank],
            settings.alpha if alpha is None else settings.alphas[alpha],
        )
    return found


def _named(settings: Settings, wanted: tuple[str, ...] | str, names: Collection[str]) -> set[str]:
    if isinstance(wanted, str):
        return _fitting(settings, [wanted], names)[0]
    return {name for name in names if any(_ends(name, end) for end in wanted)}


def _ends(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}")


def _layer(name: str, stacks: Sequence[str]) -> int | None:
    """The number of the layer that a module is in."""
    if not stacks:
        found = IN_A_LAYER.match(name)
        return int(found["number"]) if found else None
    matches = (re.match(rf"(?:.*?\.)??{re.escape(stack)}\.(\d+)\.", name) for stack in stacks)
    return next((int(match[1]) for match in matches if match), None)


def _fitting(settings: Settings, patterns: Sequence[str], names: Collection[str]) -> list[set[str]]:
    """The names that each regular expression fits as a whole."""
    if not patterns:
        return []
    worker = Path(__file__).with_name("pattern_worker.py")
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(worker)],  # as a file: as a module it would import the whole engine first
            input=json.dumps({"patterns": patterns, "names": list(names)}),
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        raise BadModelFiles(
            f"A pattern of {settings.source} takes too long to match: {patterns[0]!r:.80}.",
            "List the modules' names there instead.",
        ) from error
    found = json.loads(done.stdout)
    for pattern, fitting in zip(patterns, found):
        if fitting is None:
            raise BadModelFiles(f"{settings.source} holds {pattern!r:.80}, which is no regular expression.", AGAIN)
    return [set(fitting) for fitting in found]
