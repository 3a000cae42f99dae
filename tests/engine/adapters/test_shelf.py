"""What stays of adapters that were read: the last ones, within bounds, and nothing of files that changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoints import loaded, write_tiny
from lora import write_adapter

from engine.adapters import lora, shelf
from engine.adapters.shelf import Shelf
from engine.errors import OutOfMemory
from engine.messages import Progress
from engine.models.base import LanguageModel
from engine.params import AdapterUse


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return loaded(write_tiny(tmp_path_factory.mktemp("base") / "tiny")).model


@pytest.fixture
def folders(tiny: LanguageModel, tmp_path: Path) -> list[Path]:
    return [write_adapter(tmp_path / name, tiny, "q_proj", seed=seed) for seed, name in enumerate("abc")]


SIZE = 3 * 4 * (24 + 30) * 4
"""Bytes of one of them: three layers, rank four, float32."""


def read_now(kept: Shelf, *folders: Path) -> list[str]:
    """What is said to be read when these are used."""
    uses = [AdapterUse(str(folder)) for folder in folders]
    return [event.phase for event in kept.adaptation(1, uses) if isinstance(event, Progress)]


def test_an_adapter_is_read_once_whatever_its_weight(tiny: LanguageModel, folders: list[Path]) -> None:
    kept = Shelf(tiny, "tiny")
    assert read_now(kept, folders[0], folders[1]) == ["Reading a", "Reading b"]
    assert read_now(kept, folders[1], folders[0]) == []
    assert list(kept.adaptation(1, [AdapterUse(str(folders[0]), 0.3)])) == []
    assert kept.nbytes == 2 * SIZE
    kept.clear()
    assert kept.nbytes == 0 and read_now(kept, folders[0]) == ["Reading a"]


def test_those_used_least_lately_go_where_there_is_no_room(
    tiny: LanguageModel, folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "ROOM", 2 * SIZE)
    kept, (a, b, c) = Shelf(tiny, "tiny"), folders
    read_now(kept, a, b)
    read_now(kept, a)
    assert read_now(kept, c) == ["Reading c"] and kept.nbytes == 2 * SIZE
    assert read_now(kept, a) == [] and read_now(kept, b) == ["Reading b"]
    monkeypatch.setattr(shelf, "ROOM", 0)
    assert read_now(kept, a, b, c) and kept.nbytes == SIZE


def test_one_that_does_not_fit_into_memory_is_refused_with_both_sizes(
    tiny: LanguageModel, folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lora.memory, "available", lambda device: 1000)
    with pytest.raises(OutOfMemory, match="a needs 0 MB, and 0 MB are free") as error:
        read_now(Shelf(tiny, "tiny"), folders[0])
    assert error.value.missing == SIZE - 1000
