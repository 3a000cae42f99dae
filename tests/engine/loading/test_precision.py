"""Which numbers a model is held in: the file's own, or what this processor computes quickest."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoints import loaded

from engine.loading import loader, memory


@pytest.mark.parametrize(("instructions", "expected"), [(True, "bf16"), (False, "fp32")])
def test_fast_widens_16_bits_only_where_the_processor_cannot_compute_them(
    monkeypatch: pytest.MonkeyPatch, assets: Path, instructions: bool, expected: str
) -> None:
    monkeypatch.setattr(loader, "_computes_bf16", lambda: instructions)
    assert loaded(assets / "models" / "companion", precision="fast").precision == expected


def test_fast_keeps_the_files_own_where_memory_does_not_hold_twice_the_bytes(
    monkeypatch: pytest.MonkeyPatch, assets: Path
) -> None:
    monkeypatch.setattr(loader, "_computes_bf16", lambda: False)
    monkeypatch.setattr(memory, "available", lambda: 20_000_000)
    assert loaded(assets / "models" / "companion", precision="fast").precision == "bf16"


def test_fast_leaves_32_bits_alone(assets: Path) -> None:
    assert loaded(assets / "models" / "stories260K", precision="fast").precision == "fp32"


def test_the_memory_that_is_free_is_a_believable_number() -> None:
    free = memory.available()
    assert free is None or 2**20 < free < 2**50
