"""Adapters that cannot be used: each is refused in one sentence that names what is wrong, and with a hint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import loaded, write_tiny
from lora import BASE, adapted, write_adapter, write_files
from safetensors.torch import load_file

from engine.adapters.files import WEIGHTS, adapter_files
from engine.adapters.settings import CONFIG
from engine.errors import BadModelFiles, EngineError, InvalidValue, UnsupportedModel
from engine.models.base import LanguageModel
from engine.params import AdapterUse


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return loaded(write_tiny(tmp_path_factory.mktemp("base") / "tiny")).model


@pytest.fixture
def folder(tiny: LanguageModel, tmp_path: Path) -> Path:
    return write_adapter(tmp_path / "pirate", tiny, "q_proj", "v_proj")


def refused(model: LanguageModel, folder: Path, kind: type[EngineError] = BadModelFiles) -> str:
    with pytest.raises(kind) as error:
        adapted(model, (folder, 1.0))
    assert error.value.hint and error.value.message.endswith(".")
    return error.value.message


def changed(folder: Path, **settings: Any) -> Path:
    """The adapter with other settings; None takes a key away."""
    file = folder / CONFIG
    config = json.loads(file.read_text("utf-8")) | settings
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not None}), "utf-8")
    return folder


def rewritten(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    """The adapter with other tensors."""
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    return write_files(folder, json.loads((folder / CONFIG).read_text("utf-8")), tensors)


NAME = "base_model.model.model.layers.1.self_attn.q_proj.lora_{}.weight"


def test_a_weight_beyond_the_range_is_refused(folder: Path) -> None:
    for weight in (-0.1, 2.1, float("nan"), float("inf")):
        with pytest.raises(InvalidValue, match="weight"):
            AdapterUse(str(folder), weight)


def test_what_is_not_there_or_no_adapter(tiny: LanguageModel, tmp_path: Path, assets: Path) -> None:
    assert "nothing at" in refused(tiny, tmp_path / "missing")
    assert f"has no {CONFIG}" in refused(tiny, assets / "models" / "companion")


def test_a_pickle_alone_is_never_opened(tiny: LanguageModel, folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")
    assert "adapter_model.bin, a pickle" in refused(tiny, folder)
    (folder / "adapter_model.bin").unlink()
    assert f"has no {WEIGHTS}" in refused(tiny, folder)


@pytest.mark.parametrize("kept", [0, 7, 200, -1])
def test_weights_that_are_cut_off(tiny: LanguageModel, folder: Path, kept: int) -> None:
    file = folder / WEIGHTS
    file.write_bytes(file.read_bytes()[:kept])
    assert "damaged" in refused(tiny, folder)


@pytest.mark.parametrize("text", ["", "[]", "{", "nonsense", "{" * 100_000])
def test_settings_that_are_no_object(tiny: LanguageModel, folder: Path, text: str) -> None:
    (folder / CONFIG).write_text(text, "utf-8")
    assert CONFIG in refused(tiny, folder)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"peft_type": None}, "peft_type"),
        ({"peft_type": 3}, "peft_type"),
        ({"r": 0}, "sets r to 0"),
        ({"r": "8"}, "sets r to '8'"),
        ({"lora_alpha": "big"}, "lora_alpha"),
        ({"lora_alpha": float("inf")}, "lora_alpha"),
        ({"lora_alpha": 10**400}, "lora_alpha"),
        ({"use_rslora": 1}, "use_rslora"),
        ({"target_modules": None}, "does not say target_modules"),
        ({"target_modules": True}, "target_modules"),
        ({"target_modules": [1]}, "target_modules"),
        ({"exclude_modules": {"a": 1}}, "exclude_modules"),
        ({"rank_pattern": []}, "rank_pattern"),
        ({"rank_pattern": {"q_proj": "4"}}, "q_proj"),
        ({"alpha_pattern": {"q_proj": None}}, "q_proj"),
        ({"alpha_pattern": {"(": 2}}, "no regular expression"),
        ({"target_modules": "*"}, "no regular expression"),
        ({"target_modules": r"(\w+\.?)+!"}, "too long"),
        ({"layers_to_transform": ["1"]}, "layers_to_transform"),
        ({"r": 5}, "gives model.layers.0.self_attn.q_proj the rank 5, but its matrices have the rank 4"),
        ({"rank_pattern": {"layers.2.self_attn.v_proj": 2}}, "gives model.layers.2.self_attn.v_proj the rank 2"),
        ({"target_modules": ["q_proj"]}, "which its settings do not target"),
        ({"target_modules": ["q_proj", "v_proj", "o_proj"]}, "targets tiny's model.layers.0.self_attn.o_proj"),
    ],
    ids=str,
)
def test_settings_that_are_wrong_are_named(
    tiny: LanguageModel, folder: Path, settings: dict[str, Any], named: str
) -> None:
    file = folder / CONFIG
    config = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**config, **settings}), "utf-8")
    assert named in refused(tiny, folder)


@pytest.mark.parametrize(
    "settings",
    [
        {"peft_type": "IA3"},
        {"peft_type": "LOHA"},
        {"bias": "all"},
        {"bias": "lora_only"},
        {"use_dora": True},
        {"modules_to_save": ["classifier"]},
        {"trainable_token_indices": [5]},
        {"target_parameters": ["mlp.experts.gate_up_proj"]},
        {"layer_replication": [[0, 2], [1, 3]]},
        {"lora_bias": True},
        {"use_qalora": True},
        {"alora_invocation_tokens": [7]},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "loftq"},
        {"layers_pattern": "(layers|h)"},
        {"some_later_invention": {"k": 3}},
    ],
    ids=str,
)
def test_what_is_not_done_here_is_refused_by_its_key_and_value(
    tiny: LanguageModel, folder: Path, settings: dict[str, Any]
) -> None:
    ((key, value),) = settings.items()
    assert f"{key} to {value!r}" in refused(tiny, changed(folder, **settings), UnsupportedModel)


def test_a_key_that_says_nothing_is_no_hindrance(tiny: LanguageModel, folder: Path) -> None:
    adapted(tiny, (changed(folder, some_later_invention=False, another=[], task_type="CAUSAL_LM", use_dora=False), 1.0))


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("base_model.model.model.embed_tokens.weight", "trained embeddings"),
        ("base_model.model.model.embed_tokens.lora_embedding_A", "trained embeddings"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector", "DoRA"),
        ("base_model.model.lm_head.base_layer.weight", "copies of the model's own weights"),
        ("base_model.model.classifier.modules_to_save.weight", "whole layers"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_B.bias", "lora_B.bias"),
        ("model.layers.0.self_attn.q_proj.lora_A.weight", "no matrix of LoRA by its name"),
        ("prompt_embeddings", "trained embeddings"),
    ],
)
def test_tensors_of_another_kind_are_refused(tiny: LanguageModel, folder: Path, name: str, what: str) -> None:
    rewritten(folder, lambda tensors: tensors.update({name: torch.ones(2, 2)}))
    assert what in refused(tiny, folder, UnsupportedModel)


def test_names_that_go_on_and_on_are_cut_off(tiny: LanguageModel, folder: Path) -> None:
    name = f"base_model.model.{'q_proj.' * 10_000}lora_A.weight"
    rewritten(folder, lambda tensors: tensors.update({name: torch.ones(2, 2)}))
    assert len(refused(tiny, folder, UnsupportedModel)) < 500


def test_numbers_of_another_format_are_refused(tiny: LanguageModel, folder: Path) -> None:
    rewritten(folder, lambda tensors: tensors.update({NAME.format("A"): torch.ones(4, 24, dtype=torch.int64)}))
    assert "as I64" in refused(tiny, folder, UnsupportedModel)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_is_refused_with_its_tensor(
    tiny: LanguageModel, folder: Path, value: float
) -> None:
    rewritten(folder, lambda tensors: tensors[NAME.format("B")].view(-1)[5:6].fill_(value))
    assert NAME.format("B") in refused(tiny, folder)


def test_one_matrix_without_the_other_is_refused(tiny: LanguageModel, folder: Path) -> None:
    rewritten(folder, lambda tensors: tensors.__delitem__(NAME.format("A")))
    assert "one of the two matrices of model.layers.1.self_attn.q_proj" in refused(tiny, folder)


@pytest.mark.parametrize("shapes", [((4, 24), (30, 5)), ((4,), (30, 4)), ((0, 24), (30, 0)), ((4, 24, 1), (30, 4))])
def test_matrices_that_are_no_pair_are_refused(
    tiny: LanguageModel, folder: Path, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    rewritten(
        folder, lambda tensors: tensors.update({NAME.format(side): torch.ones(*s) for side, s in zip("AB", shapes)})
    )
    assert "no pair of one rank" in refused(tiny, folder)


def test_a_pair_of_another_width_names_module_shapes_and_base(tiny: LanguageModel, tmp_path: Path) -> None:
    wide = loaded(write_tiny(tmp_path / "wide", hidden_size=32)).model
    folder = write_adapter(tmp_path / "pirate", wide, "o_proj")
    message = refused(tiny, folder)
    assert message == (
        f"pirate, trained on {BASE}, changes model.layers.0.self_attn.o_proj of 32 × 30, but tiny's is 24 × 30."
    )


def test_a_model_of_more_layers_or_fewer_is_another_one(tiny: LanguageModel, tmp_path: Path) -> None:
    deep = loaded(write_tiny(tmp_path / "deep", num_hidden_layers=5)).model
    message = refused(tiny, write_adapter(tmp_path / "deeper", deep, "q_proj"))
    assert "changes model.layers.3.self_attn.q_proj, model.layers.4.self_attn.q_proj, which tiny does not" in message
    assert BASE in message
    message = refused(deep, write_adapter(tmp_path / "flatter", tiny, "q_proj"))
    assert "targets tiny's model.layers.3.self_attn.q_proj, model.layers.4.self_attn.q_proj too" in message


def test_a_head_that_is_tied_to_the_embeddings_takes_none(tiny: LanguageModel, tmp_path: Path) -> None:
    tied = loaded(write_tiny(tmp_path / "tied", tie_word_embeddings=True)).model
    assert "lm_head, which tiny does not have" in refused(tied, write_adapter(tmp_path / "head", tiny, "lm_head"))


def test_a_folder_is_found_by_its_files_too(folder: Path) -> None:
    assert adapter_files(str(folder / WEIGHTS)).path == adapter_files(str(folder / CONFIG)).path == folder
