"""Experts in one tensor of a GGUF file: taken apart by name, and no claim of too many is followed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter

from engine.errors import BadModelFiles
from engine.gguf import GGUF, MOST_TENSORS
from engine.loading.architectures import ARCHITECTURES
from engine.loading.gguf import MOST_EXPERTS, GGUFWeights


def weights_of(path: Path, tensors: dict[str, np.ndarray]) -> GGUFWeights:
    writer = GGUFWriter(path, "llama")
    for name, array in tensors.items():
        writer.add_tensor(name, array)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()
    return GGUFWeights(GGUF(path), ARCHITECTURES["llama"], {})


def stack(experts: int, rows: int = 1) -> np.ndarray:
    return np.arange(experts * rows, dtype=np.float32).reshape(experts, rows, 1)


def test_each_expert_has_the_name_and_the_numbers_that_it_has_in_older_files(tmp_path: Path) -> None:
    downs = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float16)
    weights = weights_of(
        tmp_path / "x.gguf", {"blk.7.ffn_down_exps.weight": downs, "blk.7.ffn_gate_inp.weight": downs[0]}
    )
    assert [(entry.shape, entry.precision, entry.nbytes) for entry in weights.entries.values()][:3] == 3 * [
        ((4, 5), "fp16", 40)
    ]
    assert (weights.parameters, weights.nbytes) == (4 * 20, 4 * 40)
    for expert, (entry, tensor) in enumerate(weights.read([f"blk.7.ffn_down.{n}.weight" for n in (2, 0, 1)])):
        assert entry.name == f"blk.7.ffn_down.{expert}.weight"
        np.testing.assert_array_equal(tensor.numpy(), downs[expert])


def test_what_is_no_stack_of_experts_keeps_its_name(tmp_path: Path) -> None:
    odd = {
        "blk.0.ffn_gate_exps.weight": stack(MOST_EXPERTS + 1),
        "blk.0.ffn_up_exps.weight": stack(2)[0],
        "blk.0.ffn_gate_up_exps.weight": stack(2, rows=3),
        "blk.0.attn_q_exps.weight": stack(2),
    }
    assert weights_of(tmp_path / "x.gguf", odd).entries.keys() == odd.keys()


def test_a_file_that_claims_more_experts_than_any_model_has_is_refused(tmp_path: Path) -> None:
    layers = MOST_TENSORS // MOST_EXPERTS
    stacks = {f"blk.{layer}.ffn_up_exps.weight": stack(MOST_EXPERTS) for layer in range(layers)}
    assert len(weights_of(tmp_path / "most.gguf", stacks).entries) == MOST_TENSORS
    with pytest.raises(BadModelFiles, match="more than 131072 tensors"):
        weights_of(tmp_path / "more.gguf", {**stacks, "token_embd.weight": stack(1)[0]})
