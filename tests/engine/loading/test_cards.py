"""What a card says of a model that is not loaded is what loading it gives, for every family and both formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from checkpoints import loaded, write_tiny
from decoder_variants import VARIANTS
from safetensors.torch import load_file, save_file

from engine.__main__ import main
from engine.loading.catalog import inspect

transformers = pytest.importorskip("transformers")


def write(folder: Path, config: object, head: str = "AutoModelForCausalLM") -> Path:
    getattr(transformers, head).from_config(config).save_pretrained(folder)
    return folder


def agrees(folder: Path) -> None:
    card = inspect(str(folder))
    sizes = dict(card.bytes_in_memory)
    assert sizes.keys() == {"fp32", "bf16", "fp16", "int8", "int4"}
    for precision in ("fp32", "bf16", "fp16"):
        model = loaded(folder, precision=precision)
        assert (card.parameters, sizes[precision]) == (model.parameters, model.bytes_in_memory)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_decoder_s_card_tells_what_it_takes_in_memory(tmp_path: Path, name: str) -> None:
    model_type, changes = VARIANTS[name]
    agrees(write(tmp_path / "tiny", transformers.AutoConfig.for_model(model_type, **changes)))


@pytest.mark.parametrize("tied", [True, False])
def test_so_does_an_encoder_decoder_s_whose_projections_stay_wide(tmp_path: Path, tied: bool) -> None:
    config = transformers.T5Config(
        vocab_size=97, d_model=24, d_kv=7, d_ff=31, num_layers=2, num_heads=3, tie_word_embeddings=tied
    )
    agrees(write(tmp_path / "tiny", config, "AutoModelForSeq2SeqLM"))


@pytest.mark.parametrize("head", ["AutoModel", "AutoModelForMaskedLM", "AutoModelForSequenceClassification"])
def test_so_does_an_encoder_s(tmp_path: Path, head: str) -> None:
    config = transformers.RobertaConfig(
        vocab_size=61, hidden_size=12, intermediate_size=17, num_hidden_layers=2, num_attention_heads=3
    )
    agrees(write(tmp_path / "tiny", config, head))


def test_masks_that_old_files_hold_as_numbers_are_no_parameters(tmp_path: Path) -> None:
    model_type, changes = VARIANTS["gpt2"]
    folder = write(tmp_path / "tiny", transformers.AutoConfig.for_model(model_type, **changes))
    before = inspect(str(folder)).parameters
    weights = load_file(folder / "model.safetensors")
    for index in range(3):
        weights[f"transformer.h.{index}.attn.bias"] = torch.ones(1, 1, 64, 64).tril()
        weights[f"transformer.h.{index}.attn.masked_bias"] = torch.tensor(-1e4)
    save_file(weights, folder / "model.safetensors")
    assert inspect(str(folder)).parameters == before == loaded(folder).parameters


def test_the_door_prints_a_folder_s_card_and_a_file_s(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, references: Path
) -> None:
    wanted = {
        "family", "kind", "parameters", "bytes_on_disk", "bytes_in_memory", "context", "tokenizer", "chat_template",
    }  # fmt: skip
    for path in (write_tiny(tmp_path / "tiny"), references / "models/stories260K/gguf/stories260K-f16.gguf"):
        assert main(["inspect", str(path), "--json"]) == 0
        card = json.loads(capsys.readouterr().out)
        assert wanted <= card.keys()
        assert (card["family"], card["kind"], card["chat_template"]) == ("llama", "decoder", False)
        count = card["parameters"]
        plain = {"fp32": 4 * count, "bf16": 2 * count, "fp16": 2 * count}
        assert plain.items() <= card["bytes_in_memory"].items()
    assert card["bytes_on_disk"] == pytest.approx(2 * count, rel=0.05)
    assert main(["inspect", str(path)]) == 0
    assert f"bytes in memory  fp32 {4 * count:,}, bf16" in capsys.readouterr().out
