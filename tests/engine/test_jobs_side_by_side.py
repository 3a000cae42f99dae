"""Answers side by side: two runs of one model take turns, token by token, and neither disturbs the other."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from engine.jobs import ModelJobs
from engine.lanes import Lane
from engine.messages import Command, Done, Event, Failed, Generate, Generated, Load, Prompt, Run, Tokens
from engine.outbox import Outbox
from engine.params import LoadParams, SamplingParams

PATIENCE = 60.0  # seconds


class Log(Outbox):
    """Keeps every event as the lane said it, before neighbours are joined."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.ended: queue.SimpleQueue[int] = queue.SimpleQueue()

    def put(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Done | Failed):
            self.ended.put(event.run)


class Written:
    """The bundled story teller in a lane of its own."""

    def __init__(self, assets: Path) -> None:
        self.log = Log()
        self.lane = Lane("model", self.log, ModelJobs)
        self.run(Load(str(assets / "models" / "babyllama-361"), LoadParams(device="cpu", threads=1)))

    def run(self, *commands: Command) -> list[int]:
        """Give all of them at once and wait for their ends; the numbers of their runs."""
        self.log.events.clear()
        runs = [Run() for _ in commands]
        for command, run in zip(commands, runs):
            self.lane.submit(command, run)
        for _ in runs:
            self.log.ended.get(timeout=PATIENCE)
        return [run.id for run in runs]

    def texts(self, runs: list[int]) -> list[str]:
        found = {event.run: event.text for event in self.log.events if isinstance(event, Generated)}
        return [found[run] for run in runs]


@pytest.fixture
def written(assets: Path) -> Iterator[Written]:
    written = Written(assets)
    yield written
    written.lane.stop()
    assert written.lane.join(PATIENCE)


def asked(seed: int) -> Generate:
    return Generate(Prompt(text="Once upon a time"), SamplingParams(seed=seed, max_new_tokens=24))


def test_the_tokens_of_two_answers_interleave(written: Written) -> None:
    first, second = written.run(asked(1), asked(2))
    order = [event.run for event in written.log.events if isinstance(event, Tokens)]
    turns = sum(a != b for a, b in pairwise(order))
    assert {first, second} == set(order) and turns > min(order.count(first), order.count(second))


def test_an_answer_written_beside_another_is_the_one_written_alone(written: Written) -> None:
    alone = [written.texts(written.run(asked(seed)))[0] for seed in (1, 2)]
    assert written.texts(written.run(asked(1), asked(2))) == alone
    assert alone[0] != alone[1]
