"""The plan of what a model will be held in is what loading then does, byte for byte where nothing stands in the way."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from checkpoints import loaded, write_tiny

from engine.loading.planning import planned


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("precision", ["int4", "int8", "fp32", "bf16", "fp16", "auto", "fast"])
@pytest.mark.parametrize("name", ["companion", "babyllama-361", "tiny"])
def test_the_plan_is_what_loading_does(assets: Path, tmp_path: Path, name: str, precision: str) -> None:
    folder = write_tiny(tmp_path / "tiny") if name == "tiny" else assets / "models" / name
    form, nbytes, held = planned(str(folder), precision)
    found = loaded(folder, precision=precision)
    assert form == found.precision
    assert held == tuple(dataclasses.replace(each, error=0.0) for each in found.held)
    # What a fallback kernel packs differs a little; native ones are exact.
    assert abs(nbytes - found.bytes_in_memory) <= 0.02 * nbytes


def test_the_codes_of_a_gguf_file_are_foreseen(references: Path) -> None:
    file = references / "models" / "babyllama-361" / "gguf" / "babyllama-361-q8_0.gguf"
    precision, nbytes, held = planned(str(file), "auto")
    found = loaded(file)
    assert precision == found.precision == "int8"
    assert [each.form for each in held] == [each.form for each in found.held] == ["8 bits in groups of 32"]
    assert abs(nbytes - found.bytes_in_memory) <= 0.02 * nbytes
