"""Adapters where they are seen: rows in the Sampling pane, cards among the models, choosers in columns and of texts."""

from __future__ import annotations

import dataclasses

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QStandardItemModel
from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.panes.chat import Pane as ChatPane
from app.panes.compare import Pane as ComparePane
from app.panes.models import Pane as ModelsPane
from app.panes.sampling import Pane as SamplingPane
from app.panes.score import Pane as ScorePane
from app.panes.status import Pane as StatusPane
from app.state import State
from engine import AdapterCard, AdapterUse, Done, Generate, Score, Started, Stats, Tokens
from fakes import FakeEngine, a_model, a_record

RED = AdapterCard("/a/red", "red", "somebody/companion", rank=4, bytes_on_disk=186_300)
FOREIGN = AdapterCard("/a/foreign", "foreign", reason="foreign does not fit companion.", hint="Load its model.")
PATH = a_model().path


@pytest.fixture
def there(state: State, fake: FakeEngine, bridge: Bridge) -> State:
    fake.adapters = {"": (RED, dataclasses.replace(FOREIGN, reason="", hint="")), PATH: (RED, FOREIGN)}
    state.settings.set("folders", ["/a"])
    state.workspace._show_model(a_model())
    for _ in range(3):
        bridge.deliver()
    return state


def test_a_row_for_each_that_fits_puts_it_on_and_off_and_back_to_as_it_was_trained(
    there: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    pane = SamplingPane(there)
    qtbot.addWidget(pane)
    pane.show()
    (row,) = pane.adapters.rows.values()
    assert pane.adapters.isVisible() and row.isVisible() and row.label.text() == "red" and not row.on
    assert "rank 4" in row.label.toolTip() and pane.adapters.fold.text() == "Adapters"
    row._choose(0.4)
    assert there.adapters.uses == (AdapterUse("/a/red", 0.4),) and pane.adapters.fold.text() == "Adapters · 1 on"
    qtbot.mouseDClick(row.label, Qt.MouseButton.LeftButton)
    assert there.adapters.weight("/a/red") == 1.0 and row.value == 1.0
    there.adapters.set_weight("/a/red", 0.0)
    assert row.value == 0.0 and not row.on
    there.conversation.send("Hi")
    assert fake.last(Generate)[1].adapters == ()


def test_an_answer_says_what_it_was_written_through(
    there: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    pane = ChatPane(there)
    qtbot.addWidget(pane)
    pane.resize(900, 700)
    pane.show()
    there.adapters.set_weight("/a/red", 0.4)
    there.conversation.send("Hi")
    run, _ = fake.last(Generate)
    fake.play(run.id, [Started(0, (1, 2), "", 7, 0), Tokens(0, "Yes", (a_record(2, "Yes"),)), Done(0, "length")])
    bridge.deliver()
    there.adapters.set_weight("/a/red", 0.0)
    view = pane.transcript.view(pane.last())
    assert view is not None and view._note.isVisible()
    assert view._note.text() == "Reached the longest answer · With red at 0.4"
    assert view.text.accessibleDescription() == "With red at 0.4"


def test_where_no_adapter_fits_there_is_nothing_to_see(state: State, qtbot: QtBot) -> None:
    state.workspace._show_model(a_model())
    sampling, compare = SamplingPane(state), ComparePane(state)
    for pane in (sampling, compare):
        qtbot.addWidget(pane)
        pane.show()
    assert not sampling.adapters.isVisible()
    assert not any(column.adapters.isVisible() or column.strength.isVisible() for column in compare.columns)


def test_the_rows_are_those_of_the_model_that_is_loaded(there: State, bridge: Bridge, qtbot: QtBot) -> None:
    pane = SamplingPane(there)
    qtbot.addWidget(pane)
    pane.show()
    there.workspace._show_model(a_model(path="models/other", name="Other"))
    for _ in range(3):
        bridge.deliver()
    assert pane.adapters.rows == {} and not pane.adapters.isVisible()


def test_the_models_pane_shows_them_in_their_folder_with_the_way_to_use_them_or_the_reason_why_not(
    there: State, bridge: Bridge, qtbot: QtBot
) -> None:
    pane = ModelsPane(there)
    qtbot.addWidget(pane)
    pane.show()
    for _ in range(3):
        bridge.deliver()
    red, foreign = pane.list.adapters
    assert red.accessibleName() == "red, Adapter for somebody/companion · rank 4 · 186.3 kB"
    qtbot.waitUntil(red.button.isVisible)
    assert red.button.text() == "Use" and not foreign.button.isVisible()
    assert "does not fit: foreign does not fit companion." in foreign.accessibleName()
    qtbot.mouseClick(red.button, Qt.MouseButton.LeftButton)
    assert there.adapters.weight("/a/red") == 1.0
    assert red.button.text() == "Switch off" and "on at 1" in red.accessibleName()
    there.adapters.set_weight("/a/red", 0.4)
    assert "on at 0.4" in red.accessibleName() and pane.list.adapters[0] is red, "its card stays"
    qtbot.mouseClick(red.button, Qt.MouseButton.LeftButton)
    assert there.adapters.uses == () and red.button.text() == "Use"
    there.workspace._show_model(None)
    for _ in range(3):
        bridge.deliver()
    assert not any(view.button.isVisible() for view in pane.list.adapters)


def test_the_status_line_names_what_the_model_is_changed_by_and_keeps_its_figures(
    there: State, fake: FakeEngine, bridge: Bridge, qtbot: QtBot
) -> None:
    pane = StatusPane(there)
    qtbot.addWidget(pane)
    pane._show_stats(Stats(0, 40, 1024, 37, 20.0))
    there.adapters.set_weight("/a/red", 0.4)
    assert pane._model.text().startswith("Companion 7M with red at 0.4 · CPU")
    assert pane._used.text() == "context 40 / 1,024" and pane._speed.text() == "20 tok/s"


def test_a_column_offers_them_and_shows_the_strength_of_the_one_it_goes_through(
    there: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    pane = ComparePane(there)
    qtbot.addWidget(pane)
    pane.resize(900, 700)
    pane.show()
    column = pane.columns[1]
    box = column.adapters
    assert [box.itemText(n) for n in range(box.count())] == [
        "Adapters as set", "No adapter", "red", "foreign (does not fit)",
    ]  # fmt: skip
    model = box.model()
    assert isinstance(model, QStandardItemModel) and not model.item(3).isEnabled()
    assert not column.strength.isVisible()
    box.setCurrentIndex(2)
    box.activated.emit(2)
    assert column.strength.isVisible() and not pane.columns[0].strength.isVisible()
    column.strength._choose(0.6)
    pane.field.setPlainText("Hi")
    pane.page.button.click()
    assert [command.adapters for command in fake.given(Generate)] == [(), (AdapterUse("/a/red", 0.6),)]
    assert "Companion 7M with red at 0.6" in column.status.text()


def test_a_text_is_compared_with_an_adapter_chosen_among_the_models(
    there: State, fake: FakeEngine, qtbot: QtBot
) -> None:
    pane = ScorePane(there)
    qtbot.addWidget(pane)
    pane.show()
    box = pane.page.seconds.models
    place = box.findText("Adapter red")
    assert place > 0 and not pane.page.seconds.strength.isVisible()
    box.setCurrentIndex(place)
    box.activated.emit(place)
    assert there.scoring.adapter == "/a/red" and pane.page.seconds.strength.isVisible()
    pane.page.seconds.strength._choose(0.5)
    pane.page.field.setPlainText("A text")
    pane.page.button.click()
    assert [command.adapters for command in fake.given(Score)] == [(), (AdapterUse("/a/red", 0.5),)]
    box.setCurrentIndex(0)
    box.activated.emit(0)
    assert there.scoring.adapter == "" and not pane.page.seconds.strength.isVisible()
