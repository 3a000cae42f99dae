"""The Sampling pane over its state, both directions of every binding."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QToolButton
from pytestqt.qtbot import QtBot

from app.panes.sampling import Pane
from app.state import State
from app.widgets.form import NumberRow
from engine import STEPS, TRANSFORMERS_ORDER, SamplingParams


@pytest.fixture
def pane(state: State, qtbot: QtBot) -> Pane:
    pane = Pane(state)
    qtbot.addWidget(pane)
    pane.resize(340, 700)
    pane.show()
    return pane


def row(pane: Pane, name: str) -> NumberRow:
    found = pane.form.rows[name]
    assert isinstance(found, NumberRow)
    return found


def test_every_setting_has_a_row(pane: Pane) -> None:
    settings = [each.name for each in (*SamplingParams.table(), *SamplingParams.texts())]
    assert sorted(name for row in pane.form.rows.values() for name in row.names) == sorted(settings)


def test_a_slider_that_is_moved_changes_the_sampling(pane: Pane, state: State) -> None:
    slider = row(pane, "min_p").slider
    assert slider is not None
    slider.setValue(slider.maximum())
    assert state.presets.sampling.min_p == 1.0
    assert row(pane, "min_p").edit.text() == "1.000"
    assert row(pane, "min_p").dot.shown and pane.reset.isEnabled()


def test_sampling_that_changes_elsewhere_is_shown(pane: Pane, state: State) -> None:
    changed = SamplingParams(temperature=1.5, stop=("a\nb", "END"), order=TRANSFORMERS_ORDER)
    state.presets.set_sampling(changed)
    assert row(pane, "temperature").edit.text() == "1.50"
    stops = pane.lists["stop"].list
    assert [stops.item(row).text() for row in range(stops.count())] == ["a↵b", "END"]
    assert pane.order.known.currentText() == "transformers"


def test_choosing_a_preset_and_seeing_the_one_chosen(pane: Pane, state: State) -> None:
    pane.chooser.setCurrentText("Greedy")
    pane.chooser.activated.emit(pane.chooser.currentIndex())
    assert state.presets.name == "Greedy" and state.presets.sampling.temperature == 0.0
    state.presets.apply("Wild")
    assert pane.chooser.currentText() == "Wild"


def test_neutral_and_reset_act_on_the_whole(pane: Pane, state: State) -> None:
    pane.neutral.click()
    assert state.presets.sampling == SamplingParams.neutral()
    pane.reset.click()
    assert state.presets.sampling == state.presets.baseline and not pane.reset.isEnabled()


def test_a_preset_is_saved_by_name_and_deleted_again(pane: Pane, state: State, qtbot: QtBot) -> None:
    assert pane.remove.isHidden()
    pane.keep.click()
    pane.name.setText("Balanced")
    qtbot.keyClick(pane.name, Qt.Key.Key_Return)
    assert not pane.name.isHidden()
    pane.name.setText("Mine")
    qtbot.keyClick(pane.name, Qt.Key.Key_Return)
    assert state.presets.name == "Mine" and pane.chooser.currentText() == "Mine"
    assert pane.name.isHidden() and not pane.remove.isHidden()
    pane.remove.click()
    assert "Mine" not in [preset.name for preset in state.presets.presets]


def test_stop_strings_are_added_as_typed_and_removed(pane: Pane, state: State, qtbot: QtBot) -> None:
    stops = pane.lists["stop"]
    for text in ("\\n\\n", "User:", "User:", ""):
        stops.entry.setText(text)
        qtbot.keyClick(stops.entry, Qt.Key.Key_Return)
    assert state.presets.sampling.stop == ("\n\n", "User:")
    qtbot.mouseClick(stops.list.viewport(), Qt.MouseButton.LeftButton, pos=stops.list.cross(0).center())
    assert state.presets.sampling.stop == ("User:",)


def test_steps_move_one_place_and_known_orders_come_whole(pane: Pane, state: State) -> None:
    pane.order.movers[0][1].click()
    assert state.presets.sampling.order == (STEPS[1], STEPS[0], *STEPS[2:])
    assert pane.order.known.currentText() == "Own order"
    pane.order.movers[1][0].click()
    assert state.presets.sampling.order == STEPS and pane.order.known.currentText() == "llama.cpp"
    assert not pane.order.movers[0][0].isEnabled() and not pane.order.movers[-1][1].isEnabled()


def test_a_double_click_on_a_name_brings_the_presets_value_back(pane: Pane, state: State, qtbot: QtBot) -> None:
    state.presets.set_sampling(state.presets.sampling.replace(top_k=3))
    qtbot.mouseDClick(row(pane, "top_k").label, Qt.MouseButton.LeftButton)
    assert state.presets.sampling.top_k == state.presets.baseline.top_k


def test_long_names_and_stop_strings_do_not_make_the_pane_wide(pane: Pane, state: State, qtbot: QtBot) -> None:
    state.presets.set_sampling(state.presets.sampling.replace(stop=("<|" + "reserved_" * 20 + "|>",)))
    state.presets.save("A name of a preset that somebody likes so much that it says everything")
    pane.resize(280, 700)
    qtbot.waitUntil(lambda: pane.width() == 280)
    assert pane.minimumSizeHint().width() <= 280
    right = pane.body.viewport().width()
    for button in (pane.lists["stop"].list, row(pane, "seed").help, pane.order.movers[0][0]):
        assert button.mapTo(pane, button.rect().topRight()).x() < right


def test_what_rests_is_grey_and_its_section_says_why(pane: Pane, state: State) -> None:
    state.presets.set_sampling(SamplingParams(mirostat="v2"))
    assert not row(pane, "top_p").isEnabled() and row(pane, "temperature").isEnabled()
    assert "Mirostat" in row(pane, "top_p").accessibleDescription()
    state.presets.set_sampling(SamplingParams())
    assert row(pane, "top_p").isEnabled() and row(pane, "top_p").accessibleDescription() == ""


def test_a_folded_section_says_how_many_of_its_knobs_act(pane: Pane, state: State) -> None:
    section = pane.form.sections["Repetition"]
    assert isinstance(section.heading, QToolButton)
    assert section.heading.text() == "Repetition" and not row(pane, "dry_multiplier").isVisible()
    state.presets.set_sampling(SamplingParams(dry_multiplier=0.8, presence_penalty=0.5))
    assert section.heading.text() == "Repetition · 2 on"
    section.heading.click()
    assert row(pane, "dry_multiplier").isVisible()


def test_breakers_are_a_list_of_their_own(pane: Pane, state: State) -> None:
    breakers = pane.lists["dry_breakers"]
    breakers.entry.setText("—")
    breakers.entry.returnPressed.emit()
    assert state.presets.sampling.dry_breakers[-1] == "—" and state.presets.sampling.stop == ()
