"""GPT-2's real weights at their smallest: a trained model that sorts six letters, beside its author's own numbers."""

from __future__ import annotations

import base64
import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import loaded

from engine.__main__ import main
from engine.decoding.cache import KVCache
from engine.models.gpt2 import Model

pytestmark = pytest.mark.parity

TOLERANCE = {"atol": 1e-5, "rtol": 0.0}


@pytest.fixture(scope="module")
def folder(references: Path) -> Path:
    return references / "models" / "gpt-nano-sort"


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    found = loaded(folder / "hf").model
    assert isinstance(found, Model)
    return found


@pytest.fixture(scope="module")
def stages(folder: Path) -> dict[str, torch.Tensor]:
    """The author's activations for a batch of three, by the name of the stage."""
    parts: dict[str, Any] = json.loads((folder / "original" / "gpt-nano-sort-t0-partials.json").read_text("utf-8"))
    return {
        name: torch.frombuffer(bytearray(base64.b64decode(part["data"])), dtype=torch.float32).view(part["shape"])
        for name, part in parts.items()
        if isinstance(part, dict) and "data" in part
    }


@torch.inference_mode()
def test_every_stage_is_the_authors(model: Model, stages: dict[str, torch.Tensor]) -> None:
    trunk, found, shown = model.transformer, {}, []
    first = trunk.h[0]
    places = {
        "tok_emb": trunk.wte, "ln1": first.ln_1, "qkv": first.attn.c_attn, "yProj": first.attn.c_proj,
        "ln2": first.ln_2, "fc": first.mlp.c_fc, "mlp": first.mlp.c_proj,
        "block0": trunk.h[0], "block1": trunk.h[1], "block2": trunk.h[2], "ln_f": trunk.ln_f,
    }  # fmt: skip
    for name, place in places.items():
        place.register_forward_hook(lambda module, inputs, output, name=name: found.__setitem__(name, output))

    class First:
        def layer(self, name: str) -> Any:
            return shown.append if name == "layers.0.self" else None

    try:
        found["lm_head"] = model(stages["idx"].long(), tap=First())
    finally:
        for place in places.values():
            place._forward_hooks.clear()
    found["attSm"] = shown[0]
    found["probs"] = found["lm_head"].softmax(-1)
    for name, ours in found.items():
        torch.testing.assert_close(ours, stages[name], **TOLERANCE, msg=lambda text, name=name: f"{name}: {text}")


@torch.inference_mode()
def test_all_inputs_are_sorted(model: Model) -> None:
    letters = torch.tensor(list(product(range(3), repeat=6)))
    cache, rest, answer = KVCache.for_model(model, batch=len(letters)), letters, []
    for _ in range(6):
        rest = model(rest, cache, last=True).argmax(-1)
        answer.append(rest)
    assert len(letters) == 729
    assert torch.equal(torch.cat(answer, 1), letters.sort(1).values)


def test_the_headless_door_sorts_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = json.loads((folder / "expected.json").read_text("utf-8"))
    command = ["generate", str(folder / "hf"), "--prompt", expected["prompt"], "--temperature", "0", "--json"]
    assert main(command) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["prompt_ids"] == [2, 1, 0, 1, 1, 2]
    # The sixth letter need not be read any more, so it stands beyond the eleven positions.
    assert (answer["text"], answer["finish"]) == (expected["greedy_next6"], "length")
