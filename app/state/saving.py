"""Writing a file that may be large, without the window waiting: whole under another name first, then in its place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, QThreadPool, Signal


class Saver(QObject):
    """saved: the path of a file that was written. failed: one sentence on why one was not."""

    saved = Signal(str)
    failed = Signal(str)

    def save(self, path: str, write: Callable[[Path], None]) -> None:
        """Have `write` fill a new file on another thread and put it in the place of this one."""
        QThreadPool.globalInstance().start(lambda: self._write(Path(path), write))

    def _write(self, path: Path, write: Callable[[Path], None]) -> None:
        part = path.with_name(f".{path.stem}.part{path.suffix}")
        try:
            write(part)
            os.replace(part, path)
        except OSError as error:
            part.unlink(missing_ok=True)
            self.failed.emit(f"{path.name} could not be written: {error.strerror or error}.")
        else:
            self.saved.emit(str(path))
