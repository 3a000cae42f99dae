"""The one meeting of Qt and a running engine: wake -> queued signal -> a timer of one frame -> drain -> dispatch.

The engine wakes us from its own threads; whatever arrives within a frame is taken in one go, merged by the engine's
outbox, so a repaint per token cannot happen. It knows no command and no event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from PySide6.QtCore import QObject, Qt, QTimer, Signal

from engine import Command, Engine, Event, Run

FRAME = 16  # milliseconds: one frame at 60 Hz


class EngineLike(Protocol):
    """What the app needs of an engine; tests give it a fake one."""

    def start(self) -> None: ...

    def submit(self, command: Command) -> Run: ...

    def drain(self) -> list[Event]: ...

    def stop(self, timeout: float = 10.0) -> bool: ...


class Bridge(QObject):
    """Owns an engine. arrived carries every event, on the GUI thread, in order."""

    arrived = Signal(object)
    _woken = Signal()

    def __init__(self, make: Callable[[Callable[[], None]], EngineLike]) -> None:
        """make: given the function that wakes us, returns the engine: `Bridge(Engine)`."""
        super().__init__()
        self._timer = QTimer(self, singleShot=True, interval=FRAME, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self.deliver)
        self._woken.connect(self._wait_a_frame, Qt.ConnectionType.QueuedConnection)
        self.engine = make(self._woken.emit)

    @classmethod
    def to_engine(cls) -> Bridge:
        """A bridge to the real engine, which rests until start()."""
        return cls(Engine)

    def start(self) -> None:
        self.engine.start()

    def stop(self) -> bool:
        """End the engine and hand out what it still said. False if a thread did not end in time."""
        ended = self.engine.stop()
        self.deliver()
        self._timer.stop()
        return ended

    def deliver(self) -> None:
        """Take what the engine has and dispatch it now."""
        for event in self.engine.drain():
            self.arrived.emit(event)

    def _wait_a_frame(self) -> None:
        if not self._timer.isActive():
            self._timer.start()
