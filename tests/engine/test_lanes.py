"""One lane with made-up jobs: every run ends exactly once, whatever is cancelled, fails or stops, and whenever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import Cancelled, EngineError
from engine.lanes import Job, Lane
from engine.messages import Command, Done, Event, Failed, Run, Started, Tokens
from engine.outbox import Outbox

PATIENCE = 10.0  # seconds: a hang, not a slow machine


@dataclass(frozen=True, slots=True)
class Play(Command):
    """A command that brings its own job."""

    job: Callable[[Run], Job]
    alone: bool = False
    at_once: bool = False


class PlayJobs:
    def __init__(self) -> None:
        self.closed = threading.Event()

    def start(self, command: Command, run: Run) -> Job:
        assert isinstance(command, Play)
        return command.job(run)

    def alone(self, command: Command) -> bool:
        return isinstance(command, Play) and command.alone

    def at_once(self, command: Command) -> bool:
        return isinstance(command, Play) and command.at_once

    def close(self) -> None:
        self.closed.set()


class Stage:
    """A lane, its outbox, and everything that came out so far."""

    def __init__(self, finish_on_stop: bool = False) -> None:
        self.jobs = PlayJobs()
        self.events: list[Event] = []
        self._ready = threading.Event()
        self.outbox = Outbox(self._ready.set)
        self.lane = Lane("test", self.outbox, lambda: self.jobs, finish_on_stop)

    def play(self, job: Callable[[Run], Job], *, alone: bool = False, at_once: bool = False) -> Run:
        run = Run()
        self.lane.submit(Play(job, alone, at_once), run)
        return run

    def until(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            self.events += self.outbox.drain()
            if done():
                return
            assert time.monotonic() < end, f"nothing came but {self.events}"
            self._ready.wait(0.1)
            self._ready.clear()

    def end_of(self, *runs: Run) -> list[Event]:
        self.until(lambda: all(any(self.ends(run)) for run in runs))
        return [self.ends(run)[0] for run in runs]

    def ends(self, run: Run) -> list[Event]:
        return [event for event in self.events if event.run == run.id and isinstance(event, Done | Failed)]

    def stop(self) -> None:
        self.lane.stop()
        assert self.lane.join(PATIENCE)
        self.events += self.outbox.drain()


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.stop()
    assert made.jobs.closed.is_set() or made.lane._thread.ident is None


class Gate:
    """Holds a job inside a step until the test opens it."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def job(self, run: Run) -> Job:
        self.entered.set()
        assert self.open.wait(PATIENCE)
        yield Tokens(run.id, "through ", ())
        return None


def words(count: int, reason: str | None = None) -> Callable[[Run], Job]:
    def job(run: Run) -> Job:
        for number in range(count):
            # Started does not merge, so every step shows as an event of its own.
            yield Started(run.id, (), f"{number}", 0, 0)
        return reason

    return job


def test_a_job_ends_with_its_own_reason_or_plain_done(stage: Stage) -> None:
    assert [type(event) for event in stage.end_of(stage.play(words(2)))] == [Done]
    runs = stage.play(words(3, "eos")), stage.play(words(0))
    assert stage.end_of(*runs) == [Done(runs[0].id, "eos"), Done(runs[1].id, "done")]


def test_a_run_cancelled_before_its_start_does_nothing(stage: Stage) -> None:
    gate, happened = Gate(), threading.Event()

    def never(run: Run) -> Job:
        happened.set()
        yield Tokens(run.id, "", ())
        return None

    first = stage.play(gate.job, alone=True)
    assert gate.entered.wait(PATIENCE)
    second = stage.play(never)
    second.cancel()
    gate.open.set()
    assert stage.end_of(first, second) == [Done(first.id), Done(second.id, "cancelled")]
    assert not happened.is_set()


def test_a_run_cancelled_before_submit_answers_cancelled_even_at_once(stage: Stage) -> None:
    for at_once in (False, True):
        run = Run()
        run.cancel()
        stage.lane.submit(Play(words(5), at_once=at_once), run)
        assert stage.end_of(run) == [Done(run.id, "cancelled")]


def test_a_run_cancelled_between_steps_may_hand_out_what_it_held(stage: Stage) -> None:
    def endless(run: Run) -> Job:
        try:
            while True:
                yield Tokens(run.id, "a", ())
        except Cancelled:
            yield Tokens(run.id, "held", ())
            yield Tokens(run.id, " back", ())
        return "eos"

    run = stage.play(endless)
    stage.until(lambda: bool(stage.events))
    run.cancel()
    assert stage.end_of(run) == [Done(run.id, "cancelled")]
    text = "".join(event.text for event in stage.events if isinstance(event, Tokens))
    assert text.endswith("aheld back")


def test_a_run_cancelled_inside_a_step_may_end_that_step_early(stage: Stage) -> None:
    entered = threading.Event()

    def long_step(run: Run) -> Job:
        entered.set()
        while not run.cancelled:
            time.sleep(0.001)
        raise Cancelled
        yield Tokens(run.id, "never", ())

    run = stage.play(long_step)
    assert entered.wait(PATIENCE)
    run.cancel()
    assert stage.end_of(run) == [Done(run.id, "cancelled")]
    assert not any(isinstance(event, Tokens) for event in stage.events)


def test_cancelling_one_run_leaves_the_other_and_a_later_one_alone(stage: Stage) -> None:
    first, second = stage.play(words(10**9)), stage.play(words(200, "eos"))
    first.cancel()
    third = stage.play(words(1, "eos"))
    ends = stage.end_of(first, second, third)
    assert ends == [Done(first.id, "cancelled"), Done(second.id, "eos"), Done(third.id, "eos")]


@pytest.mark.parametrize(
    ("error", "message", "has_details"),
    [
        (EngineError("Too long.", "Make it shorter."), "Too long.", False),
        (MemoryError(), "There is not enough free memory for this.", False),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            "There is not enough free memory for this.",
            False,
        ),
        (ValueError("odd"), "Vitrine ran into an unexpected ValueError: odd", True),
    ],
)
def test_a_failure_half_way_is_one_failed_with_a_sentence_and_the_lane_lives_on(
    stage: Stage, error: Exception, message: str, has_details: bool
) -> None:
    def failing(run: Run) -> Job:
        yield Tokens(run.id, "before", ())
        raise error

    run = stage.play(failing)
    (failed,) = stage.end_of(run)
    assert isinstance(failed, Failed) and failed.message == message and failed.hint
    assert ("Traceback" in failed.details) == has_details
    assert Tokens(run.id, "before", ()) in stage.events
    after = stage.play(words(1, "eos"))
    assert stage.end_of(after) == [Done(after.id, "eos")]


def test_a_job_that_fails_while_it_is_cancelled_says_why(stage: Stage) -> None:
    def failing(run: Run) -> Job:
        try:
            while True:
                yield Tokens(run.id, "", ())
        except Cancelled:
            raise EngineError("The disk is full.") from None

    run = stage.play(failing)
    stage.until(lambda: bool(stage.events))
    run.cancel()
    assert stage.end_of(run) == [Failed(run.id, "The disk is full.")]


def test_two_runs_take_turns_step_by_step(stage: Stage) -> None:
    gate = Gate()
    hold = stage.play(gate.job)
    assert gate.entered.wait(PATIENCE)
    first, second = stage.play(words(20)), stage.play(words(20))
    gate.open.set()
    stage.end_of(hold, first, second)
    order = [event.run for event in stage.events if isinstance(event, Started)]
    assert order == [first.id, second.id] * 20


def test_a_command_that_runs_alone_waits_for_the_others_and_lets_none_start_beside_it(stage: Stage) -> None:
    gate = Gate()
    hold = stage.play(gate.job)
    assert gate.entered.wait(PATIENCE)
    before, alone, after = stage.play(words(5)), stage.play(words(5), alone=True), stage.play(words(5))
    gate.open.set()
    stage.end_of(hold, before, alone, after)
    order = [event.run for event in stage.events if isinstance(event, Started)]
    assert order == [before.id] * 5 + [alone.id] * 5 + [after.id] * 5


def test_a_command_that_waits_to_run_alone_can_be_cancelled_while_others_run(stage: Stage) -> None:
    endless = stage.play(words(10**9))
    alone = stage.play(words(5), alone=True)
    alone.cancel()
    assert stage.end_of(alone) == [Done(alone.id, "cancelled")]
    endless.cancel()
    stage.end_of(endless)


def test_a_command_that_runs_at_once_overtakes_what_waits(stage: Stage) -> None:
    gate = Gate()
    loading = stage.play(gate.job, alone=True)
    assert gate.entered.wait(PATIENCE)
    waiting, slider = stage.play(words(3)), stage.play(words(3), at_once=True)
    gate.open.set()
    stage.end_of(loading, waiting, slider)
    order = [event.run for event in stage.events if isinstance(event, Started | Tokens)]
    assert order == [loading.id, *[slider.id] * 3, *[waiting.id] * 3]


def test_stop_answers_everything_given_and_ends_the_thread_though_a_job_ends_badly() -> None:
    stage = Stage()
    closed = threading.Event()

    def tidy(run: Run) -> Job:
        try:
            while True:
                yield Tokens(run.id, "a", ())
        finally:
            closed.set()

    def untidy(run: Run) -> Job:
        try:
            while True:
                yield Tokens(run.id, "a", ())
        finally:
            raise ValueError("odd")

    runs = [stage.play(untidy), stage.play(tidy), stage.play(words(3), alone=True)]
    stage.until(lambda: {event.run for event in stage.events} >= {runs[0].id, runs[1].id})
    stage.stop()
    assert [stage.ends(run) for run in runs] == [[Done(run.id, "cancelled")] for run in runs]
    assert closed.is_set() and stage.jobs.closed.is_set()


def test_a_lane_that_finishes_on_stop_does_all_it_was_given() -> None:
    stage = Stage(finish_on_stop=True)
    gate = Gate()
    first = stage.play(gate.job)
    assert gate.entered.wait(PATIENCE)
    rest = [stage.play(words(2, "eos"), alone=number % 3 == 0) for number in range(20)]
    stage.lane.stop()
    gate.open.set()
    stage.stop()
    assert stage.ends(first) == [Done(first.id)]
    assert [stage.ends(run) for run in rest] == [[Done(run.id, "eos")] for run in rest]


def test_a_lane_that_cannot_start_answers_every_command_with_why() -> None:
    def broken() -> PlayJobs:
        raise ImportError("no such library")

    outbox = Outbox()
    lane = Lane("test", outbox, broken)
    runs = [Run(), Run()]
    for run in runs:
        lane.submit(Play(words(1)), run)
    events: list[Event] = []
    end = time.monotonic() + PATIENCE
    while len(events) < 2 and time.monotonic() < end:
        events += outbox.drain()
        time.sleep(0.005)
    lane.stop()
    assert lane.join(PATIENCE)
    assert [event.run for event in events] == [run.id for run in runs]
    assert all(isinstance(event, Failed) and "no such library" in event.message for event in events)


def test_a_lane_never_used_has_no_thread_to_end() -> None:
    stage = Stage()
    stage.stop()
    assert stage.lane._thread.ident is None


@dataclass(frozen=True)
class Part:
    """What one run of a random schedule does. cancels: (step, index of the run that it cancels there)."""

    steps: int
    fails_at: int | None
    alone: bool
    at_once: bool
    cancels: tuple[int, int] | None
    cancelled_first: bool


PARTS = st.builds(
    Part,
    steps=st.integers(0, 6),
    fails_at=st.none() | st.integers(0, 6),
    alone=st.booleans(),
    at_once=st.booleans(),
    cancels=st.none() | st.tuples(st.integers(0, 6), st.integers(0, 7)),
    cancelled_first=st.booleans(),
)


@given(st.lists(PARTS, min_size=1, max_size=8), st.none() | st.integers(0, 8), st.booleans())
@settings(max_examples=100)
def test_every_run_ends_exactly_once_and_last_whatever_happens(
    parts: list[Part], stop_after: int | None, finish: bool
) -> None:
    stage = Stage(finish)
    runs = [Run() for _ in parts]

    def job_of(part: Part) -> Callable[[Run], Job]:
        def job(run: Run) -> Job:
            for step in range(part.steps):
                if part.cancels is not None and part.cancels[0] == step:
                    runs[part.cancels[1] % len(runs)].cancel()
                if part.fails_at == step:
                    raise EngineError("Meant to fail.")
                yield Started(run.id, (), f"{step}", 0, 0)
            return "eos"

        return job

    for number, (part, run) in enumerate(zip(parts, runs)):
        if part.cancelled_first:
            run.cancel()
        stage.lane.submit(Play(job_of(part), part.alone, part.at_once), run)
        if number == stop_after:
            break
    given_runs = runs[: len(runs) if stop_after is None else stop_after + 1]
    if stop_after is None:
        stage.end_of(*given_runs)
    stage.stop()
    for part, run in zip(parts, given_runs):
        (end,) = stage.ends(run)
        mine = [event for event in stage.events if event.run == run.id]
        assert mine[-1] is end
        if isinstance(end, Failed):
            assert part.fails_at is not None and part.fails_at < part.steps
        elif part.cancelled_first:
            assert mine == [Done(run.id, "cancelled")]
        elif end == Done(run.id, "eos"):
            assert len(mine) == part.steps + 1
        else:
            assert end == Done(run.id, "cancelled")
            assert run.cancelled or stop_after is not None
        if finish and not run.cancelled:
            assert end != Done(run.id, "cancelled")
