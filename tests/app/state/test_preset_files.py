"""Presets as files: out and in again, and what is no preset is refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from app.settings import Settings
from app.state import State
from app.state.preset_files import PresetFiles
from app.state.presets import MODELS_OWN, Presets
from engine import SamplingParams
from fakes import a_model


@pytest.fixture
def files(state: State) -> PresetFiles:
    return PresetFiles(state.presets)


def said(files: PresetFiles, qtbot: QtBot, path: Path, save: bool = False) -> str:
    with qtbot.waitSignal(files.said) as words:
        (files.save if save else files.open)(str(path))
    return str(words.args[0])


def test_a_preset_that_was_exported_comes_in_again(
    state: State, files: PresetFiles, tmp_path: Path, qtbot: QtBot
) -> None:
    state.presets.apply("Creative")
    values = state.presets.sampling.replace(temperature=1.23, seed=9, stop=("ENDE",))
    state.presets.set_sampling(values)
    path = tmp_path / "mine.json"
    assert said(files, qtbot, path, save=True) == "Saved as mine.json."
    assert "seed" not in json.loads(path.read_text("utf-8"))["sampling"]
    state.presets.apply("Greedy")
    assert said(files, qtbot, path) == "Creative 2 was added."
    assert state.presets.name == "Creative 2" and state.presets.preset.saved
    assert state.presets.sampling == values


def test_what_is_unknown_or_out_of_range_is_left_out_and_said(
    state: State, files: PresetFiles, tmp_path: Path, qtbot: QtBot
) -> None:
    path = tmp_path / "other.json"
    path.write_text('{"sampling": {"temperature": 0.4, "top_k": -3, "warmth": 2}}', "utf-8")
    words = said(files, qtbot, path)
    assert words == "other was added. Left out, as unknown or out of range: top_k, warmth."
    assert state.presets.sampling.temperature == 0.4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "bad.json is no JSON file."),
        ("[" * 100_000, "bad.json is no JSON file."),
        ("[1, 2]", "bad.json holds no preset of this program."),
        ('{"sampling": {"warmth": 2}}', "bad.json holds no preset of this program."),
        ('{"sampling": 3, "name": 4}', "bad.json holds no preset of this program."),
    ],
)
def test_what_is_no_preset_is_refused(
    state: State, files: PresetFiles, tmp_path: Path, qtbot: QtBot, text: str, words: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text, "utf-8")
    before = state.presets.presets
    assert said(files, qtbot, path) == words
    assert state.presets.presets == before


def test_a_file_that_is_not_there_and_a_folder_that_is_not_there_are_said(
    files: PresetFiles, tmp_path: Path, qtbot: QtBot
) -> None:
    assert said(files, qtbot, tmp_path / "none.json") == "none.json could not be read: No such file or directory."
    away = tmp_path / "none" / "mine.json"
    assert said(files, qtbot, away, save=True) == "mine.json could not be written: No such file or directory."


def test_each_model_gets_its_last_settings_back(state: State, home: Path) -> None:
    presets = state.presets
    state.workspace._show_model(a_model(path="a"))
    presets.apply("Creative")
    presets.set_sampling(presets.sampling.replace(top_k=7))
    state.workspace._show_model(a_model(path="b"))
    assert (presets.name, presets.sampling.top_k) == ("Creative", 7)  # a new one goes on with what is in force
    presets.apply(MODELS_OWN)
    presets.reset()
    state.workspace._show_model(a_model(path="a"))
    assert (presets.name, presets.sampling.top_k) == ("Creative", 7)
    state.settings.sync()
    again = Presets(state.workspace, Settings(home))
    state.workspace._show_model(a_model(path="b", defaults=SamplingParams(temperature=0.3)))
    assert (again.name, again.sampling.temperature) == (MODELS_OWN, 0.3)


def test_what_is_changed_before_a_model_is_there_is_not_lost_when_it_comes(state: State) -> None:
    state.workspace._show_model(a_model(path="a"))
    state.settings.set("model_sampling", {"a": {"preset": "Greedy", "sampling": {}}})
    fresh = Presets(state.workspace, state.settings)
    fresh._model = ""
    fresh.set_sampling(fresh.sampling.replace(top_k=3))
    fresh._on_model(a_model(path="a"))
    assert fresh.sampling.top_k == 3
