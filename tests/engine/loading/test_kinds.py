"""Loading encoder-decoders and encoders: what a file may leave out, and what is known of the model afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import loaded
from encoders import write_bert
from safetensors.torch import save_file

from engine.errors import BadModelFiles
from engine.models.bart import Config, Model
from engine.models.reader import Reader

TINY: dict[str, Any] = {
    "model_type": "bart",
    "architectures": ["BartForConditionalGeneration"],
    "vocab_size": 23,
    "d_model": 12,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 3,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 7,
    "decoder_ffn_dim": 5,
    "max_position_embeddings": 16,
    "decoder_start_token_id": 2,
    "eos_token_id": 2,
}


def write_bart(folder: Path, *left_out: str, extra: tuple[str, ...] = (), **changes: Any) -> Path:
    """A BART folder without a tokenizer; parameters left out by name, or given although they could be."""
    folder.mkdir()
    config = {**TINY, **changes}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    with torch.device("meta"):
        model = Model(Config.read(Reader(config, "tiny/config.json")))
    source = torch.Generator().manual_seed(3)
    held = {name: weight.shape for name, weight in model.named_parameters() if name not in left_out}
    held = {name: shape for name, shape in held.items() if name not in model.optional or name in extra}
    save_file({name: torch.randn(s, generator=source) for name, s in held.items()}, folder / "model.safetensors")
    return folder


def test_a_tied_head_is_the_embedding_itself_and_an_absent_bias_is_zero(tmp_path: Path) -> None:
    whole = loaded(write_bart(tmp_path / "tiny"))
    model = whole.model
    assert model.lm_head.weight is model.model.shared.weight
    assert not model.final_logits_bias.any()
    assert whole.parameters == sum(weight.numel() for weight in set(model.parameters()))


def test_what_a_file_holds_although_it_could_leave_it_out_is_used(tmp_path: Path) -> None:
    model = loaded(write_bart(tmp_path / "tiny", extra=("lm_head.weight", "final_logits_bias"))).model
    assert not torch.equal(model.lm_head.weight, model.model.shared.weight)
    assert model.final_logits_bias.any()


def test_an_untied_model_of_older_files_has_one_embedding_for_both_sides(tmp_path: Path) -> None:
    folder = write_bart(tmp_path / "tiny", extra=("lm_head.weight",), tie_word_embeddings=False)
    model = loaded(folder).model
    assert model.model.encoder.embed_tokens.weight is model.model.shared.weight
    assert model.lm_head.weight is not model.model.shared.weight


def test_a_missing_weight_is_named(tmp_path: Path) -> None:
    folder = write_bart(tmp_path / "tiny", "model.decoder.layers.1.fc1.weight")
    with pytest.raises(BadModelFiles, match=r"model\.decoder\.layers\.1\.fc1\.weight"):
        loaded(folder)


@pytest.mark.parametrize(
    ("config", "generation", "expected"),
    [
        ({}, None, 2),
        ({}, {"decoder_start_token_id": 5}, 5),
        ({"decoder_start_token_id": None, "bos_token_id": 4}, None, 4),
        ({"decoder_start_token_id": None}, None, None),
    ],
)
def test_what_a_target_begins_with_is_where_it_is_said(
    tmp_path: Path, config: dict[str, Any], generation: dict[str, Any] | None, expected: int | None
) -> None:
    folder = write_bart(tmp_path / "tiny", **config)
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation), "utf-8")
    assert loaded(folder).start_id == expected


def test_an_older_config_says_how_to_generate_unless_a_file_of_its_own_does(tmp_path: Path) -> None:
    folder = write_bart(tmp_path / "tiny", num_beams=4, forced_bos_token_id=0, dropout=0.1)
    assert loaded(folder).generation == {"num_beams": 4, "forced_bos_token_id": 0}
    (folder / "generation_config.json").write_text(json.dumps({"num_beams": 2}), "utf-8")
    assert loaded(folder).generation == {"num_beams": 2}


def test_threads_are_chosen_for_every_kind(tmp_path: Path) -> None:
    for folder in (write_bart(tmp_path / "two"), write_bert(tmp_path / "one", "BertModel")):
        assert loaded(folder, threads=0).threads >= 1
    assert [loaded(tmp_path / name).kind for name in ("two", "one")] == ["encoder-decoder", "encoder"]


@pytest.mark.parametrize(
    ("tensor", "parameter"),
    [
        ("bert.embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"),
        ("embeddings.word_embeddings.weight", "bert.embeddings.word_embeddings.weight"),
        ("bert.embeddings.position_ids", None),
        ("embeddings.position_ids", None),
        ("bert.pooler.dense.weight", None),
        ("cls.seq_relationship.weight", None),
    ],
)
def test_the_names_of_older_bert_files_find_their_place(tmp_path: Path, tensor: str, parameter: str | None) -> None:
    assert loaded(write_bert(tmp_path / "tiny", "BertForMaskedLM")).model.rename(tensor) == parameter
