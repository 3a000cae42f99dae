"""Which adapters lie in some folders, and whether a model can take them."""

from __future__ import annotations

from pathlib import Path

from checkpoints import loaded, write_tiny
from lora import BASE, write_adapter

from driver import Driver, all_of, one
from engine import Adapters, Failed, FindAdapters, Progress
from engine.adapters.catalog import adapters_in, card
from engine.adapters.files import WEIGHTS


def test_adapters_are_found_below_folders_and_beside_models_but_not_in_hidden_ones(tmp_path: Path) -> None:
    model = write_tiny(tmp_path / "models" / "tiny")
    tiny = loaded(model).model
    places = ["models/tiny/checkpoint-5", "models/tiny", "adapters/one", "adapters/.hidden", "far/a/b/c/d"]
    for place in places:
        write_adapter(tmp_path / place, tiny, "q_proj")
    (tmp_path / "adapters" / "link").symlink_to(tmp_path / "adapters" / "one")
    found = [str(Path(path).relative_to(tmp_path)) for path in adapters_in((str(tmp_path), str(tmp_path / "nowhere")))]
    assert found == ["adapters/link", "models/tiny", "models/tiny/checkpoint-5"]


def test_a_card_says_what_its_files_say(tmp_path: Path) -> None:
    tiny = loaded(write_tiny(tmp_path / "tiny")).model
    folder = write_adapter(
        tmp_path / "pirate", tiny, "q_proj", "lm_head", rank_pattern={"lm_head": 9}, ranks={"lm_head": 9}
    )
    found = card(str(folder))
    assert (found.name, found.base, found.rank, found.alpha) == ("pirate", BASE, 9, 8.0)
    assert found.modules == ("lm_head", "q_proj") and not found.reason
    assert found.parameters == 3 * 4 * (24 + 30) + 9 * (24 + 101)
    assert found.bytes_on_disk == (folder / WEIGHTS).stat().st_size


def test_the_engine_lists_adapters_with_the_reason_why_a_model_cannot_take_one(tmp_path: Path) -> None:
    narrow, wide = write_tiny(tmp_path / "narrow"), write_tiny(tmp_path / "wide", hidden_size=32)
    write_adapter(tmp_path / "adapters" / "narrow", loaded(narrow).model, "q_proj")
    write_adapter(tmp_path / "adapters" / "wide", loaded(wide).model, "q_proj")
    broken = write_adapter(tmp_path / "adapters" / "broken", loaded(wide).model, "q_proj") / WEIGHTS
    broken.write_bytes(b"nothing")
    driver = Driver(tmp_path / "home")
    folders = (str(tmp_path / "adapters"),)
    events = driver.run(FindAdapters(folders, str(narrow)))
    fits = {found.name: found.reason for found in one(events, Adapters).cards}
    assert fits["narrow"] == "" and "30 × 32, but narrow's is 30 × 24" in fits["wide"]
    assert "damaged" in fits["broken"]
    assert len(all_of(events, Progress)) <= 3
    anywhere = one(driver.run(FindAdapters(folders)), Adapters).cards
    assert [(found.name, bool(found.reason)) for found in anywhere] == [
        ("broken", True),
        ("narrow", False),
        ("wide", False),
    ]
    assert one(driver.run(FindAdapters(folders, str(tmp_path / "nothing"))), Failed).hint
    assert driver.engine.stop()
