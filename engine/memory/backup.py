"""Rolling backups of one database, a day apart, and the way back from a damaged file.

It knows files and dates, no chat. A backup is made on a thread and a connection of its own from one snapshot, so
saving goes on beside it; it is checked before it takes its name, so a damaged file never replaces a sound backup.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import threading
from datetime import date, datetime
from pathlib import Path

from engine.memory.database import check, copy_database

KEPT = 5


def set_aside(path: Path) -> Path:
    """Keep a damaged database under another name, which is returned; what stands at path may then be replaced."""
    aside = path.with_name(f"{path.stem}-damaged-{datetime.now():%Y%m%d-%H%M%S}{path.suffix}")
    # Copied, not moved: until its replacement takes the name, a process that ends here finds the damage again, not
    # an empty folder. The journal must go, or it would be played into the replacement.
    shutil.copyfile(path, aside)
    for ending in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{ending}").replace(f"{aside}{ending}")
    return aside


class Backups:
    """The backups of the database at path, in the folder `backups` beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = path.parent / "backups"
        self._day: date | None = None
        self._thread: threading.Thread | None = None

    def make_daily(self) -> None:
        """Start a backup where today's has not been made; returns at once."""
        today = date.today()
        if self._day == today:
            return
        self._day = today
        target = self._folder / f"{self._path.stem}-{today.isoformat()}{self._path.suffix}"
        if not target.exists():
            self._thread = threading.Thread(target=self._make, args=(target,), name="vitrine-backup", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait for the backup under way, if any."""
        if self._thread is not None:
            self._thread.join()

    def newest_first(self) -> list[Path]:
        return sorted(self._folder.glob(f"{self._path.stem}-????-??-??{self._path.suffix}"), reverse=True)

    def _make(self, target: Path) -> None:
        # No disk space, no permission: the chats themselves are unharmed, and tomorrow is another day.
        with (
            contextlib.suppress(sqlite3.Error, OSError),
            contextlib.closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True)) as source,
        ):
            self._folder.mkdir(exist_ok=True)
            source.execute("BEGIN")  # the snapshot: writes by others neither wait for the copy nor restart it
            copy_database(source, target)
            for old in self.newest_first()[KEPT:]:
                old.unlink()
            for part in self._folder.glob(f"{self._path.stem}-*.part*"):  # of copies that were cut short
                if not part.name.startswith(target.name):
                    part.unlink()

    def restore(self) -> bool:
        """Put the newest sound backup in the database's place, or nothing where there is none (False)."""
        for backup in self.newest_first():
            try:
                with contextlib.closing(sqlite3.connect(f"{backup.as_uri()}?mode=ro", uri=True)) as copy:
                    check(copy)
            except sqlite3.Error:
                continue
            part = self._path.with_name(f"{self._path.name}.part")
            shutil.copyfile(backup, part)
            part.replace(self._path)
            return True
        self._path.unlink()
        return False
