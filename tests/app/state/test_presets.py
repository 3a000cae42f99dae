"""Presets: what is chosen, what was changed from it, and what comes back after a restart."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from app.settings import Settings
from app.state import State
from app.state.presets import KEPT, MODELS_OWN, Presets
from engine import TRANSFORMERS_ORDER, SamplingParams
from fakes import a_model


@pytest.fixture
def presets(state: State) -> Presets:
    return state.presets


def test_the_models_own_values_come_with_the_model(state: State, presets: Presets) -> None:
    own = SamplingParams(temperature=0.6, top_k=20)
    state.workspace._show_model(a_model(defaults=own, from_model=("temperature", "top_k")))
    assert presets.name == MODELS_OWN
    assert presets.sampling == own
    assert not presets.changed


def test_what_a_model_asks_for_is_judged_only_once_there_is_one(state: State, presets: Presets) -> None:
    assert presets.description == "What the model's makers ask for."
    state.workspace._show_model(a_model(from_model=()))
    assert presets.description.startswith("The model asks for nothing special")


def test_a_change_survives_another_model_and_the_rest_follows_it(state: State, presets: Presets) -> None:
    presets.set_sampling(presets.sampling.replace(top_p=0.5))
    state.workspace._show_model(a_model(defaults=SamplingParams(temperature=0.33)))
    assert (presets.sampling.temperature, presets.sampling.top_p) == (0.33, 0.5)
    assert [presets.changed_from_preset(name) for name in ("temperature", "top_p")] == [False, True]


def test_every_bundled_preset_applies_and_is_then_unchanged(presets: Presets) -> None:
    bundled = [preset for preset in presets.presets if not preset.saved and preset.name != MODELS_OWN]
    assert [preset.name for preset in bundled][:2] == ["Balanced", "Precise"]
    for preset in bundled:
        presets.set_sampling(presets.sampling.replace(temperature=1.99))
        presets.apply(preset.name)
        assert preset.sampling.items() <= presets.sampling.to_dict().items()
        assert not presets.changed


def test_choosing_a_preset_keeps_seed_stops_and_order(presets: Presets) -> None:
    presets.set_sampling(presets.sampling.replace(seed=7, stop=("END",), order=TRANSFORMERS_ORDER))
    presets.apply("Greedy")
    assert (presets.sampling.seed, presets.sampling.stop) == (7, ("END",))
    assert presets.sampling.order == TRANSFORMERS_ORDER


def test_neutral_switches_every_step_off_and_keeps_what_is_no_step(presets: Presets) -> None:
    presets.set_sampling(presets.sampling.replace(seed=7))
    presets.neutral()
    assert presets.sampling == SamplingParams.neutral(seed=7)


def test_reset_brings_one_value_back_or_all(presets: Presets) -> None:
    presets.apply("Balanced")
    presets.set_sampling(presets.sampling.replace(temperature=2.0, top_k=1, seed=3))
    presets.reset("top_k")
    assert (presets.sampling.top_k, presets.sampling.temperature) == (40, 2.0)
    presets.reset()
    assert presets.sampling == presets.baseline


def test_a_saved_preset_comes_back_after_a_restart(state: State, presets: Presets, home: Path) -> None:
    presets.set_sampling(presets.sampling.replace(temperature=1.11, top_k=3, seed=9))
    assert presets.save("Mine") == ""
    presets.set_sampling(presets.sampling.replace(top_k=5))
    state.settings.sync()
    again = Presets(state.workspace, Settings(home))
    assert again.name == "Mine"
    assert again.sampling == presets.sampling
    assert again.preset.sampling["top_k"] == 3
    assert "seed" not in again.preset.sampling


def test_a_bundled_name_is_not_taken_and_a_saved_one_can_be_deleted(presets: Presets) -> None:
    assert presets.save("Balanced") == "Balanced comes with Vitrine. Choose another name."
    assert presets.save("  ") == "Give it a name."
    presets.set_sampling(presets.sampling.replace(temperature=1.11))
    presets.save("Mine")
    before = presets.sampling
    presets.delete("Mine")
    presets.delete("Balanced")
    names = [preset.name for preset in presets.presets]
    assert "Mine" not in names and "Balanced" in names
    assert (presets.name, presets.sampling) == (MODELS_OWN, before)


def test_values_that_another_version_wrote_are_left_out(state: State) -> None:
    state.settings.set("sampling", {"temperature": 0.25, "top_k": -5, "gone": 1, "stop": 3})
    state.settings.set("presets", {"Old": {"sampling": {"top_p": 7.0, "min_p": 0.1}}, "Odd": 3})
    presets = Presets(state.workspace, state.settings)
    assert presets.sampling == SamplingParams(temperature=0.25)
    assert {p.name: p.sampling for p in presets.presets if p.saved} == {"Old": {"min_p": 0.1}}


def test_what_a_bundled_preset_does_not_name_is_off_or_kept(presets: Presets) -> None:
    presets.set_sampling(presets.sampling.replace(tail_free=0.5, mirostat="v1", dry_multiplier=0.8, penalty_window=9))
    for preset in presets.presets:
        if preset.name != MODELS_OWN and not preset.saved:
            presets.apply(preset.name)
            named = SamplingParams.neutral(**preset.sampling)
            for item in dataclasses.fields(SamplingParams):
                if item.name not in KEPT or item.name in preset.sampling:
                    assert getattr(presets.sampling, item.name) == getattr(named, item.name)
            assert presets.sampling.penalty_window == 9
