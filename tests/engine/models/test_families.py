"""Which families there are, and how others are refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine import models
from engine.errors import UnsupportedModel
from engine.models import FAMILIES, family


def test_the_list_of_families_costs_no_torch() -> None:
    code = "import engine.models, sys; print('torch' in sys.modules)"
    root = Path(models.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_a_config_and_a_model_of_a_kind(name: str) -> None:
    module = family(name)
    assert callable(module.Config.read)
    assert module.Model.kind in ("decoder", "encoder-decoder", "encoder")


@pytest.mark.parametrize(
    ("name", "near"),
    [("gemma", "gemma2"), ("qwen2_moe", "qwen2"), ("phi", "phi3"), ("mamba", None), ("xlm-roberta", "roberta")],
)
def test_an_unknown_type_is_refused_by_name_and_the_nearest_are_named_first(name: str, near: str | None) -> None:
    with pytest.raises(UnsupportedModel, match=f"Models of type {name!r} cannot be run yet") as caught:
        family(name)
    first, _, rest = caught.value.hint.rpartition("All types that can: ")
    assert rest == f"{', '.join(sorted(FAMILIES))}."
    assert first.startswith("Nearest to it by name, ") and near in first if near else not first
