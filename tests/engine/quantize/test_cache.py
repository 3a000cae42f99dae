"""A model is quantised once: what is kept is found again, is the same, and is made anew where it is damaged."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from checkpoints import loaded, write_tiny

from engine.loading import placing
from engine.loading.loader import load
from engine.params import LoadParams
from engine.quantize import cache


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every matrix that is quantised."""
    calls: list[int] = []
    real = placing.quantised
    monkeypatch.setattr(placing, "quantised", lambda *given: calls.append(1) or real(*given))
    return calls


def logits(folder: Path, precision: str = "int4") -> torch.Tensor:
    with torch.inference_mode():
        result: torch.Tensor = loaded(folder, precision=precision).model(torch.arange(20)[None])
    return result


def files(home: Path) -> list[Path]:
    return sorted((home / "quantised").glob("*.safetensors"))


@pytest.mark.parametrize("precision", ["int4", "int8"])
def test_the_second_load_finds_what_the_first_made_and_is_equal(folder: Path, made: list[int], precision: str) -> None:
    first = logits(folder, precision)
    count = len(made)
    assert count > 10
    assert torch.equal(logits(folder, precision), first)
    assert len(made) == count


def test_4_and_8_bits_are_kept_side_by_side(folder: Path, home: Path, made: list[int]) -> None:
    logits(folder, "int4")
    logits(folder, "int8")
    count = len(made)
    assert len(files(home)) == 2
    logits(folder, "int4")
    assert len(made) == count


def test_a_model_that_was_moved_is_known_by_its_whole_hash(folder: Path, made: list[int]) -> None:
    first = logits(folder)
    count = len(made)
    moved = folder.rename(folder.parent / "elsewhere")
    os.utime(moved / "model.safetensors", (1, 1))
    assert torch.equal(logits(moved), first)
    assert len(made) == count


def test_a_model_whose_weights_changed_is_quantised_anew(folder: Path, made: list[int]) -> None:
    first = logits(folder)
    count = len(made)
    file = folder / "model.safetensors"
    raw = bytearray(file.read_bytes())
    raw[-64:] = bytes(64)
    file.write_bytes(raw)
    os.utime(file, (5, 5))
    assert not torch.equal(logits(folder), first)
    assert len(made) == 2 * count


@pytest.mark.parametrize("damage", ["cut", "header", "emptied", "bit"])
def test_what_is_damaged_is_made_anew(folder: Path, home: Path, made: list[int], damage: str) -> None:
    first = logits(folder)
    [file] = files(home)
    raw = bytearray(file.read_bytes())
    if damage == "cut":
        raw = raw[:-100]
    elif damage == "header":
        raw[20] ^= 255
    elif damage == "emptied":
        raw = bytearray()
    else:
        raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    count = len(made)
    assert torch.equal(logits(folder), first)
    assert len(made) > count
    logits(folder)
    count = len(made)
    assert torch.equal(logits(folder), first)
    assert len(made) == count


def test_loading_that_is_cancelled_keeps_nothing(folder: Path, home: Path) -> None:
    steps = load(str(folder), LoadParams(device="cpu", threads=1, precision="int4"))
    while True:
        phase, done, total = next(steps)
        if phase == placing.MAKING and done > total // 2:
            break
    steps.close()
    assert [file.suffix for file in (home / "quantised").iterdir()] == [".known"]


def test_a_folder_that_cannot_be_written_only_keeps_nothing(folder: Path, home: Path, made: list[int]) -> None:
    home.mkdir()
    (home / "quantised").write_text("a file stands where the folder would")
    first = logits(folder)
    count = len(made)
    assert torch.equal(logits(folder), first)
    assert len(made) == 2 * count


def test_without_a_folder_for_data_a_model_still_loads(folder: Path, tmp_path: Path, made: list[int]) -> None:
    (tmp_path / "home").write_text("a file stands where the folder would")
    first = logits(folder)
    assert torch.equal(logits(folder), first)
    assert len(made) > 20


def test_what_was_not_used_for_longest_goes_first(
    tmp_path: Path, home: Path, made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [write_tiny(tmp_path / name, vocab_size=size) for name, size in (("a", 101), ("b", 102), ("c", 103))]
    logits(models[0])
    logits(models[1])
    old, new = sorted(files(home), key=lambda file: file.stat().st_mtime)
    os.utime(old, (1, 1))
    os.utime(new, (2, 2))
    logits(models[0])  # now the other is the one not used for longest
    monkeypatch.setattr(cache, "MOST_BYTES", cache.count()[1] + 100)
    logits(models[2])
    assert old.exists()
    assert not new.exists()
    assert cache.count()[1] <= cache.MOST_BYTES


def test_cleared_it_is_empty_and_works_on(folder: Path, home: Path, made: list[int]) -> None:
    first = logits(folder)
    kept = cache.count()
    assert kept == (1, sum(file.stat().st_size for file in files(home)))
    assert kept[1] > 0
    assert cache.clear() == kept
    assert cache.count() == (0, 0)
    assert torch.equal(logits(folder), first)


def test_only_groups_are_kept_never_what_depends_on_the_processor(folder: Path, home: Path) -> None:
    from safetensors.torch import load_file

    logits(folder)
    kept = load_file(files(home)[0])
    ends = {name.rpartition(".")[2] for name in kept}
    assert ends == {"codes", "scale", "zero", "sums", "errors"}
    shutil.rmtree(home)
