"""The process that matches regular expressions from somebody else's files, and can be ended when they take too long.

Python's own matcher holds the interpreter's lock and can be stopped by nothing else. It reads one JSON object with
patterns and names, and answers with the names that each pattern fits as a whole, null for one that is none.
"""

from __future__ import annotations

import json
import re
import sys


def main() -> None:
    request = json.load(sys.stdin)
    json.dump([_fitting(pattern, request["names"]) for pattern in request["patterns"]], sys.stdout)


def _fitting(pattern: str, names: list[str]) -> list[str] | None:
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return None
    return [name for name in names if compiled.fullmatch(name)]


if __name__ == "__main__":
    main()
