"""Adapters whose files are spoilt at random: each is taken or refused in one sentence, and nothing else happens."""

from __future__ import annotations

import random
from pathlib import Path

import fuzz_readers
import pytest
import torch
from checkpoints import loaded, write_tiny
from lora import adapted, write_adapter

from engine.adapters.files import WEIGHTS
from engine.adapters.settings import CONFIG
from engine.errors import EngineError

IDS = torch.tensor([[5, 9, 100]])


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
@torch.inference_mode()
def test_spoiled_adapters_are_taken_or_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    tiny = loaded(write_tiny(tmp_path / "tiny")).model
    settings = {"rank_pattern": {"o_proj": 4}, "alpha_pattern": {"layers.1.self_attn.q_proj": 3}, "use_rslora": True}
    folder = write_adapter(tmp_path / "adapter", tiny, "q_proj", "o_proj", **settings)
    whole, refused = (folder / name).read_bytes(), 0
    end = len(whole) if name == CONFIG else 8 + int.from_bytes(whole[:8], "little")
    plain = tiny(IDS)
    for seed in range(150):
        source, data = random.Random(seed), bytearray(whole)
        for _ in range(source.randrange(1, 4)):
            if data:
                source.choice(fuzz_readers.MUTATIONS)(source, data, min(end, len(data)))
        (folder / name).write_bytes(data)
        try:
            with adapted(tiny, (folder, 1.0)).in_place():
                tiny(IDS)
        except EngineError as error:
            assert error.message.count("\n") == 0 and len(error.message) < 400
            refused += 1
    assert torch.equal(tiny(IDS), plain)
    assert refused > 50
