"""How the model in use runs, and why, stands on its card and at the foot of the window."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from app.panes import models, status
from app.state import State
from app.state.models import BUNDLED
from engine import Done, Loaded, ModelCard, Unload, Unloaded
from fakes import FakeEngine, a_model

RUNS = "Runs in 8 bits: the fastest that answers like the full numbers. Kernels: AVX2, 21 GB/s."
PATH = str(BUNDLED / "companion")


def load(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    run = state.workspace.load(PATH)
    fake.play(run.id, [Loaded(0, a_model(path=PATH, precision="int8", runs=RUNS)), Done(0)])
    qtbot.waitUntil(lambda: state.workspace.info is not None)


def test_the_card_of_the_model_in_use_says_how_it_runs(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    fake.cards = (ModelCard(PATH, "companion", "llama", supported=True, bundled=True),)
    pane = models.Pane(state)
    qtbot.addWidget(pane)
    pane.show()
    qtbot.waitUntil(lambda: len(pane.cards) == 1)
    [card] = pane.cards
    assert not card._runs.isVisibleTo(card)
    load(state, fake, qtbot)
    assert (card._runs.text(), card._runs.isVisibleTo(card)) == (RUNS, True)
    assert card.accessibleName().endswith(RUNS)
    state.workspace.unload()
    run, _ = fake.last(Unload)
    fake.play(run.id, [Unloaded(0), Done(0)])
    qtbot.waitUntil(lambda: state.workspace.info is None)
    assert not card._runs.isVisibleTo(card)


def test_the_strip_at_the_foot_says_it_too(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    strip = status.Pane(state)
    qtbot.addWidget(strip)
    load(state, fake, qtbot)
    assert "int8" in strip._model.text()
    assert (strip._model.toolTip(), strip._model.accessibleDescription()) == (RUNS, RUNS)
