"""Where a person's data lies: chats, settings, caches. VITRINE_HOME points elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from engine.errors import EngineError


def data_folder() -> Path:
    """The folder for this person's data, made if it is not there; EngineError where that fails."""
    chosen = os.environ.get("VITRINE_HOME")
    folder = Path(chosen).expanduser() if chosen else Path(platformdirs.user_data_dir("Vitrine", appauthor=False))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EngineError(
            f"The folder for your chats, {folder}, cannot be made: {error.strerror}.",
            "Free the path, or name another folder in VITRINE_HOME.",
        ) from error
    return folder
