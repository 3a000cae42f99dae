"""Where a person's data lies: chats, settings, caches. VITRINE_HOME points elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def data_folder() -> Path:
    """The folder for this person's data, made if it is not there."""
    chosen = os.environ.get("VITRINE_HOME")
    folder = Path(chosen).expanduser() if chosen else Path(platformdirs.user_data_dir("Vitrine", appauthor=False))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
