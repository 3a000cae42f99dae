"""What the person chose, kept between starts: a small INI file in the data folder, every name declared here once.

Values are JSON inside the file, so that a setting comes back with the type it was given; what cannot be read is the
default again. QSettings writes in the background of the event loop, so set() costs nothing on the GUI thread.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from PySide6.QtCore import QByteArray, QObject, QSettings, Signal

DEFAULTS: dict[str, Any] = {
    "theme": "system",  # system, light or dark
    "text_size": 15,  # of the transcript, in pixels
    "window_geometry": b"",
    "window_state": b"",
    "sidebar_shown": True,
    "sidebar_width": 232,
    "folders": [],  # model folders the person added
    "presets": {},  # name -> {"description", "sampling"}, the person's own
    "preset": "",  # the name chosen last; "" is the model's own
    "sampling": {},  # the sampling left behind, changed or not
    "model_sampling": {},  # model folder -> {"preset", "sampling"}, as it was last used
    "last_model": "",
    "load": {"precision": "fast"},  # LoadParams as a dictionary; unlike a tool, a window should answer soon
    "drafts": {},  # model folder -> the folder of the model that drafts for it
    "adapters": {},  # model folder -> adapter folder -> how strongly it is on
    "last_chat": "",
    "follow_newest": True,  # panes follow the token being written
    "candidates_shown": 20,
    "answers": 3,  # how many are written where several are asked for
    "prompt_task": "",  # of the card that puts a task into a prompt
    "prompt_examples": [],  # its examples, each an input and an output
    "token_scale": "Probability",  # what the colours of tokens mean
    "greeted": False,  # the first prompt has been offered
}


class Settings(QObject):
    """Named values over QSettings. changed carries the name of what was set."""

    changed = Signal(str)

    def __init__(self, home: Path) -> None:
        super().__init__()
        self._store = QSettings(str(home / "settings.ini"), QSettings.Format.IniFormat)

    def value(self, name: str, default: Any = None) -> Any:
        """The value set, or `default`, or what DEFAULTS declares. A name that is not declared is a KeyError."""
        fallback = DEFAULTS[name] if default is None else default
        text = self._store.value(name)
        if text is None:
            return fallback
        try:
            value = base64.b64decode(str(text)) if isinstance(fallback, bytes) else json.loads(str(text))
        except ValueError:
            return fallback
        return value if isinstance(value, type(fallback)) else fallback

    def set(self, name: str, value: Any) -> None:
        """Keep a value: plain JSON values, or bytes (QByteArray too) where DEFAULTS says bytes."""
        if isinstance(DEFAULTS[name], bytes):
            raw = value.data() if isinstance(value, QByteArray) else value
            self._store.setValue(name, base64.b64encode(raw).decode())
        else:
            self._store.setValue(name, json.dumps(value, ensure_ascii=True))
        self.changed.emit(name)

    def forget(self, name: str) -> None:
        """Back to the declared default."""
        self._store.remove(name)
        self.changed.emit(name)

    def sync(self) -> None:
        """Write now; at the end of the program."""
        self._store.sync()
