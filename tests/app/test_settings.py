"""Settings come back with the type they were given, and nonsense in the file is the default."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.settings import DEFAULTS, Settings
from engine import LoadParams


@pytest.mark.parametrize("name", DEFAULTS)
def test_every_setting_has_its_default_and_keeps_it(name: str, home: Path) -> None:
    settings = Settings(home)
    assert settings.value(name) == DEFAULTS[name]
    settings.set(name, DEFAULTS[name])
    settings.sync()
    assert Settings(home).value(name) == DEFAULTS[name]


def test_values_survive_a_restart_with_their_types(home: Path) -> None:
    settings = Settings(home)
    settings.set("folders", ["/a, b", "ü"])
    settings.set("sampling", {"temperature": 0.5})
    settings.set("window_state", b"\x00\xff")
    settings.sync()
    again = Settings(home)
    assert again.value("folders") == ["/a, b", "ü"]
    assert again.value("sampling") == {"temperature": 0.5}
    assert again.value("window_state") == b"\x00\xff"


def test_what_cannot_be_read_is_the_default(home: Path) -> None:
    (home / "settings.ini").write_text('[General]\ntext_size=big\nfolders="{}"\n')
    settings = Settings(home)
    assert settings.value("text_size") == DEFAULTS["text_size"]
    assert settings.value("folders") == DEFAULTS["folders"]


def test_a_model_loads_as_the_machine_is_quickest_unless_the_person_chose_otherwise(home: Path) -> None:
    settings = Settings(home)
    assert settings.value("load") == {"precision": "fast"}
    chosen = LoadParams(precision="auto", threads=3)
    settings.set("load", chosen.to_dict())
    settings.sync()
    assert LoadParams.from_dict(Settings(home).value("load"))[0] == chosen


def test_a_name_that_is_not_declared_is_an_error(home: Path) -> None:
    with pytest.raises(KeyError):
        Settings(home).value("nonsense")
