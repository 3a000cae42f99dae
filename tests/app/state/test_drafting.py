"""The draft model of each model is kept, comes back with it, and what it takes goes with it in the forecasts."""

from __future__ import annotations

import pytest

from app.bridge import Bridge
from app.state import State
from engine import (
    Done,
    Drafters,
    DraftLoaded,
    Failed,
    FindDrafters,
    Forecast,
    ForecastMemory,
    Forecasts,
    LoadDraft,
    Loaded,
    ModelCard,
    Progress,
    Unloaded,
)
from fakes import FakeEngine, a_model

LARGE = ModelCard("/m/large", "large", "llama", kind="decoder", supported=True, parameters=100)
SMALL = ModelCard("/m/small", "small", "llama", kind="decoder", supported=True, parameters=10)
OTHER = ModelCard("/m/other", "other", "gpt2", kind="decoder", supported=True, parameters=10)
TOO_LARGE = Forecast("/m/small", "int8", 10**9, 1, 1, 1, 4096, 10**6, "too large", 0)


@pytest.fixture
def found(state: State, fake: FakeEngine, bridge: Bridge) -> State:
    fake.cards = (LARGE, SMALL, OTHER)
    state.models.refresh()
    bridge.deliver()
    return state


def load(state: State, fake: FakeEngine, bridge: Bridge, path: str = "/m/large", kind: str = "decoder") -> None:
    run = state.workspace.load(path)
    fake.play(run.id, [Loaded(0, a_model(path=path, kind=kind)), Done(0)])
    bridge.deliver()


def draft(fake: FakeEngine, bridge: Bridge, *, nbytes: int = 5_000) -> str:
    """Let the engine load the draft model that was asked for last; its path."""
    run, command = fake.last(LoadDraft)
    fake.play(run.id, [DraftLoaded(0, command.path, nbytes if command.path else 0), Done(0)])
    bridge.deliver()
    return command.path


def test_a_draft_model_that_was_chosen_comes_back_with_its_model_and_with_no_other(
    found: State, fake: FakeEngine, bridge: Bridge
) -> None:
    load(found, fake, bridge)
    assert not fake.given(LoadDraft)
    found.drafting.load("/m/small")
    assert found.drafting.loading is not None and found.drafting.chosen == "/m/small" and found.drafting.path == ""
    assert fake.last(LoadDraft)[1] == LoadDraft("/m/small", found.models.load_params)
    draft(fake, bridge)
    assert (found.drafting.path, found.drafting.loading) == ("/m/small", None)
    load(found, fake, bridge, "/m/other")
    assert found.drafting.path == "" and len(fake.given(LoadDraft)) == 1
    load(found, fake, bridge, "/m/large/")
    assert draft(fake, bridge) == "/m/small" and found.drafting.path == "/m/small"
    found.drafting.load("")
    assert draft(fake, bridge) == "" and found.drafting.path == ""
    load(found, fake, bridge)
    assert len(fake.given(LoadDraft)) == 3


def test_what_drafts_goes_first_with_the_model_that_another_replaces(
    found: State, fake: FakeEngine, bridge: Bridge
) -> None:
    load(found, fake, bridge)
    held = a_model().bytes_in_memory
    assert fake.last(ForecastMemory)[1].in_use == held
    found.drafting.load("/m/small")
    draft(fake, bridge)
    assert fake.last(ForecastMemory)[1].in_use == held + 5_000
    run = found.workspace.unload()
    fake.play(run.id, [Unloaded(0), Done(0)])
    bridge.deliver()
    assert fake.last(ForecastMemory)[1].in_use == 0


def test_models_that_cannot_draft_are_offered_last_with_the_reason(
    found: State, fake: FakeEngine, bridge: Bridge
) -> None:
    load(found, fake, bridge)
    found.drafting.ask()
    run, question = fake.last(FindDrafters)
    assert question == FindDrafters("/m/large", (LARGE, SMALL, OTHER))
    refusals = (("/m/large", "not smaller"), ("/m/other", "another tokenizer"), ("/m/small", ""))
    fake.play(run.id, [Drafters(0, refusals), Done(0)])
    bridge.deliver()
    other = ("other", "/m/other", "another tokenizer")
    assert found.drafting.offers == [("small", "/m/small", ""), other]
    run, forecast = fake.last(ForecastMemory)
    assert (forecast.cards, forecast.in_use) == ((SMALL,), 0)  # beside the loaded model, which stays
    fake.play(run.id, [Forecasts(0, (TOO_LARGE,)), Done(0)])
    bridge.deliver()
    assert found.drafting.offers == [("small", "/m/small", "too large for the free memory"), other]


def test_a_draft_model_that_cannot_be_loaded_is_told_and_not_tried_again(
    found: State, fake: FakeEngine, bridge: Bridge
) -> None:
    said: list[str] = []
    found.drafting.failed.connect(lambda message, hint, _: said.append(message))
    load(found, fake, bridge)
    found.drafting.load("/m/small")
    draft(fake, bridge)
    load(found, fake, bridge)
    run, _ = fake.last(LoadDraft)
    fake.play(run.id, [Failed(0, "small is damaged.", "Download it again.")])
    bridge.deliver()
    assert said == ["small is damaged."] and found.drafting.path == "" and found.drafting.loading is None
    count = len(fake.given(LoadDraft))
    load(found, fake, bridge)
    assert len(fake.given(LoadDraft)) == count


def test_loading_can_be_cancelled_and_another_model_does_not_inherit_what_was_on_its_way(
    found: State, fake: FakeEngine, bridge: Bridge
) -> None:
    load(found, fake, bridge)
    found.drafting.load("/m/small")
    run, _ = fake.last(LoadDraft)
    fake.play(run.id, [Progress(0, "Loading weights", 1, 2)])
    bridge.deliver()
    assert found.drafting.loading is not None and found.drafting.loading.phase == "Loading weights"
    found.drafting.cancel()
    assert run.cancelled
    fake.play(run.id, [Done(0, "cancelled")])
    bridge.deliver()
    assert found.drafting.loading is None and found.drafting.path == ""
    found.drafting.load("/m/small")
    run, _ = fake.last(LoadDraft)
    load(found, fake, bridge, "/m/other")
    assert run.cancelled and draft(fake, bridge) == ""  # put down, should it have come to the other model
    assert found.drafting.path == ""


def test_a_draft_model_that_made_room_for_one_that_then_fails_is_no_longer_there(
    found: State, fake: FakeEngine, bridge: Bridge
) -> None:
    load(found, fake, bridge)
    found.drafting.load("/m/small")
    draft(fake, bridge)
    found.drafting.load("/m/other")
    run, _ = fake.last(LoadDraft)
    fake.play(run.id, [DraftLoaded(0, ""), Failed(0, "other is damaged.", "")])
    bridge.deliver()
    assert found.drafting.path == "" and found.settings.value("drafts") == {}


def test_only_what_writes_on_from_a_text_is_drafted_for(found: State, fake: FakeEngine, bridge: Bridge) -> None:
    load(found, fake, bridge, kind="encoder")
    found.drafting.ask()
    assert not found.drafting.possible and not fake.given(FindDrafters)
