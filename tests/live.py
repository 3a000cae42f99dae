"""The app's state over the real engine with real models in it: what its end-to-end tests begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.settings import Settings
from app.state import State, make_state
from engine import Engine, LoadParams

LONG = 60_000  # milliseconds: torch is imported once, by a busy machine

Shown = TypeVar("Shown", bound=QWidget)


@contextmanager
def living(home: Path, qtbot: QtBot, model: Path, second: Path | None = None) -> Iterator[State]:
    """The state with a model loaded, and another beside it."""
    bridge = Bridge(Engine)
    state = make_state(bridge, Settings(home))
    with _started(bridge, state, qtbot, model, second):
        yield state


@contextmanager
def showing(
    pane: Callable[[State], Shown], home: Path, qtbot: QtBot, model: Path, size: tuple[int, int] = (520, 640)
) -> Iterator[tuple[Shown, State]]:
    """A pane that was there before the model was, as in the program."""
    bridge = Bridge(Engine)
    state = make_state(bridge, Settings(home))
    shown = pane(state)
    qtbot.addWidget(shown)
    shown.resize(*size)
    shown.show()
    with _started(bridge, state, qtbot, model):
        yield shown, state


@contextmanager
def _started(bridge: Bridge, state: State, qtbot: QtBot, model: Path, second: Path | None = None) -> Iterator[None]:
    bridge.start()
    try:
        state.workspace.load(str(model), LoadParams(device="cpu", threads=1))
        qtbot.waitUntil(lambda: state.workspace.info is not None, timeout=LONG)
        if second is not None:
            state.second.load(str(second))
            qtbot.waitUntil(lambda: state.second.info is not None, timeout=LONG)
        yield
    finally:
        qtbot.waitUntil(state.conversation.finish, timeout=LONG)
        bridge.stop()
