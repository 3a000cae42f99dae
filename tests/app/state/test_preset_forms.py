"""Presets that say what an answer has to be: never two forms at once, whatever was saved where."""

from __future__ import annotations

from pathlib import Path

from pytestqt.qtbot import QtBot

from app.bridge import Bridge
from app.settings import Settings
from app.state import State, make_state
from app.state.presets import valid
from engine import Done, Loaded, SamplingParams
from fakes import FakeEngine, a_model

TEXTS = SamplingParams(
    stop=("END",), dry_breakers=(".",), banned_words=("very",), banned_phrases=("once upon",),
    logit_bias=((" dog", 5.0), ("#7", -100.0)), negative_prompt="Be dull.", regex="[ab]+",
)  # fmt: skip


def load(state: State, fake: FakeEngine, qtbot: QtBot, path: str) -> None:
    run = state.workspace.load(path)
    with qtbot.waitSignal(state.workspace.model_changed):
        fake.play(run.id, [Loaded(0, a_model(path=path)), Done(0)])


def test_every_text_is_remembered_for_its_model_and_over_a_restart(
    state: State, bridge: Bridge, fake: FakeEngine, home: Path, qtbot: QtBot
) -> None:
    load(state, fake, qtbot, "one")
    state.presets.set_sampling(TEXTS)
    load(state, fake, qtbot, "two")
    state.presets.set_sampling(SamplingParams(grammar='start: "x"'))
    load(state, fake, qtbot, "one")
    assert state.presets.sampling == TEXTS
    state.settings.sync()
    again = make_state(bridge, Settings(home))
    load(again, fake, qtbot, "one")
    assert again.presets.sampling == TEXTS


def test_every_text_is_saved_in_a_preset_and_cleared_by_neutral_but_the_stop_strings(state: State) -> None:
    state.presets.set_sampling(TEXTS)
    state.presets.save("Mine")
    state.presets.neutral()
    assert state.presets.sampling == SamplingParams.neutral(stop=("END",))
    state.presets.reset()
    assert state.presets.sampling == TEXTS.replace(seed=-1)


def test_a_form_among_the_changes_takes_the_place_of_the_presets(state: State, fake: FakeEngine, qtbot: QtBot) -> None:
    load(state, fake, qtbot, "one")
    state.presets.save("Mine")
    state.presets.set_sampling(state.presets.sampling.replace(regex="a+"))
    load(state, fake, qtbot, "two")
    state.presets.set_sampling(state.presets.sampling.replace(regex="", schema="{}"))
    state.presets.save("Mine")
    load(state, fake, qtbot, "one")
    assert (state.presets.baseline.schema, state.presets.sampling.schema) == ("{}", "")
    assert state.presets.sampling.regex == "a+"


def test_of_two_forms_in_a_file_the_first_counts() -> None:
    assert valid({"grammar": "g", "schema": "{}", "regex": "", "top_k": 3}) == {"schema": "{}", "regex": "", "top_k": 3}


def test_the_form_goes_back_to_the_presets_as_one(state: State) -> None:
    state.presets.set_sampling(SamplingParams(schema="{}"))
    state.presets.save("Mine")
    state.presets.set_sampling(state.presets.sampling.replace(schema="", regex="a"))
    state.presets.reset("schema", "regex", "grammar")
    assert state.presets.sampling == state.presets.baseline and state.presets.sampling.schema == "{}"
