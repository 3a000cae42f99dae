"""Whether a model fits into memory stands on its card, and where it does not the precision that fits is one press."""

from __future__ import annotations

import dataclasses

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.panes.models import Pane
from app.state import State
from app.widgets.model_card import forecast_parts, forecast_words
from engine import Done, Failed, Forecast, ForecastMemory, Forecasts, Load, Loaded, ModelCard, Unloaded
from fakes import FakeEngine, a_model

SMALL = ModelCard("/m/small", "small", "llama", supported=True, parameters=362_000_000)
FITS = Forecast("/m/small", "int8", 370_000_000, 180_000_000, 25_000_000, 25_000_000, 4096, 8_000_000_000, "fits", 8192)
TOO_LARGE = dataclasses.replace(
    FITS, precision="fp32", weights=1_448_000_000, free=1_000_000_000, verdict="too large", longest=0, instead="int4"
)


@pytest.fixture
def pane(state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot) -> Pane:
    fake.cards = (SMALL,)
    state.settings.set("folders", ["/m"])
    pane = Pane(state)
    qtbot.addWidget(pane)
    pane.resize(320, 600)
    pane.show()
    bridge.deliver()
    return pane


def answer(fake: FakeEngine, bridge: Bridge, *forecasts: Forecast) -> None:
    """Play the engine's answer to the latest question for forecasts."""
    run, _ = fake.last(ForecastMemory)
    fake.play(run.id, [Forecasts(0, forecasts), Done(0)])
    bridge.deliver()


def test_a_card_says_whether_its_model_fits_and_what_the_memory_is_for(
    pane: Pane, fake: FakeEngine, bridge: Bridge
) -> None:
    (card,) = pane.cards
    assert not card._fit.isVisibleTo(card)
    assert fake.last(ForecastMemory)[1].cards == (SMALL,)
    answer(fake, bridge, FITS)
    assert card._fit.isVisibleTo(card) and not card._fit_mark.isVisibleTo(card)
    assert card._fit.text() == "Fits: 600.0 MB of the 8.0 GB free, in int8"
    assert card._fit.text() in card.accessibleName()
    assert card._fit.toolTip().startswith("370.0 MB for weights, 180.0 MB for a text of 4,096 tokens, ")
    assert card.button.text() == "Load"


def test_forecasts_follow_the_precision_that_is_chosen_and_only_the_latest_counts(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge
) -> None:
    first, _ = fake.last(ForecastMemory)
    state.models.set_load_params(state.models.load_params.replace(precision="fp32"))
    assert fake.last(ForecastMemory)[1].params.precision == "fp32"
    answer(fake, bridge, TOO_LARGE)
    fake.play(first.id, [Forecasts(0, (FITS,)), Done(0)])
    bridge.deliver()
    assert pane.cards[0]._fit.text() == "Too large: needs 1.7 GB in fp32, and 1.0 GB are free"
    assert pane.cards[0]._fit_mark.isVisibleTo(pane.cards[0])


def test_a_model_that_is_too_large_offers_the_precision_that_fits(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    answer(fake, bridge, TOO_LARGE)
    (card,) = pane.cards
    assert card.button.text() == "Load in int4" and card.button.accessibleName() == "Load in int4 small"
    qtbot.mouseClick(card.button, Qt.MouseButton.LeftButton)
    run, command = fake.last(Load)
    assert command == Load("/m/small", state.models.load_params.replace(precision="int4"))
    assert state.models.load_params.precision == "fast"  # this once only
    fake.play(run.id, [Loaded(0, a_model(path="/m/small", bytes_in_memory=240_000_000)), Done(0)])
    bridge.deliver()
    assert card.button.text() == "Unload" and not card._fit.isVisibleTo(card)
    assert fake.last(ForecastMemory)[1].in_use == 240_000_000


def test_a_load_that_fails_for_want_of_memory_offers_it_too(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    answer(fake, bridge, TOO_LARGE)
    run = state.workspace.load("/m/small")
    fake.play(run.id, [Failed(0, "small does not fit into the free memory.", "In int4 it fits.")])
    bridge.deliver()
    assert pane.notice._action.text() == "Load in int4" and pane.notice._action.isVisibleTo(pane)
    qtbot.mouseClick(pane.notice._action, Qt.MouseButton.LeftButton)
    assert fake.last(Load)[1].params.precision == "int4"


def test_a_model_that_made_room_for_another_is_no_longer_in_use(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge
) -> None:
    run = state.workspace.load("/m/small")
    fake.play(run.id, [Loaded(0, a_model(path="/m/small")), Done(0)])
    bridge.deliver()
    run = state.workspace.load("/elsewhere/large")
    fake.play(run.id, [Unloaded(0), Failed(0, "It is damaged.", "")])
    bridge.deliver()
    assert state.workspace.info is None and not pane.cards[0].current


def test_what_fits_only_for_short_texts_says_how_short() -> None:
    tight = dataclasses.replace(FITS, free=500_000_000, verdict="tight", longest=2100)
    assert forecast_words(tight) == "Tight: 500.0 MB are free, enough for texts of up to 2,100 tokens in int8"
    assert forecast_parts(tight).endswith("The longest text that fits has 2,100 tokens.")
    unknown = dataclasses.replace(FITS, free=None, verdict="")
    assert forecast_words(unknown) == "Takes 600.0 MB of memory in int8"


def test_showing_the_pane_again_asks_what_is_free_now(pane: Pane, fake: FakeEngine) -> None:
    before = len(fake.given(ForecastMemory))
    pane.hide()
    pane.show()
    assert len(fake.given(ForecastMemory)) == before + 1
