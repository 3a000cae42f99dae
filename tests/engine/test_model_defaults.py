"""The generation settings of released encoder-decoders become their defaults whole."""

from __future__ import annotations

from typing import Any

import pytest

from engine.jobs import model_defaults

RELEASED: dict[str, dict[str, Any]] = {
    "blenderbot 400M distill": {"num_beams": 10, "length_penalty": 0.65},
    "bart-large-cnn": {"num_beams": 4, "length_penalty": 2.0},
    "opus-mt": {"num_beams": 4},
    "madlad 400": {"temperature": 1.0, "top_k": 50, "top_p": 1.0},
}


@pytest.mark.parametrize("name", RELEASED)
def test_released_settings_are_taken_whole(name: str) -> None:
    asked = {key.replace("num_", ""): value for key, value in RELEASED[name].items()}
    defaults, taken = model_defaults({**RELEASED[name], "max_length": 60, "do_sample": False})
    assert set(taken) == set(asked)
    assert {key: getattr(defaults, key) for key in asked} == asked
