"""Which models could draft for another is told from cards and tokenizers, with the reason where one could not."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from checkpoints import write_tiny

from engine.lanes import Job
from engine.loading.catalog import FilesJobs, inspect
from engine.loading.drafters import alike, refusals
from engine.messages import Drafters, FindDrafters, ModelCard, Progress, Run
from engine.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def story(assets: Path) -> Path:
    return assets / "models" / "stories260K"


@pytest.fixture
def small(story: Path, tmp_path: Path) -> Path:
    """A smaller model of stories260K's tokenizer."""
    folder = write_tiny(tmp_path / "small", vocab_size=430, max_position_embeddings=64)
    shutil.copy(story / "tokenizer.json", folder)
    return folder


def ask(path: Path, *cards: ModelCard) -> dict[str, str]:
    job: Job = FilesJobs().start(FindDrafters(str(path), cards), Run())
    *going, event = list(job)
    assert isinstance(event, Drafters) and all(isinstance(each, Progress) for each in going)
    return dict(event.refusals)


def test_a_smaller_model_of_the_same_tokenizer_can_draft_and_others_are_told_why_not(
    story: Path, small: Path, assets: Path
) -> None:
    other = inspect(str(assets / "models" / "babyllama-361"))
    tiny_other = dataclasses.replace(other, parameters=1)
    encoder = dataclasses.replace(inspect(str(small)), path="/e", kind="encoder")
    broken = ModelCard("/b", "b", reason="It is damaged.")
    found = ask(story, inspect(str(story)), inspect(str(small)), tiny_other, encoder, broken)
    assert found == {
        str(story): "not smaller",
        str(small): "",
        other.path: "another tokenizer",
        "/e": "does not write on from a text",
    }


def test_a_model_whose_tokenizer_cannot_be_read_cannot_draft(story: Path, small: Path) -> None:
    card = inspect(str(small))
    (small / "tokenizer.json").write_text("{", "utf-8")
    assert ask(story, card) == {str(small): "another tokenizer"}


def test_the_comparing_is_done_in_a_process_of_its_own_and_once(
    story: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[list[str]] = []

    class Begun(subprocess.Popen[str]):
        def __init__(self, command: list[str], **more: Any) -> None:
            begun.append(command)
            super().__init__(command, **more)

    monkeypatch.setattr(subprocess, "Popen", Begun)
    own, card = inspect(str(story)), inspect(str(small))
    monkeypatch.chdir(small.parent)
    first = list(refusals(own, (dataclasses.replace(card, path="small"), own)))
    assert first == [(str(story), "not smaller"), ("small", "")]  # a path that is not whole is found there too
    assert [command[-2:] for command in begun] == [[str(story), str(small)]]
    assert list(refusals(own, (dataclasses.replace(card, path="small"), own))) == first
    assert len(begun) == 1


def test_one_of_two_tokenizers_may_have_more_ids_but_none_of_another_name(story: Path, assets: Path) -> None:
    own = Tokenizer.load(str(story))
    assert alike(own, own)
    assert not alike(own, Tokenizer.load(str(assets / "models" / "companion")))
