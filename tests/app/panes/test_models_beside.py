"""Beside the list of models: what drafts for the one in use, what its weights take, what is kept on the disk."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.panes.models import Pane
from app.state import State
from app.widgets.draft_chooser import NONE_FITS
from engine import (
    CountKept,
    Done,
    Drafters,
    DraftLoaded,
    FindDrafters,
    Kept,
    LoadDraft,
    Loaded,
    ModelCard,
    ModelInfo,
    Progress,
    Stats,
)
from fakes import FakeEngine, a_model

LARGE = ModelCard("/m/large", "large", "llama", kind="decoder", supported=True, parameters=100)
SMALL = ModelCard("/m/small", "small", "llama", kind="decoder", supported=True, parameters=10)
OTHER = ModelCard("/m/other", "other", "gpt2", kind="decoder", supported=True, parameters=10)
REFUSALS = (("/m/large", "not smaller"), ("/m/other", "another tokenizer"), ("/m/small", ""))


@pytest.fixture
def pane(state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot) -> Pane:
    fake.cards = (LARGE, OTHER, SMALL)
    state.settings.set("folders", ["/m"])
    pane = Pane(state)
    qtbot.addWidget(pane)
    pane.resize(320, 600)
    pane.show()
    bridge.deliver()
    return pane


def load(state: State, fake: FakeEngine, bridge: Bridge, info: ModelInfo) -> None:
    run = state.workspace.load(info.path)
    fake.play(run.id, [Loaded(0, info), Done(0)])
    bridge.deliver()


@pytest.fixture
def loaded(pane: Pane, state: State, fake: FakeEngine, bridge: Bridge) -> Pane:
    """The pane with the large model in use, and the engine's word on which of the others could draft for it."""
    load(state, fake, bridge, a_model(path="/m/large"))
    run, _ = fake.last(FindDrafters)
    fake.play(run.id, [Drafters(0, REFUSALS), Done(0)])
    bridge.deliver()
    return pane


def test_the_card_in_use_offers_a_draft_model_and_greys_what_does_not_fit(loaded: Pane) -> None:
    box = loaded.drafts.models
    assert loaded.cards[0].current and loaded.cards[0].isAncestorOf(loaded.drafts) and loaded.drafts.isVisible()
    assert [box.itemText(row) for row in range(box.count())] == [
        "No draft model",
        "small",
        "other (another tokenizer)",
    ]
    model = box.model()
    assert isinstance(model, QStandardItemModel)
    assert [model.item(row).isEnabled() for row in range(box.count())] == [True, True, False]
    assert box.accessibleName() == "Draft model"


def test_a_draft_model_is_loaded_shown_and_removed(
    loaded: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    box = loaded.drafts.models
    box.activated.emit(1)
    run, command = fake.last(LoadDraft)
    assert command == LoadDraft("/m/small", state.models.load_params)
    fake.play(run.id, [Progress(0, "Loading weights", 1, 4)])
    bridge.deliver()
    assert box.currentText() == "small" and loaded.drafts.cancel.isVisible()
    fake.play(run.id, [DraftLoaded(0, "small", 5_000), Done(0)])
    bridge.deliver()
    assert box.currentText() == "small" and not loaded.drafts.cancel.isVisible()
    box.activated.emit(0)
    run, command = fake.last(LoadDraft)
    assert command.path == "" and state.settings.value("drafts") == {}
    fake.play(run.id, [DraftLoaded(0, ""), Done(0)])
    bridge.deliver()
    assert box.currentText() == "No draft model"


def test_loading_a_draft_model_can_be_cancelled(loaded: Pane, fake: FakeEngine, bridge: Bridge, qtbot: QtBot) -> None:
    loaded.drafts.models.activated.emit(1)
    run, _ = fake.last(LoadDraft)
    qtbot.mouseClick(loaded.drafts.cancel, Qt.MouseButton.LeftButton)
    assert run.cancelled
    fake.play(run.id, [Done(0, "cancelled")])
    bridge.deliver()
    assert loaded.drafts.models.currentText() == "No draft model" and not loaded.drafts.cancel.isVisible()


def test_while_a_draft_model_is_loaded_the_card_tells_what_its_drafts_were_worth(
    loaded: Pane, state: State, fake: FakeEngine, bridge: Bridge
) -> None:
    stats = Stats(1, 10, 100, 60, 42.0, 2.0, drafted=40, accepted=31)
    state.conversation.stats_changed.emit(stats)
    assert not loaded.drafts._told.isVisible()
    loaded.drafts.models.activated.emit(1)
    run, _ = fake.last(LoadDraft)
    fake.play(run.id, [DraftLoaded(0, "small", 5_000), Done(0)])
    bridge.deliver()
    state.conversation.stats_changed.emit(stats)
    assert loaded.drafts._told.isVisible()
    assert loaded.drafts.told == "Last answer: 31 of 40 drafted tokens were right."
    state.conversation.stats_changed.emit(Stats(1, 10, 100, 60, 42.0))
    assert loaded.drafts.told == "Last answer: nothing was drafted."


def test_where_no_model_fits_the_chooser_says_so(pane: Pane, state: State, fake: FakeEngine, bridge: Bridge) -> None:
    load(state, fake, bridge, a_model(path="/m/large"))
    run, _ = fake.last(FindDrafters)
    fake.play(run.id, [Drafters(0, (("/m/small", "another tokenizer"),)), Done(0)])
    bridge.deliver()
    assert NONE_FITS in pane.drafts.models.toolTip()


def test_a_kind_that_is_not_drafted_for_and_no_model_at_all_show_no_chooser(
    loaded: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    load(state, fake, bridge, a_model(path="/m/small", kind="encoder"))
    assert loaded.drafts.isHidden()
    load(state, fake, bridge, a_model(path="/m/large"))
    assert loaded.drafts.isVisible()
    fake.cards = (LARGE,)
    state.models.refresh()  # the cards are made anew, the chooser moves to its new one
    bridge.deliver()
    qtbot.waitUntil(loaded.drafts.isVisible)
    assert len(loaded.cards) == 1 and loaded.cards[0].isAncestorOf(loaded.drafts)


@pytest.mark.parametrize(
    ("foreseen", "measured", "told"),
    [
        (739_000_000, 743_700_000, "Takes 743.7 MB for its weights; 739.0 MB were foreseen."),
        (739_000_000, 0, ""),
        (0, 743_700_000, ""),
    ],
)
def test_what_the_weights_take_stands_beside_what_was_foreseen(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, foreseen: int, measured: int, told: str
) -> None:
    info = a_model(path="/m/large", bytes_in_memory=739_000_000, foreseen=foreseen, measured=measured)
    load(state, fake, bridge, info)
    (card,) = [card for card in pane.cards if card.current]
    assert card._runs.text() == told and card._runs.isVisible() == bool(told)
    assert told in card.accessibleName()


def test_what_a_tiny_models_weights_take_is_not_told(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge
) -> None:
    load(state, fake, bridge, a_model(path="/m/large", bytes_in_memory=5_000, foreseen=5_000, measured=900_000))
    assert not any("foreseen" in card.accessibleName() for card in pane.cards)


def count(fake: FakeEngine, bridge: Bridge, models: int, nbytes: int) -> CountKept:
    """Let the engine answer the latest question about what is kept."""
    run, command = fake.last(CountKept)
    fake.play(run.id, [Kept(0, models, nbytes), Done(0)])
    bridge.deliver()
    return command


def test_what_is_kept_of_quantised_models_is_removed_after_one_question(
    pane: Pane, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    assert pane.kept.isHidden()
    count(fake, bridge, 2, 1_200_000_000)
    assert pane.kept.isVisible() and pane.kept.words == "2 quantised models on the disk: 1.2 GB"

    def press(button: QPushButton) -> None:
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    press(pane.kept.clear)
    assert pane.kept.question.isVisible() and not pane.kept.clear.isVisible()
    press(pane.kept.no)
    assert not pane.kept.question.isVisible() and not fake.last(CountKept)[1].clear
    press(pane.kept.clear)
    press(pane.kept.yes)
    assert pane.kept.words == "Removing quantised models" and not pane.kept.clear.isEnabled()
    assert count(fake, bridge, 2, 1_200_000_000).clear
    assert not count(fake, bridge, 0, 0).clear
    assert pane.kept.isHidden()


def test_a_model_that_was_loaded_is_counted_and_one_is_told_as_one(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge
) -> None:
    asked = len(fake.given(CountKept))
    load(state, fake, bridge, a_model(path="/m/large"))
    assert len(fake.given(CountKept)) == asked + 1
    count(fake, bridge, 1, 3_000_000)
    assert pane.kept.words == "1 quantised model on the disk: 3.0 MB"


def test_the_card_in_use_is_scrolled_into_sight(
    pane: Pane, state: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    fake.cards = tuple(ModelCard(f"/m/{number}", f"{number}", "llama", supported=True) for number in range(40))
    state.models.refresh()
    bridge.deliver()

    def in_sight() -> bool:
        (card,) = [card for card in pane.cards if card.current]
        return not card.visibleRegion().isEmpty()

    load(state, fake, bridge, a_model(path="/m/30"))
    qtbot.waitUntil(in_sight)
    load(state, fake, bridge, a_model(path="/m/2"))
    qtbot.waitUntil(in_sight)
