"""Whether a second model fits is asked beside the first, which stays, and without the second one of now."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.panes.compare import Pane
from app.state import State
from engine import (
    Done,
    Forecast,
    ForecastMemory,
    Forecasts,
    Loaded,
    LoadSecond,
    ModelCard,
    SecondLoaded,
)
from fakes import FakeEngine, a_model

ONE = ModelCard("/m/one", "one", "llama", kind="decoder", supported=True, parameters=100)
TWO = ModelCard("/m/two", "two", "llama", kind="decoder", supported=True, parameters=10)
NO = ModelCard("/m/no", "no", reason="It is damaged.")
TOO_LARGE = Forecast("/m/two", "int8", 10**9, 1, 1, 1, 4096, 10**6, "too large", 0)
GREYED = ("two", "/m/two", "too large for the free memory")


def answer(fake: FakeEngine, bridge: Bridge, *forecasts: Forecast) -> ForecastMemory:
    """Let the engine answer the latest question for forecasts."""
    run, question = fake.last(ForecastMemory)
    fake.play(run.id, [Forecasts(0, forecasts), Done(0)])
    bridge.deliver()
    return question


def test_the_first_model_is_not_counted_as_replaced_and_the_second_is(
    state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    pane = Pane(state)
    qtbot.addWidget(pane)
    fake.cards = (ONE, TWO, NO)
    state.models.refresh()
    bridge.deliver()
    run = state.workspace.load("/m/one")
    fake.play(run.id, [Loaded(0, a_model(path="/m/one", bytes_in_memory=500)), Done(0)])
    bridge.deliver()
    assert answer(fake, bridge).in_use == 500  # of the first, for another in its place
    beside = answer(fake, bridge, TOO_LARGE)
    assert (beside.cards, beside.in_use) == ((ONE, TWO), 0)
    assert state.second.offers == [("one", "/m/one", ""), GREYED]
    assert pane.seconds.models.itemText(2) == "two (too large for the free memory)"
    state.second.load("/m/one")
    assert state.second.chosen == "/m/one" and state.second.info is None
    run, _ = fake.last(LoadSecond)
    fake.play(run.id, [SecondLoaded(0, a_model(path="/m/one", bytes_in_memory=70)), Done(0)])
    bridge.deliver()
    assert answer(fake, bridge).in_use == 500
    assert answer(fake, bridge, TOO_LARGE).in_use == 70
    assert state.second.offers[1] == GREYED and pane.seconds.models.currentText() == "one"


def test_the_second_model_of_now_is_never_greyed(state: State, fake: FakeEngine, bridge: Bridge) -> None:
    fake.cards = (TWO,)
    state.models.refresh()
    bridge.deliver()
    state.second.load("/m/two")
    run, _ = fake.last(LoadSecond)
    fake.play(run.id, [SecondLoaded(0, a_model(path="/m/two")), Done(0)])
    bridge.deliver()
    answer(fake, bridge)
    answer(fake, bridge, TOO_LARGE)
    assert state.second.offers == [("two", "/m/two", "")]
