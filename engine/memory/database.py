"""One SQLite file, opened so that nothing acknowledged is lost: what every file of the store has in common.

It knows no chat. A commit is on the disk when it returns, after SIGKILL and after a power cut: WAL with
synchronous=FULL costs one flush per commit, and a person's chat commits about once a second. WAL also lets a second
window read and write beside the first.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.errors import EngineError

BUSY_SECONDS = 5.0  # how long a write waits for another process's write
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def open_database(path: Path, migrations: Sequence[str], checked: bool = False) -> sqlite3.Connection:
    """Open or make the file and bring its schema to len(migrations), each a script from one version to the next.

    checked: read all of it and see whether it is whole, before anything is written.
    Raises EngineError in one sentence; a damaged file raises sqlite3.DatabaseError, see `damaged`.
    """
    with spoken(path):
        with contextlib.suppress(FileExistsError):
            path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            _use_wal(connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            if checked:
                check(connection)
            _migrate(connection, path, migrations)
        except BaseException:
            connection.close()
            raise
    return connection


def check(connection: sqlite3.Connection) -> None:
    """Raise sqlite3.DatabaseError where the file's structure is damaged. Reads all of it."""
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        error = sqlite3.DatabaseError(found)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


@contextlib.contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """One transaction: committed to the disk at the end, or undone as a whole."""
    # IMMEDIATE waits for another writer here; a transaction that begins by reading could only fail later.
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def damaged(error: sqlite3.Error) -> bool:
    """Whether it says that the file itself is broken."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in DAMAGED


@contextlib.contextmanager
def spoken(path: Path) -> Iterator[None]:
    """Turn what SQLite and the disk refuse into one sentence each; damage passes through for the opener to mend."""
    try:
        yield
    except sqlite3.Error as error:
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        if code in DAMAGED:
            raise
        if code == sqlite3.SQLITE_FULL:
            raise EngineError(
                "The disk is full, so this could not be saved.", "Free some space; what was saved before is safe."
            ) from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise EngineError(f"{path} is held by another program.", "Close that program and try again.") from error
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
            raise _unwritable(path) from error
        if code == sqlite3.SQLITE_IOERR:
            raise EngineError(
                f"The disk refused to read or write {path}.", "Check the disk; what was saved before is kept."
            ) from error
        raise
    except OSError as error:
        raise _unwritable(path) from error


def _unwritable(path: Path) -> EngineError:
    return EngineError(
        f"Chats cannot be saved to {path}.",
        "Give yourself the right to write there, or set VITRINE_HOME to another folder.",
    )


def _use_wal(connection: sqlite3.Connection) -> None:
    # Two processes that make the file at the same moment: SQLite does not wait for this change of mode by itself.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if (error.sqlite_errorcode or 0) & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[str]) -> None:
    """Bring the schema up in one transaction; a file that held an older schema is first copied and the copy kept."""
    version = _version(connection)
    if version > len(migrations):
        raise EngineError(
            f"{path} was written by a newer Vitrine (schema {version}; this one knows {len(migrations)}).",
            "Update Vitrine, or set VITRINE_HOME to another folder.",
        )
    if version == len(migrations):
        return
    if version:
        copy_database(connection, path.with_name(f"{path.stem}-schema-{version}{path.suffix}"))
    with writing(connection):
        for number in range(_version(connection), len(migrations)):  # another window may have been first
            for statement in migrations[number].split(";\n"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")


def copy_database(source: sqlite3.Connection, target: Path) -> None:
    """Copy all of it into another file, whole or not at all; checked before it takes the name."""
    part = target.with_name(f"{target.name}.{os.getpid()}.part")  # another window may be copying as well
    for ending in ("", "-journal", "-wal", "-shm"):  # of a copy that was cut short: a journal outlives its file
        Path(f"{part}{ending}").unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(part)) as copy:
        # A few hundred pages a step: the interpreter is free in between, so no other thread waits for the copy.
        source.backup(copy, pages=256)
        # A copy is one file: whoever opens it to look needs no journal beside it.
        copy.execute("PRAGMA journal_mode = DELETE")
        check(copy)
    part.replace(target)
