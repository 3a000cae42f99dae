"""From the first paint to the last write: the engine starts behind the window, what was open comes back.

It ends in order too: answers first, then the engine, then the settings.
"""

from __future__ import annotations

import importlib
import threading
import time
from pathlib import Path

from PySide6.QtCore import QObject

from app.bridge import Bridge
from app.state import State
from engine import ModelInfo

MODELS = Path(__file__).resolve().parent.parent / "assets" / "models"
FIRST_MODEL = "companion"
PATIENCE = 2.0  # seconds that answers may take to end when the window closes


class Session(QObject):
    """start() after the window has been painted, end() after it has closed."""

    def __init__(self, bridge: Bridge, state: State, model: str = "") -> None:
        """model: a folder given on the command line, which goes before the one used last."""
        super().__init__()
        self._bridge = bridge
        self._state = state
        self._model = str(Path(model).expanduser().absolute()) if model else ""

    def start(self) -> None:
        """Start the engine, load a model, and open the chat shown last; the very first time, offer a prompt."""
        state = self._state
        self._bridge.start()
        threading.Thread(target=_import_early, daemon=True).start()
        state.library.chats_changed.connect(self._open_last)
        state.library.refresh()
        state.models.refresh()
        state.workspace.model_changed.connect(self._on_model)
        state.workspace.load_failed.connect(self._on_load_failed)
        state.workspace.load(self._model or self._model_of_last_time(), state.models.load_params)

    def end(self) -> None:
        """Let answers end and be stored, then stop the engine and write the settings."""
        until = time.monotonic() + PATIENCE
        while not self._state.conversation.finish() and time.monotonic() < until:
            time.sleep(0.01)
            self._bridge.deliver()
        self._bridge.stop()
        self._state.settings.sync()

    def _open_last(self) -> None:
        state = self._state
        state.library.chats_changed.disconnect(self._open_last)
        last = state.settings.value("last_chat")
        if state.library.chat(last) is not None and not state.conversation.draft:
            state.conversation.open(last)
        elif not state.library.chats:
            state.conversation.greet()

    def _on_model(self, info: ModelInfo | None) -> None:
        if info is not None:
            self._state.settings.set("last_model", info.path)

    def _on_load_failed(self, *_: str) -> None:
        """What was asked for cannot be loaded and there is nothing else: the bundled model takes its place."""
        workspace, bundled = self._state.workspace, str(MODELS / FIRST_MODEL)
        if workspace.info is None and workspace.loading_path != bundled:
            workspace.load(bundled, self._state.models.load_params)

    def _model_of_last_time(self) -> str:
        last = self._state.settings.value("last_model")
        return last if last and Path(last).exists() else str(MODELS / FIRST_MODEL)


def _import_early() -> None:
    """Markdown and Pygments, a tenth of a second of imports, before the first message needs them."""
    for name in ("app.widgets.markdown", "pygments.lexers.python"):
        importlib.import_module(name)
