from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from checkpoints import tiny_config, write_tiny

from engine.errors import BadModelFiles
from engine.loading import catalog
from engine.loading.catalog import FilesJobs, inspect, scan
from engine.messages import Cards, Inspect, Progress, Run, Scan


def whole(folder: Path, **changes: object) -> Path:
    """A tiny model with a tokenizer.json that says its kind."""
    write_tiny(folder, **changes)
    (folder / "tokenizer.json").write_text('{"version": "1.0", "model": {\n "type": "BPE", "vocab": {}}}', "utf-8")
    return folder


def test_the_catalog_is_imported_without_torch_and_the_gguf_library() -> None:
    code = "import engine.loading.catalog, sys; print('torch' in sys.modules or 'gguf' in sys.modules)"
    root = Path(catalog.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True).stdout == "False\n"


def test_the_bundled_models_have_full_cards(assets: Path) -> None:
    cards = {card.name: card for card in scan((str(assets / "models"),))}
    assert set(cards) == {"companion", "babyllama-361", "stories260K"}
    assert all(card.supported and card.bundled and card.note and not card.reason for card in cards.values())
    companion = cards["companion"]
    assert (companion.parameters, companion.precision, companion.context) == (7_344_384, "bf16", 1024)
    assert (companion.family, companion.kind, companion.tokenizer) == ("llama", "decoder", "BPE")
    assert companion.bytes_on_disk == 2 * companion.parameters
    assert companion.note.startswith("A very small chat model") and "\n" not in companion.note
    assert {name for name, card in cards.items() if card.chat_template} == {"companion"}


def test_a_folder_called_after_its_format_has_the_name_of_the_one_it_lies_in(tmp_path: Path) -> None:
    assert inspect(str(whole(tmp_path / "story-model" / "hf"))).name == "story-model"
    assert inspect(str(whole(tmp_path / "story-model" / "hf-2"))).name == "hf-2"


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\0" * 9), "damaged"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "mammoth"}'), "mammoth"),
        (lambda folder: (folder / "config.json").write_text(json.dumps(tiny_config(hidden_act="x"))), "hidden_act"),
    ],
)
def test_a_model_that_cannot_be_run_has_a_card_that_says_why(tmp_path: Path, spoil: object, word: str) -> None:
    folder = whole(tmp_path / "tiny")
    assert inspect(str(folder)).supported
    assert callable(spoil)
    spoil(folder)
    card = inspect(str(folder))
    assert not card.supported and word in card.reason and card.hint


def test_shards_are_counted_together(tmp_path: Path) -> None:
    one, two = inspect(str(write_tiny(tmp_path / "one"))), inspect(str(write_tiny(tmp_path / "two", shards=2)))
    assert (one.parameters, one.bytes_on_disk) == (two.parameters, two.bytes_on_disk)
    assert one.bytes_on_disk == 4 * one.parameters and not one.bundled


def test_a_folder_is_named_by_its_source_or_itself_or_the_cache_it_lies_in(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "tiny")
    assert (inspect(str(folder)).name, inspect(str(folder)).note) == ("tiny", "")
    (folder / "SOURCE.md").write_text("# Tiny Tim\n\n- a list\n\nOne\nparagraph.\n\nAnother.\n", "utf-8")
    assert (inspect(str(folder)).name, inspect(str(folder)).note) == ("Tiny Tim", "One paragraph.")
    cached = write_tiny(tmp_path / "hub" / "models--someone--small-llama" / "snapshots" / "0123abcd")
    assert [card.name for card in scan((str(tmp_path / "hub"),))] == ["small-llama"]
    assert inspect(str(cached)).name == "small-llama"


def test_a_scan_takes_a_model_itself_or_the_folders_below_in_order(tmp_path: Path) -> None:
    for name in ("b", "a", "deep/er/c", "deep/er/still/further/d", ".hidden/e", "a/inside"):
        write_tiny(tmp_path / name)
    (tmp_path / "notes").mkdir()
    assert [Path(card.path).name for card in scan((str(tmp_path),))] == ["a", "b", "c"]
    assert [Path(card.path).name for card in scan((str(tmp_path / "b"), str(tmp_path / "b")))] == ["b"]
    assert list(scan((str(tmp_path / "nowhere"), str(tmp_path / "notes")))) == []


def test_a_broken_config_gets_a_card_in_a_scan_and_hides_no_other(tmp_path: Path) -> None:
    (write_tiny(tmp_path / "bad") / "config.json").write_text("{", "utf-8")
    whole(tmp_path / "good")
    bad, good = scan((str(tmp_path),))
    assert (bad.name, bad.supported, good.supported) == ("bad", False, True)
    assert "bad/config.json" in bad.reason


@pytest.mark.skipif(not hasattr(os, "symlink") or sys.platform == "win32", reason="links need rights on Windows")
def test_links_are_followed_once_and_a_circle_ends(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "models" / "tiny")
    (tmp_path / "models" / "again").symlink_to(folder)
    (tmp_path / "models" / "round").symlink_to(tmp_path / "models")
    assert [card.name for card in scan((str(tmp_path / "models"),))] == ["again"]


def test_a_scan_of_too_many_folders_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(9):
        (tmp_path / str(number)).mkdir()
    write_tiny(tmp_path / "z")
    assert len(list(scan((str(tmp_path),)))) == 1
    monkeypatch.setattr(catalog, "MOST_FOLDERS", 5)
    assert list(scan((str(tmp_path),))) == []


def test_the_jobs_answer_scan_and_inspect(tmp_path: Path) -> None:
    folder, run, jobs = whole(tmp_path / "tiny"), Run(), FilesJobs()
    *progress, cards = jobs.start(Scan((str(tmp_path),)), run)
    assert progress == [Progress(run.id, "Looking for models", 1, 0)]
    assert cards == Cards(run.id, (inspect(str(folder)),))
    assert list(jobs.start(Inspect(str(folder)), run)) == [cards]
    with pytest.raises(BadModelFiles, match="has no config"):
        list(jobs.start(Inspect(str(tmp_path)), run))


def test_each_gguf_file_of_a_folder_has_a_card(references: Path, tmp_path: Path) -> None:
    real = references / "models" / "stories260K" / "gguf"
    cards = {card.name: card for card in scan((str(real),))}
    assert set(cards) == {"stories260K-f16", "stories260K-f32"}
    whole = cards["stories260K-f16"]
    assert (whole.supported, whole.family, whole.kind, whole.tokenizer) == (True, "llama", "decoder", "BPE")
    assert (whole.context, whole.precision, whole.chat_template) == (512, "fp16", False)
    assert whole.path == str(real / "stories260K-f16.gguf") and inspect(whole.path) == whole
    (tmp_path / "bad.gguf").write_bytes(b"GGUF")
    (bad,) = scan((str(tmp_path),))
    assert not bad.supported and bad.name == "bad.gguf" and "bad.gguf" in bad.reason


def test_a_vocabulary_alone_can_be_inspected_whatever_its_architecture(references: Path) -> None:
    place = references / "tokenizers" / "llamacpp-vocab-gguf"
    cards = {card.family: card for card in scan((str(place),))}
    assert set(cards) == {"bert", "gpt2", "llama"} and not any(card.supported for card in cards.values())
    assert (cards["bert"].tokenizer, cards["gpt2"].tokenizer) == ("WordPiece", "BPE")
    assert "only a vocabulary" in cards["gpt2"].reason


def test_a_folder_with_one_gguf_file_stands_for_it(references: Path) -> None:
    folder = references / "models" / "babyllama-361" / "gguf"
    assert inspect(str(folder)).path == str(folder / "babyllama-361-q8_0.gguf")
    assert inspect(str(folder)).precision == "Q8_0"
