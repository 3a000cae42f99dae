"""Folders that bitsandbytes has quantised, held to bitsandbytes's own functions; other quantisers refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import loaded, tiny_config, tiny_weights
from safetensors.torch import load_file, save_file

from engine.errors import BadModelFiles, UnsupportedModel
from engine.loading.catalog import inspect

functional = pytest.importorskip("bitsandbytes.functional")
Change = Callable[[dict[str, torch.Tensor]], Any]

SIZES = {"hidden_size": 96, "intermediate_size": 160, "num_attention_heads": 3, "head_dim": 32, "vocab_size": 101}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path / "home"))


def matrices(weights: dict[str, torch.Tensor]) -> list[str]:
    return [name for name in weights if ".layers." in name and weights[name].ndim == 2]


def write(folder: Path, kind: str, nested: bool = True) -> dict[str, torch.Tensor]:
    """A folder as transformers writes one, and what bitsandbytes makes of its matrices."""
    config = tiny_config(**SIZES)
    weights, expected = tiny_weights(config), {}
    settings: dict[str, Any] = {"quant_method": "bitsandbytes"}
    for name in matrices(weights):
        weight = weights.pop(name)
        if kind == "int8":
            codes, scales, _ = functional.int8_vectorwise_quant(weight.half())
            weights |= {
                name: codes,
                f"{name[:-6]}SCB": scales,
                f"{name[:-6]}weight_format": torch.zeros((), dtype=torch.uint8),
            }
            expected[name] = codes.float() * (scales / 127)[:, None]
            settings["load_in_8bit"] = True
        else:
            # Blocks go across rows. bitsandbytes 0.50 reads them wrongly with AVX-512, unless rows are whole blocks.
            blocks = weight.reshape(-1, 64)
            codes, state = functional.quantize_4bit(blocks, blocksize=64, quant_type=kind, compress_statistics=nested)
            expected[name] = functional.dequantize_4bit(codes, state).view(weight.shape)
            weights[name], state.shape = codes, weight.shape
            weights |= {f"{name}.{key}": value for key, value in state.as_dict(packed=True).items()}
            settings |= {"load_in_4bit": True, "bnb_4bit_quant_type": kind}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": settings}), "utf-8")
    (folder / "tokenizer.json").write_text('{"model": {"type": "BPE"}}', "utf-8")
    save_file(weights, folder / "model.safetensors")
    return expected


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("kind", ["nf4", "fp4"])
def test_4_bit_matrices_are_what_bitsandbytes_makes_of_them(tmp_path: Path, kind: str, nested: bool) -> None:
    expected = write(tmp_path / "tiny", kind, nested)
    model = loaded(tmp_path / "tiny", precision="fp32").model
    assert len(expected) == 21
    for name, weight in expected.items():
        torch.testing.assert_close(model.get_parameter(name).data, weight, atol=1e-7, rtol=1e-6)


def test_8_bit_matrices_keep_their_codes(tmp_path: Path) -> None:
    expected = write(tmp_path / "tiny", "int8")
    found = loaded(tmp_path / "tiny")
    assert found.precision == "int8"
    for name, weight in expected.items():
        layer = found.model.get_submodule(name.removesuffix(".weight"))
        torch.testing.assert_close(layer.weight, weight, atol=0, rtol=2**-11)
    plain = loaded(tmp_path / "tiny", precision="fp32").model
    for name, weight in expected.items():
        torch.testing.assert_close(plain.get_parameter(name).data, weight, atol=0, rtol=2**-11)


@pytest.mark.parametrize("precision", ["auto", "int8", "int4"])
def test_nf4_fits_into_groups_of_8_bits_nearly_and_of_4_with_a_loss(tmp_path: Path, precision: str) -> None:
    expected = write(tmp_path / "tiny", "nf4")
    found = loaded(tmp_path / "tiny", precision=precision)
    for name, weight in expected.items():
        ours = found.model.get_submodule(name.removesuffix(".weight")).weight
        loss = ((ours - weight).square().sum() / weight.square().sum()).sqrt()
        assert loss < (0.1 if precision == "int4" else 0.01)
    main = found.held[0]
    assert 0 < main.error < (0.1 if precision == "int4" else 0.01)


def test_the_card_counts_weights_and_not_codes(tmp_path: Path) -> None:
    write(tmp_path / "tiny", "nf4")
    card = inspect(str(tmp_path / "tiny"))
    assert card.parameters == sum(weight.numel() for weight in tiny_weights(tiny_config(**SIZES)).values())
    assert (card.precision, card.supported) == ("nf4", True)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"quant_method": "gptq", "bits": 4}, "GPTQ"),
        ({"bits": 4, "group_size": 128}, "GPTQ"),
        ({"quant_method": "awq"}, "AWQ"),
        ({"quant_method": "fp8"}, "FP8"),
        ({"quant_method": "compressed-tensors"}, "compressed-tensors"),
        ({}, "a method that it does not name"),
        ("what", "a method that it does not name"),
    ],
)
def test_other_quantisers_are_refused_by_name(tmp_path: Path, settings: Any, name: str) -> None:
    write(tmp_path / "tiny", "nf4")
    config = {**tiny_config(**SIZES), "quantization_config": settings}
    (tmp_path / "tiny" / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(UnsupportedModel, match=f"tiny was quantised with {name}, which Vitrine cannot read yet"):
        loaded(tmp_path / "tiny")
    assert f"quantised with {name}" in inspect(str(tmp_path / "tiny")).reason


NAME = "model.layers.1.mlp.up_proj.weight"


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.pop(f"{NAME}.absmax"),
        lambda tensors: tensors.pop(f"{NAME}.nested_absmax"),
        lambda tensors: tensors.pop(NAME),
        lambda tensors: tensors.update({NAME: tensors[NAME][:-1].clone()}),
        lambda tensors: tensors.update({f"{NAME}.quant_map": torch.zeros(15)}),
        lambda tensors: tensors.update({f"{NAME}.absmax": tensors[f"{NAME}.absmax"][:-1].clone()}),
        lambda tensors: tensors[f"{NAME}.quant_state.bitsandbytes__nf4"].fill_(7),
    ],
)
def test_a_matrix_that_its_codes_do_not_fit_is_refused_in_one_sentence(tmp_path: Path, change: Change) -> None:
    write(tmp_path / "tiny", "nf4")
    file = tmp_path / "tiny" / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
    with pytest.raises(BadModelFiles, match=r"does not say how .*up_proj.weight was quantised"):
        loaded(tmp_path / "tiny")


def test_codes_without_an_explanation_are_no_weights(tmp_path: Path) -> None:
    write(tmp_path / "tiny", "int8")
    config = tiny_config(**SIZES)
    (tmp_path / "tiny" / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(UnsupportedModel, match="as I8, which Vitrine cannot read yet"):
        loaded(tmp_path / "tiny")
