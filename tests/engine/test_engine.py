"""The engine as the app holds it: three lanes, one outbox, and an end that loses nothing it was given."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bench.kill_store import ROOT

import engine.engine as engine_module
from engine import (
    Cards,
    Chat,
    ChatOpened,
    Chats,
    Done,
    Engine,
    Event,
    Failed,
    Generate,
    ListChats,
    OpenChat,
    Progress,
    Prompt,
    Run,
    SaveChat,
    SaveMessage,
    Scan,
    StoredMessage,
    Unload,
)
from engine.lanes import Job
from engine.memory.store import Store
from engine.messages import Command

PATIENCE = 10.0


class ScriptedJobs:
    """Unload ends at once, Scan answers, Generate goes on until it is cancelled; `stuck` never comes back by itself."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.stuck = False
        self.entered = threading.Event()

    def start(self, command: Command, run: Run) -> Job:
        self.entered.set()
        while isinstance(command, Generate):
            if self.stuck:
                self.release.wait(PATIENCE)
            yield Progress(run.id, "writing", 0, 0)
        if isinstance(command, Scan):
            yield Cards(run.id, ())
        return None

    def alone(self, command: Command) -> bool:
        return False

    def at_once(self, command: Command) -> bool:
        return False

    def close(self) -> None:
        pass


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> ScriptedJobs:
    made = ScriptedJobs()
    monkeypatch.setattr(engine_module, "_model_jobs", lambda: made)
    monkeypatch.setattr(engine_module, "_files_jobs", lambda: made)
    return made


@pytest.fixture
def engine(jobs: ScriptedJobs, tmp_path: Path) -> Iterator[Engine]:
    interval = sys.getswitchinterval()
    made = Engine(home=tmp_path)
    made.start()
    yield made
    jobs.release.set()
    assert made.stop(PATIENCE)
    sys.setswitchinterval(interval)


def collect(engine: Engine, until: Callable[[list[Event]], bool]) -> list[Event]:
    events: list[Event] = []
    end = time.monotonic() + PATIENCE
    while not until(events):
        assert time.monotonic() < end, events
        events += engine.drain()
        time.sleep(0.002)
    return events


def answer(engine: Engine, command: Command) -> list[Event]:
    run = engine.submit(command)
    events = collect(engine, lambda seen: any(e.run == run.id and isinstance(e, Done | Failed) for e in seen))
    return [event for event in events if event.run == run.id]


def test_chats_and_files_answer_while_the_model_is_busy(engine: Engine, jobs: ScriptedJobs) -> None:
    jobs.stuck = True
    engine.submit(Generate(Prompt(text="a")))
    assert jobs.entered.wait(PATIENCE)
    chats, done = answer(engine, ListChats())
    assert chats == Chats(done.run, ()) and done == Done(chats.run)
    assert isinstance(answer(engine, Scan(()))[0], Cards)


def test_a_chat_is_kept_and_opened_through_the_engine(engine: Engine) -> None:
    message = StoredMessage("m", "c", "", "user", "Hello")
    engine.submit(SaveChat(Chat("c", "Title")))
    engine.submit(SaveMessage(message))
    opened, done = answer(engine, OpenChat("c"))
    assert opened == ChatOpened(done.run, Chat("c", "Title"), (message,))


def test_a_mistake_is_one_failed_and_the_next_command_works(engine: Engine) -> None:
    (failed,) = answer(engine, OpenChat("nowhere"))
    assert isinstance(failed, Failed) and failed.message == "This chat is no longer there." and failed.details == ""
    assert isinstance(answer(engine, ListChats())[0], Chats)


def test_stop_cancels_the_model_and_writes_what_the_store_was_given(jobs: ScriptedJobs, tmp_path: Path) -> None:
    interval = sys.getswitchinterval()
    engine = Engine(home=tmp_path)
    engine.start()
    writing = engine.submit(Generate(Prompt(text="a")))
    assert jobs.entered.wait(PATIENCE)
    saves = [engine.submit(SaveChat(Chat("c", "Title")))]
    for number in range(300):
        saves.append(engine.submit(SaveMessage(StoredMessage(f"{number}", "c", "", "user", "text"))))
    assert engine.stop(PATIENCE)
    ends = {event.run: event for event in engine.drain() if isinstance(event, Done | Failed)}
    assert ends[writing.id] == Done(writing.id, "cancelled")
    assert [ends[run.id] for run in saves] == [Done(run.id) for run in saves]
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("vitrine-")]
    store = Store(tmp_path / "vitrine.db")
    assert len(store.chat("c")[1]) == 300
    store.close()
    sys.setswitchinterval(interval)


def test_a_command_after_stop_is_answered_cancelled(engine: Engine) -> None:
    assert engine.stop(PATIENCE)
    engine.drain()
    for command in (Unload(), ListChats(), Scan(())):
        run = engine.submit(command)
        assert engine.drain() == [Done(run.id, "cancelled")]


def test_stop_says_when_a_job_does_not_end_in_time(engine: Engine, jobs: ScriptedJobs) -> None:
    jobs.stuck = True
    engine.submit(Generate(Prompt(text="a")))
    assert jobs.entered.wait(PATIENCE)
    assert engine.stop(timeout=0.05) is False


def test_an_engine_never_started_stops_at_once(tmp_path: Path) -> None:
    assert Engine(home=tmp_path).stop(0.0)


def test_chats_are_stored_and_listed_without_torch_or_qt(tmp_path: Path) -> None:
    script = (
        "import sys, threading; from pathlib import Path; from engine import *\n"
        "ready = threading.Event(); engine = Engine(ready.set, Path(sys.argv[1]))\n"
        "engine.submit(SaveChat(Chat('c', 'Title'))); engine.submit(ListChats()); engine.stop()\n"
        "assert [e.chats[0].title for e in engine.drain() if isinstance(e, Chats)] == ['Title']\n"
        "assert not {'torch', 'PySide6', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, cwd=ROOT, timeout=60)
