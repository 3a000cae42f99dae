"""Which numbers a model is held in: what was asked for, the file's own, or what this machine answers soonest with."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoints import loaded, write_tiny

from engine.errors import EngineError
from engine.loading import memory, precision
from engine.loading.checkpoint import checkpoint
from engine.loading.precision import choose


@pytest.mark.parametrize(("instructions", "expected"), [(True, "bf16"), (False, "fp32")])
def test_fast_widens_16_bits_only_where_the_processor_cannot_compute_them(
    monkeypatch: pytest.MonkeyPatch, assets: Path, instructions: bool, expected: str
) -> None:
    monkeypatch.setattr(precision, "_computes_bf16", lambda: instructions)
    assert loaded(assets / "models" / "companion", precision="fast").precision == expected


def test_fast_keeps_the_files_own_where_memory_does_not_hold_twice_the_bytes(
    monkeypatch: pytest.MonkeyPatch, assets: Path
) -> None:
    monkeypatch.setattr(precision, "_computes_bf16", lambda: False)
    monkeypatch.setattr(memory, "available", lambda *_: 20_000_000)
    weights = checkpoint(str(assets / "models" / "companion")).weights()
    assert choose("fast", weights, "cpu").name == "bf16"


def test_fast_leaves_32_bits_alone(assets: Path) -> None:
    assert loaded(assets / "models" / "stories260K", precision="fast").precision == "fp32"


@pytest.mark.parametrize(("free", "expected"), [(None, "int8"), (2**40, "int8"), (20_000, "int4")])
def test_fast_takes_8_bits_for_a_model_that_no_cache_holds_and_4_where_8_do_not_fit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int | None, expected: str
) -> None:
    monkeypatch.setattr(precision, "SMALL", 1000)
    monkeypatch.setattr(memory, "available", lambda *_: free)
    weights = checkpoint(str(write_tiny(tmp_path / "tiny"))).weights()
    assert choose("fast", weights, "cpu").name == expected
    assert choose("auto", weights, "cpu").name == "fp32"


def test_nf4_is_refused_where_there_is_no_gpu_to_run_it(assets: Path) -> None:
    with pytest.raises(EngineError, match=r"NF4 runs on a GPU only\."):
        loaded(assets / "models" / "stories260K", precision="nf4")


@pytest.mark.parametrize(
    ("wanted", "expected"), [("auto", "fp32"), ("fast", "fp32"), ("int4", "nf4"), ("int8", "int8"), ("nf4", "nf4")]
)
def test_on_a_gpu_4_bits_are_nf4(assets: Path, wanted: str, expected: str) -> None:
    weights = checkpoint(str(assets / "models" / "stories260K")).weights()
    assert choose(wanted, weights, "cuda").name == expected


def test_the_memory_that_is_free_is_a_believable_number() -> None:
    free = memory.available()
    assert free is None or 2**20 < free < 2**50
