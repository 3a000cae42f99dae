"""Where there is no room for one more model, what was read goes first, then only the model that is replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import (
    CaptureParams,
    Command,
    DraftLoaded,
    Event,
    Generate,
    Load,
    LoadDraft,
    Loaded,
    LoadParams,
    LoadSecond,
    Prompt,
    Run,
    SamplingParams,
    SecondLoaded,
    Unloaded,
)
from engine.errors import OutOfMemory
from engine.jobs.dispatcher import ModelJobs
from engine.jobs.models import Models
from engine.loading import memory
from engine.loading.catalog import inspect
from engine.loading.forecast import check_fits

MODEL = 29_400_000  # bytes of the bundled chat model in fp32
READING = 20_000_000  # and, generously, of what it must be able to read
PARAMS = LoadParams(precision="fp32", threads=1, device="cpu")


class Room:
    """The engine's jobs where so many bytes can be held by models and what they read."""

    def __init__(self, patch: pytest.MonkeyPatch, size: int) -> None:
        self.size = size
        self.jobs = ModelJobs()
        patch.setattr(memory, "available", lambda device="cpu": max(0, self.size - self.held))

    @property
    def models(self) -> Models:
        return self.jobs._models

    @property
    def held(self) -> int:
        benches = (self.models.first, self.models.second)
        return self.models.contexts.nbytes + sum(bench.nbytes for bench in benches if bench is not None)

    def run(self, command: Command) -> list[Event]:
        return list(self.jobs.start(command, Run()))

    def kinds(self, command: Command) -> list[type[Event]]:
        told = (Loaded, Unloaded, SecondLoaded, DraftLoaded)
        return [type(event) for event in self.run(command) if isinstance(event, told)]

    def read(self, tokens: int) -> None:
        """Let the first model read a text, which is kept."""
        sampling = SamplingParams.neutral(temperature=0.0, max_new_tokens=1)
        self.run(Generate(Prompt(ids=tuple([5] * tokens)), sampling, CaptureParams(candidates=0)))


@pytest.fixture
def path(assets: Path) -> str:
    return str(assets / "models" / "companion")


def test_the_second_model_is_loaded_in_its_own_place_and_the_first_stays(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(monkeypatch, 2 * MODEL + READING)
    room.run(Load(path, PARAMS))
    first = room.models.first
    assert room.kinds(LoadSecond(path, PARAMS)) == [SecondLoaded]
    old = room.models.second
    assert room.kinds(LoadSecond(path, PARAMS)) == [SecondLoaded, SecondLoaded]
    assert room.models.first is first and room.models.second is not old is not None
    room.size = 3 * MODEL + READING
    assert room.kinds(LoadSecond(path, PARAMS)) == [SecondLoaded]  # with room for three nothing has to go before


def test_a_second_model_without_room_is_refused_and_the_first_stays(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(monkeypatch, MODEL + READING)
    room.run(Load(path, PARAMS))
    with pytest.raises(OutOfMemory) as refused:
        room.run(LoadSecond(path, PARAMS))
    assert 0 < refused.value.missing <= MODEL  # the first model's place would have done
    assert room.models.first is not None and room.models.second is None


def test_what_drafts_counts_with_the_model_that_makes_room(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(monkeypatch, 10 * MODEL)
    room.run(Load(path, PARAMS))
    room.run(LoadDraft(path, PARAMS))
    assert room.held == pytest.approx(2 * MODEL, rel=0.01)
    room.size = room.held + READING
    assert room.kinds(LoadDraft(path, PARAMS)) == [DraftLoaded, DraftLoaded]
    assert room.models.first is not None and room.models.first.nbytes == pytest.approx(2 * MODEL, rel=0.01)
    room.size = MODEL + READING
    assert room.kinds(Load(path, PARAMS)) == [Unloaded, Loaded]
    assert room.held == pytest.approx(MODEL, rel=0.01)


def test_texts_that_were_read_make_room_before_a_model_does(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(monkeypatch, 10 * MODEL)
    room.run(Load(path, PARAMS))
    room.read(900)
    kept = room.models.contexts.nbytes
    assert kept > 2_000_000
    with pytest.raises(OutOfMemory) as refused:
        check_fits(inspect(path), "fp32", 0)
    room.size = room.held + refused.value.missing - kept // 2
    assert room.kinds(Load(path, PARAMS)) == [Loaded]
    assert room.models.contexts.nbytes == 0
