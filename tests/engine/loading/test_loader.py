from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import loaded, tiny_config, tiny_weights, write_tiny
from safetensors.torch import save_file

from engine.errors import BadModelFiles, Cancelled, EngineError, UnsupportedModel
from engine.loading import load, loader
from engine.loading.catalog import inspect
from engine.params import LoadParams

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
IDS = torch.arange(3, 13)[None]


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    """Write the weights again after a change to them."""
    weights = tiny_weights(tiny_config())
    change(weights)
    save_file(weights, folder / WEIGHTS)


def write_index(folder: Path, content: object) -> None:
    (folder / INDEX).write_text(json.dumps(content), "utf-8")


# --- what goes right ------------------------------------------------------------------------------------------------


def test_shards_hold_the_same_model_as_one_file(tmp_path: Path) -> None:
    one, three = loaded(write_tiny(tmp_path / "one")), loaded(write_tiny(tmp_path / "three", shards=3))
    assert torch.equal(one.model(IDS), three.model(IDS))
    assert one.parameters == three.parameters == sum(w.numel() for w in tiny_weights(tiny_config()).values())
    assert (one.name, one.family, one.kind, one.device) == ("one", "llama", "decoder", "cpu")


def test_progress_counts_the_bytes_on_disk_and_ends_with_all_of_them(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "tiny", shards=2)
    steps = [step for step in load(str(folder), LoadParams(device="cpu", threads=1)) if step[0] == "Loading weights"]
    total = sum(weight.nbytes for weight in tiny_weights(tiny_config()).values())
    done = [step[1] for step in steps]
    assert done == sorted(set(done)) and (done[0], done[-1]) == (0, total)
    assert len(steps) == 1 + len(tiny_weights(tiny_config())) and {step[2] for step in steps} == {total}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_precision_auto_is_the_files_own_and_any_other_can_be_asked_for(tmp_path: Path, dtype: torch.dtype) -> None:
    words = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
    folder = write_tiny(tmp_path / "tiny", dtype=dtype)
    whole = loaded(folder)
    assert whole.precision == words[dtype]
    assert {weight.dtype for weight in whole.model.parameters()} == {dtype}
    assert whole.bytes_in_memory == whole.parameters * dtype.itemsize
    wide = loaded(folder, precision="fp32")
    assert {weight.dtype for weight in wide.model.parameters()} == {torch.float32}
    torch.testing.assert_close(whole.model(IDS), wide.model(IDS), atol=0.5, rtol=0.1)


def test_a_tied_head_is_one_matrix_even_where_the_file_holds_it_twice(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "tiny", tie_word_embeddings=True)
    before = loaded(folder)
    assert before.parameters == loaded(write_tiny(tmp_path / "untied")).parameters - 101 * 24
    weights = tiny_weights(tiny_config(tie_word_embeddings=True))
    weights["lm_head.weight"] = torch.zeros(101, 24)
    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(5)
    save_file(weights, folder / WEIGHTS)
    assert torch.equal(loaded(folder).model(IDS), before.model(IDS))


def test_a_loaded_model_does_not_need_its_files_any_more(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "tiny")
    whole = loaded(folder)
    before = whole.model(IDS)
    (folder / WEIGHTS).write_bytes(b"\0" * (folder / WEIGHTS).stat().st_size)
    assert torch.equal(whole.model(IDS), before)


@pytest.mark.parametrize(
    ("config", "generation", "expected"),
    [
        (7, None, (7,)),
        ([7, 8], {"eos_token_id": 9}, (7, 8, 9)),
        (7, {"eos_token_id": [7, 5]}, (7, 5)),
        (None, {"eos_token_id": None}, ()),
    ],
)
def test_ids_that_end_an_answer_come_from_both_configs(
    tmp_path: Path, config: object, generation: dict[str, Any] | None, expected: tuple[int, ...]
) -> None:
    folder = write_tiny(tmp_path / "tiny", eos_token_id=config)
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation), "utf-8")
    whole = loaded(folder)
    assert whole.eos_ids == expected
    assert whole.generation == (generation or {})


def test_threads_are_what_was_asked_for_or_else_measured(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "tiny")
    assert loaded(folder, threads=2).threads == torch.get_num_threads() == 2
    measured = loaded(folder, threads=0).threads
    assert 1 <= measured <= loader.threads.usable() and torch.get_num_threads() == measured
    torch.set_num_threads(1)


# --- what goes wrong ------------------------------------------------------------------------------------------------


def refused(folder: Path, kind: type[EngineError], *words: str, **params: Any) -> None:
    with pytest.raises(EngineError) as caught:
        loaded(folder, **params)
    assert type(caught.value) is kind, caught.value
    assert caught.value.hint
    for word in words:
        assert word in caught.value.message


def test_what_is_no_model_folder_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", BadModelFiles, "nowhere")
    (tmp_path / "file.txt").write_text("x")
    refused(tmp_path / "file.txt", BadModelFiles, "file.txt", "not a model folder")
    (tmp_path / "holiday").mkdir()
    refused(tmp_path / "holiday", BadModelFiles, "holiday", "config.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_a_broken_config_is_named(tmp_path: Path, content: bytes) -> None:
    folder = write_tiny(tmp_path / "tiny")
    (folder / "config.json").write_bytes(content)
    refused(folder, BadModelFiles, "tiny/config.json")


def test_an_unsupported_family_and_an_unknown_rotary_kind_are_named(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "tiny")
    for changes, kind, word in (
        ({"model_type": "mammoth"}, UnsupportedModel, "'mammoth'"),
        ({"rope_scaling": {"type": "spiral", "factor": 4.0}}, UnsupportedModel, "spiral"),
        ({"model_type": None}, BadModelFiles, "model_type"),
        ({"hidden_size": 2**40}, BadModelFiles, "hidden_size"),
        ({"hidden_size": 2**20, "num_attention_heads": 2**20, "head_dim": 2**20}, BadModelFiles, "asks for"),
    ):
        (folder / "config.json").write_text(json.dumps(tiny_config(**changes)), "utf-8")
        refused(folder, kind, word)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "model.pt"])
def test_a_pickle_is_never_opened(tmp_path: Path, name: str) -> None:
    folder = write_tiny(tmp_path / "tiny")
    (folder / WEIGHTS).unlink()
    (folder / name).write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    refused(folder, BadModelFiles, name, "pickle")


def test_missing_weights_are_named(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "tiny")
    (folder / WEIGHTS).unlink()
    refused(folder, BadModelFiles, "tiny", WEIGHTS)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_weights_are_named(tmp_path: Path, share: float) -> None:
    folder = write_tiny(tmp_path / "tiny")
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: int(len(content) * share)])
    refused(folder, BadModelFiles, f"tiny/{WEIGHTS}", "not downloaded completely")


@pytest.mark.parametrize("length", [2**63, 2**40, 200_000_000])
def test_a_header_that_claims_to_be_huge_is_refused_at_once(tmp_path: Path, length: int) -> None:
    folder = write_tiny(tmp_path / "tiny")
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", length) + b"{}" * 100)
    refused(folder, BadModelFiles, f"tiny/{WEIGHTS}")


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "tiny", shards=3)
    (folder / "model-00002-of-00003.safetensors").unlink()
    refused(folder, BadModelFiles, "tiny", "model-00002-of-00003.safetensors")


@pytest.mark.parametrize("name", ["../one/model.safetensors", "/etc/model.safetensors", "..\\m.safetensors", "a.bin"])
def test_an_index_cannot_name_a_file_elsewhere(tmp_path: Path, name: str) -> None:
    folder = write_tiny(tmp_path / "tiny")
    write_index(folder, {"weight_map": {"lm_head.weight": name}})
    refused(folder, BadModelFiles, INDEX)


@pytest.mark.parametrize("content", [{}, {"weight_map": []}, {"weight_map": {}}])
def test_an_index_that_names_no_files_is_refused(tmp_path: Path, content: object) -> None:
    folder = write_tiny(tmp_path / "tiny")
    write_index(folder, content)
    refused(folder, BadModelFiles, INDEX)


def test_a_tensor_in_two_shards_is_named(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "tiny")
    save_file({"model.norm.weight": torch.ones(24)}, folder / "other.safetensors")
    write_index(folder, {"weight_map": {"a": WEIGHTS, "b": "other.safetensors"}})
    refused(folder, BadModelFiles, "model.norm.weight", "twice")


def test_missing_and_unexpected_tensors_are_named(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "tiny")
    rewrite(folder, lambda weights: weights.pop("model.layers.1.mlp.up_proj.weight"))
    refused(folder, BadModelFiles, "tiny", "lack model.layers.1.mlp.up_proj.weight")
    rewrite(folder, lambda weights: weights.update({"model.layers.9.strange": torch.ones(1)}))
    refused(folder, BadModelFiles, "tiny", "hold model.layers.9.strange")
    rewrite(folder, lambda weights: [weights.pop(name) for name in list(weights) if "layers.2" in name])
    refused(folder, BadModelFiles, "and 6 more")


def test_a_wrong_shape_is_named_with_both(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "tiny")
    rewrite(folder, lambda weights: weights.update({"model.layers.0.mlp.up_proj.weight": torch.ones(36, 24)}))
    refused(folder, BadModelFiles, "model.layers.0.mlp.up_proj.weight", "36 × 24", "37 × 24")


@pytest.mark.parametrize(("dtype", "name"), [(torch.int8, "I8"), (torch.uint8, "U8"), (torch.int64, "I64")])
def test_a_number_format_that_is_not_read_is_named(tmp_path: Path, dtype: torch.dtype, name: str) -> None:
    folder = write_tiny(tmp_path / "tiny")
    rewrite(folder, lambda weights: weights.update({"model.norm.weight": torch.ones(24, dtype=dtype)}))
    refused(folder, UnsupportedModel, "model.norm.weight", name)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64])
def test_a_mask_that_an_older_file_holds_is_passed_over(tmp_path: Path, dtype: torch.dtype) -> None:
    folder = write_tiny(tmp_path / "tiny")
    plain = loaded(folder)
    rewrite(folder, lambda weights: weights.update({"model.rotary_emb.inv_freq": torch.ones(9, dtype=dtype)}))
    assert loaded(folder).parameters == plain.parameters
    assert inspect(str(folder)).parameters == plain.parameters


def test_a_gpu_that_is_not_there_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(write_tiny(tmp_path / "tiny"), EngineError, "GPU", device="cuda")


@pytest.mark.parametrize("turns", [1, 2, 10])
def test_a_load_is_cancelled_at_its_next_tensor(tmp_path: Path, turns: int) -> None:
    cancelled = False
    steps = load(str(write_tiny(tmp_path / "tiny")), LoadParams(device="cpu", threads=1), lambda: cancelled)
    for _ in range(turns):
        next(steps)
    cancelled = True
    with pytest.raises(Cancelled):
        next(steps)
    with pytest.raises(StopIteration):
        next(steps)


def test_a_load_is_cancelled_while_threads_are_tried(tmp_path: Path) -> None:
    phases: list[str] = []
    steps = load(str(write_tiny(tmp_path / "tiny")), LoadParams(device="cpu"), lambda: "Choosing threads" in phases)
    with pytest.raises(Cancelled):
        phases.extend(phase for phase, _, _ in steps)
    torch.set_num_threads(1)
