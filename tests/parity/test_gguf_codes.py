"""GGUF files whose codes stay what they are: their packed matrices beside gguf's own dequantisation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import loaded
from ggufs import write_gguf

from engine.loading import LoadedModel

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

SIZES: dict[str, Any] = {
    "hidden_size": 96, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 6, "vocab_size": 131,
    "max_position_embeddings": 64, "initializer_range": 0.2,
}  # fmt: skip
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {  # queries and keys turned, fused and grouped rows, transposed
    "llama": ("llama", {"num_key_value_heads": 2}),
    "gpt2": ("gpt2", {"n_inner": 64}),
    "gpt_neox": ("gpt_neox", {}),
    "bloom": ("bloom", {}),
    "falcon": ("falcon", {"num_kv_heads": 2, "new_decoder_architecture": True, "ffn_hidden_size": 64}),
}
EXACT = ("Q4_0", "Q8_0")
BITS = {"Q4_0": 4, "Q4_1": 4, "Q8_0": 8, "Q5_0": 8, "Q5_1": 8}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def matrices(model: LoadedModel) -> dict[str, Any]:
    return {name: module for name, module in model.model.named_modules() if hasattr(module, "packed")}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", BITS)
def test_packed_matrices_are_those_of_the_file(tmp_path: Path, home: Path, family: str, kind: str) -> None:
    model_type, changes = FAMILIES[family]
    config = transformers.AutoConfig.for_model(model_type, **{**SIZES, **changes})
    torch.manual_seed(0)
    theirs = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        path = write_gguf(tmp_path / "tiny.gguf", theirs, kind)  # the model now has the file's numbers
    ours = loaded(path)
    found = matrices(ours)
    assert len(found) > 8
    # Scale and zero in 16 bits are off by 2^-11 each; 5 bits rounded to 8 by half a step of 1/127 of a group's largest.
    bound = 0.0 if kind in EXACT else 2**-7
    for name, module in found.items():
        expected = theirs.get_parameter(f"{name}.weight".replace("embed_out", "lm_head"))
        expected = expected.T if model_type == "gpt2" and ".h." in name else expected
        assert module.packed.bits == BITS[kind]
        assert (module.weight - expected).abs().amax() <= bound * expected.abs().amax()
    assert ours.precision == ("int4" if BITS[kind] == 4 else "int8")
    assert not home.exists() or not list(home.rglob("*.safetensors"))  # what takes no search is not kept


def test_8_bits_in_a_file_can_be_held_in_4(tmp_path: Path) -> None:
    config = transformers.AutoConfig.for_model("llama", **SIZES)
    torch.manual_seed(0)
    theirs = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        path = write_gguf(tmp_path / "tiny.gguf", theirs, "Q8_0")
    found = matrices(loaded(path, precision="int4"))
    assert {module.packed.bits for name, module in found.items() if "layers" in name} == {4}
    assert loaded(path, precision="fp32").precision == "fp32"


def test_a_file_with_a_broken_scale_stays_readable(tmp_path: Path) -> None:
    config = transformers.AutoConfig.for_model("llama", **SIZES)
    torch.manual_seed(0)
    theirs = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        path = write_gguf(tmp_path / "tiny.gguf", theirs, "Q4_0")
    from engine.gguf import GGUF

    info = GGUF(path).tensors["blk.0.ffn_up.weight"]
    raw = bytearray(path.read_bytes())
    raw[info.offset : info.offset + 2] = np.array([np.inf], np.float16).tobytes()
    path.write_bytes(raw)
    found = matrices(loaded(path))
    assert "model.layers.0.mlp.up_proj" not in found
    assert "model.layers.1.mlp.up_proj" in found
