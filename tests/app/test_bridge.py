"""The meeting of Qt and an engine's threads, and the one holder of the engine above it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.state import State
from engine import Command, Done, Engine, Event, Failed, ListChats, Load, Loaded, Progress, Run, Tokenize, Unloaded
from fakes import FakeEngine, a_model


class Chatty:
    """An engine whose one command is answered with many events from a thread of its own."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake, self._lock, self._events = wake, threading.Lock(), list[Event]()
        self.drains = 0

    def start(self) -> None: ...

    def submit(self, command: Command) -> Run:
        run = Run()
        self._thread = threading.Thread(target=self._say, args=(run.id,))
        self._thread.start()
        return run

    def _say(self, run: int) -> None:
        for number in range(5000):
            with self._lock:
                self._events.append(Progress(run, "reading", number, 5000))
            self._wake()
        with self._lock:
            self._events.append(Done(run))
        self._wake()

    def drain(self) -> list[Event]:
        self.drains += 1
        with self._lock:
            events, self._events = self._events, []
        return events

    def stop(self, timeout: float = 10.0) -> bool:
        self._thread.join()
        return True


def test_events_from_a_thread_arrive_in_order_on_the_gui_thread_in_few_turns(qtbot: QtBot) -> None:
    bridge = Bridge(Chatty)
    taken: list[Event] = []
    threads: set[int] = set()

    def take(event: Event) -> None:
        taken.append(event)
        threads.add(threading.get_ident())

    bridge.arrived.connect(take)
    bridge.engine.submit(Tokenize("x"))
    qtbot.waitUntil(lambda: bool(taken) and isinstance(taken[-1], Done))
    assert [e.done for e in taken if isinstance(e, Progress)] == list(range(5000))
    assert threads == {threading.get_ident()}
    assert isinstance(bridge.engine, Chatty) and bridge.engine.drains < 200
    bridge.stop()


def test_the_real_engine_answers_through_the_bridge(qtbot: QtBot, home: object) -> None:
    bridge = Bridge(Engine)
    taken: list[Event] = []
    bridge.arrived.connect(taken.append)
    run = bridge.engine.submit(ListChats())
    qtbot.waitUntil(lambda: Done(run.id) in taken, timeout=10_000)
    assert bridge.stop()


def test_a_receiver_gets_its_own_run_and_is_dropped_at_the_end(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    mine: list[Event] = []
    run = state.workspace.submit(Tokenize("a"), mine.append)
    other = state.workspace.submit(Tokenize("b"))
    fake.play(other.id, [Done(0)])
    fake.play(run.id, [Done(0)])
    fake.play(run.id, [Done(0)])
    with qtbot.waitSignal(state.workspace.event):
        pass
    assert mine == [Done(run.id)]


def test_a_failure_without_a_receiver_is_said_by_the_workspace(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    run = state.workspace.submit(Tokenize("a"))
    with qtbot.waitSignal(state.workspace.failed) as signal:
        fake.play(run.id, [Failed(0, "It broke.", "Mend it.", "trace")])
    assert signal.args == ["It broke.", "Mend it.", "trace"]


def test_loading_is_shown_and_the_model_before_stays_when_it_fails(
    state: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    run = state.workspace.load("one")
    fake.play(run.id, [Progress(0, "reading weights", 1, 2), Loaded(0, a_model()), Done(0)])
    qtbot.waitUntil(lambda: state.workspace.loading is None)
    run = state.workspace.load("two")
    assert state.workspace.loading is not None
    with qtbot.waitSignal(state.workspace.load_failed):
        fake.play(run.id, [Failed(0, "two has no config.json.", "Choose another folder.")])
    assert state.workspace.info == a_model()
    assert state.workspace.loading is None


def test_a_second_load_cancels_the_first(state: State, fake: FakeEngine) -> None:
    first = state.workspace.load("one")
    state.workspace.load("two")
    assert first.cancelled
    assert [command.path for command in fake.given(Load)] == ["one", "two"]


def test_unloading_forgets_the_model(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    run = state.workspace.load("one")
    fake.play(run.id, [Loaded(0, a_model()), Done(0)])
    qtbot.waitUntil(lambda: state.workspace.info is not None)
    run = state.workspace.unload()
    fake.play(run.id, [Unloaded(0), Done(0)])
    qtbot.waitUntil(lambda: state.workspace.info is None)
