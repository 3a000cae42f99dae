"""A GGUF model in several parts: any of them opens the whole, and what is missing or mixed up is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from checkpoints import loaded
from ggufs import split

from engine.errors import BadModelFiles
from engine.gguf import GGUF
from engine.gguf_parts import first, parts, title, wholes
from engine.loading.catalog import inspect, scan
from engine.text.tokenizer import Tokenizer


@pytest.fixture
def real(references: Path) -> Path:
    return references / "models" / "stories260K" / "gguf" / "stories260K-f32.gguf"


def test_any_part_opens_the_whole_model(real: Path, tmp_path: Path) -> None:
    files = split(real, tmp_path, 20)
    assert [file.name for file in files] == [f"story-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    whole, expected = loaded(real), Tokenizer.load(str(real)).encode("Once upon a time")
    card = inspect(str(files[0]))
    assert card.supported and (card.name, card.path) == ("story", str(files[0]))
    assert (card.parameters, card.bytes_on_disk) == (inspect(str(real)).parameters, inspect(str(real)).bytes_on_disk)
    for file in files:
        assert inspect(str(file)) == card
        assert Tokenizer.load(str(file)).encode("Once upon a time") == expected
        model = loaded(file).model
        for name, weight in whole.model.named_parameters():
            assert torch.equal(weight, model.get_parameter(name)), name


def test_the_parts_of_a_model_have_one_card_and_so_does_their_folder(real: Path, tmp_path: Path) -> None:
    files = split(real, tmp_path, 20)
    (card,) = scan((str(tmp_path),))
    assert card.path == str(files[0]) and inspect(str(tmp_path)) == card
    assert len(list(scan((str(files[2]), str(files[1]))))) == 1
    assert Tokenizer.load(str(tmp_path)).encode("Once") == Tokenizer.load(str(real)).encode("Once")
    shutil.copy(real, tmp_path)
    assert {card.name for card in scan((str(tmp_path),))} == {"story", "stories260K-f32"}


def test_a_part_that_is_missing_is_named_whichever_is_opened(real: Path, tmp_path: Path) -> None:
    files = split(real, tmp_path, 10)
    assert len(files) == 5
    files[0].unlink()
    files[3].unlink()
    for file in (files[1], files[4]):
        with pytest.raises(BadModelFiles, match=r"story-00001-of-00005.gguf, story-00004-of-00005.gguf are missing"):
            GGUF(file)
    (card,) = scan((str(tmp_path),))
    assert not card.supported and "are missing" in card.reason and card.name == "story-00002-of-00005.gguf"


def test_parts_that_were_renamed_or_mixed_up_are_refused(real: Path, tmp_path: Path) -> None:
    files = split(real, tmp_path, 20)
    alone = shutil.copy(files[0], tmp_path / "model.gguf")
    with pytest.raises(BadModelFiles, match="its name does not say which"):
        GGUF(Path(alone))
    second = files[1].read_bytes()
    shutil.copy(files[2], files[1])
    with pytest.raises(BadModelFiles, match=r"story-00002-of-00003\.gguf is damaged.*not the part"):
        GGUF(files[0])
    shutil.copy(real, files[1])
    with pytest.raises(BadModelFiles, match=r"story-00002-of-00003\.gguf is damaged.*not the part"):
        GGUF(files[2])
    files[1].write_bytes(second[:-1])
    with pytest.raises(BadModelFiles, match=r"^story-00002-of-00003\.gguf is damaged"):
        GGUF(files[0])


def test_a_part_of_another_model_with_tensors_of_the_same_names_is_refused(real: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    split(real, tmp_path / "a", 20)
    for file in split(real, tmp_path / "b", 17):
        if "00002" in file.name:
            shutil.copy(file, tmp_path / "a")
    with pytest.raises(BadModelFiles, match="do not hold"):
        GGUF(tmp_path / "a" / "story-00003-of-00003.gguf")


def test_names_tell_parts(tmp_path: Path) -> None:
    assert [path.name for path in parts(Path("a/m-00002-of-00002.gguf"))] == [
        "m-00001-of-00002.gguf",
        "m-00002-of-00002.gguf",
    ]
    for name in ("m.gguf", "m-00003-of-00002.gguf", "m-00000-of-00002.gguf", "m-1-of-2.gguf", "-00001-of-00002.gguf"):
        assert parts(tmp_path / name) == [tmp_path / name] and first(tmp_path / name) == tmp_path / name
    assert (title(Path("m-00002-of-00002.gguf")), title(Path("m.gguf"))) == ("m", "m")
    named = [
        Path(name) for name in ("b-00003-of-00003.gguf", "b-00002-of-00003.gguf", "a.gguf", "b-00002-of-00002.gguf")
    ]
    assert [path.name for path in wholes(named)] == ["a.gguf", "b-00002-of-00002.gguf", "b-00002-of-00003.gguf"]
