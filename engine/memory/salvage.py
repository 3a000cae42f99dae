"""What can still be read from a damaged database, put into a sound one. Knows tables and rows, not what they mean."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.memory.database import writing


def salvage(damaged: Path, target: sqlite3.Connection, tables: Sequence[str]) -> int:
    """Add the rows of tables that target lacks, in their order; returns how many. What target has stays as it is.

    tables: parents before children. Each is read from both ends up to the first page that cannot be read.
    """
    added = 0
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_look_at(damaged)) as source:
        source.text_factory = lambda raw: raw.decode(errors="replace")
        for table in tables:
            names = [row[1] for row in target.execute(f"PRAGMA table_info({table})") if row[1] != "serial"]
            rows = _readable(source, f"SELECT rowid, {', '.join(names)} FROM {table} ORDER BY rowid")
            add = f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
            with writing(target):
                for number in sorted(rows):
                    with contextlib.suppress(sqlite3.IntegrityError):  # its parent row was not readable
                        added += target.execute(add, rows[number]).rowcount
    return added


def _look_at(damaged: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{damaged.as_uri()}?mode=ro", uri=True)  # reading must not change the evidence


def _readable(source: sqlite3.Connection, query: str) -> dict[int, tuple[Any, ...]]:
    """rowid -> the rest of the row."""
    rows: dict[int, tuple[Any, ...]] = {}
    for direction in ("ASC", "DESC"):
        with contextlib.suppress(sqlite3.DatabaseError):
            for number, *rest in source.execute(f"{query} {direction}"):
                rows[number] = tuple(rest)
    return rows
