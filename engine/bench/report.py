"""A benchmark's figures in words: lines for a terminal, and a row of the README's table."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import InvalidValue

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
"""What stands around the table in the file."""

HEAD = (
    "| model | precision, threads | decode, tokens/s | × llama.cpp | share of the memory limit | prompt, tokens/s "
    "| × llama.cpp | weights / peak, MB | beside a busy core, × llama.cpp / × quiet | load | on |"
)
RULE = "|---|---|---|---|---|---|---|---|---|---|---|"


def lines(result: Mapping[str, Any]) -> list[str]:
    """A line for each figure."""
    found = []
    for name, value in result.items():
        if isinstance(value, Mapping):
            found.append(f"{_words(name)}:")
            found += [f"  {line}" for line in lines(value)]
        else:
            found.append(f"{_words(name):28} {_number(name, value)}")
    return found


def write(path: Path, result: Mapping[str, Any]) -> None:
    """Put the result into the table between the marks of a file, in place of an older one of the same measurement.

    Raises InvalidValue where the file has no such marks.
    """
    text = path.read_text(encoding="utf-8")
    before, mark, rest = text.partition(BEGIN)
    inside, end, after = rest.partition(END)
    if not mark or not end:
        raise InvalidValue(
            f"{path} has no place for a table.", f"Write {BEGIN} and {END} into it, on lines of their own."
        )
    new = row(result)
    kept = [line for line in inside.splitlines() if line.startswith("| ") and line != HEAD and _key(line) != _key(new)]
    table = "\n".join([HEAD, RULE, *sorted([*kept, new])])
    path.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


def row(result: Mapping[str, Any]) -> str:
    """The result as a line of the table."""
    busy = result.get("busy", {})
    share = busy["decode_tokens_per_s"] / result["decode_tokens_per_s"] if busy else None
    cells = [
        f"{result['model']}, prompt {result['prompt_tokens']:,}",
        f"{result['precision']}, {result['threads']}",
        f"{result['decode_tokens_per_s']:.1f}",
        _ratio(result.get("decode_ratio")),
        _ratio(result["share_of_limit"]),
        f"{result['prefill_tokens_per_s']:.0f}",
        _ratio(result.get("prefill_ratio")),
        f"{result['weight_bytes'] / 1e6:,.0f} / {result['peak_bytes'] / 1e6:,.0f}",
        f"{_ratio(busy.get('decode_ratio'))} / {_ratio(share)}" if busy else "",
        "" if result["load_average"] is None else f"{result['load_average']:.1f}",
        f"{processor(result['kernels'])}, {datetime.date.today().isoformat()}",
    ]
    return f"| {' | '.join(cells)} |"


def processor(kernels: str) -> str:
    """The processor's name, which of its instructions run, and how many cores it has."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {kernels}, {os.cpu_count()} cores"


def _key(line: str) -> list[str]:
    """What was measured, and where: model, prompt, precision and threads, and the machine without the day."""
    cells = [cell.strip() for cell in line.strip("| ").split("|")]
    return [*cells[:2], cells[-1].rpartition(",")[0]]


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _words(name: str) -> str:
    return name.replace("_per_s", " a second").removesuffix("_s").replace("_", " ")


def _number(name: str, value: object) -> str:
    if name.endswith("_bytes") and isinstance(value, int):
        return f"{value / 1e6:,.1f} MB"
    if isinstance(value, float):
        return f"{value:,.3f} s" if name.endswith("_s") and "_per_" not in name else f"{value:,.2f}"
    return str(value)
