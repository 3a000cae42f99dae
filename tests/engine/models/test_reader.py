from __future__ import annotations

from typing import Any

import pytest
from checkpoints import tiny_config

from engine.errors import BadModelFiles, EngineError, UnsupportedModel
from engine.models import FAMILIES, family
from engine.models.layers import RotaryConfig
from engine.models.llama import Config
from engine.models.reader import Reader
from engine.models.reading import read_rotary


def read(**changes: Any) -> Config:
    return Config.read(Reader(tiny_config(**changes), "tiny/config.json"))


def test_a_config_is_read_with_its_defaults_filled_in() -> None:
    config = read(num_key_value_heads=None, head_dim=None, rope_theta=None, max_position_embeddings=None)
    assert (config.heads, config.kv_heads, config.head_dim, config.width) == (3, 3, 8, 24)
    assert (config.context, config.rotary.theta, config.activation) == (2048, 10000.0, "silu")


def test_keys_that_do_not_change_the_forward_pass_are_ignored() -> None:
    assert read(_name_or_path="x", use_cache=True, attention_dropout=0.1, initializer_range=0.5) == read()


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"hidden_size": None}, BadModelFiles, ["hidden_size"]),
        ({"hidden_size": "24"}, BadModelFiles, ["hidden_size", "'24'", "whole number"]),
        ({"hidden_size": 24.5}, BadModelFiles, ["hidden_size", "24.5"]),
        ({"num_hidden_layers": True}, BadModelFiles, ["num_hidden_layers", "True"]),
        ({"num_hidden_layers": 0}, BadModelFiles, ["num_hidden_layers", "0"]),
        ({"num_hidden_layers": 10**9}, BadModelFiles, ["num_hidden_layers", "1000000000"]),
        ({"vocab_size": -1}, BadModelFiles, ["vocab_size", "-1"]),
        ({"rms_norm_eps": 0}, BadModelFiles, ["rms_norm_eps"]),
        ({"rms_norm_eps": float("nan")}, BadModelFiles, ["rms_norm_eps"]),
        ({"attention_bias": 1}, BadModelFiles, ["attention_bias", "true or false"]),
        ({"rope_scaling": 3}, BadModelFiles, ["rope_scaling", "3"]),
        ({"head_dim": 7}, UnsupportedModel, ["head_dim", "7"]),
        ({"num_key_value_heads": 2}, UnsupportedModel, ["num_key_value_heads", "2", "3"]),
        ({"head_dim": None, "hidden_size": 25}, UnsupportedModel, ["hidden_size", "25"]),
        ({"hidden_act": "swish7"}, UnsupportedModel, ["hidden_act", "swish7"]),
        ({"pretraining_tp": 2}, UnsupportedModel, ["pretraining_tp", "2"]),
        ({"quantization_config": {"bits": 4}}, UnsupportedModel, ["quantization_config", "4"]),
        ({"architectures": ["LlamaForTokenClassification"]}, UnsupportedModel, ["LlamaForTokenClassification"]),
        ({"rope_scaling": {"type": "mrope", "factor": 2.0}}, UnsupportedModel, ["rope_scaling", "type", "mrope"]),
        ({"rope_scaling": {"rope_type": "longrope"}}, UnsupportedModel, ["rope_type", "longrope"]),
        ({"rope_scaling": {"rope_type": "linear"}}, BadModelFiles, ["rope_scaling", "factor"]),
        ({"rope_parameters": {"rope_type": "proportional"}}, UnsupportedModel, ["rope_parameters", "proportional"]),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, UnsupportedModel, ["partial_rotary_factor", "0.5"]),
    ],
)
def test_what_is_wrong_or_not_implemented_is_refused_by_key_and_value(
    changes: dict[str, Any], kind: type[EngineError], words: list[str]
) -> None:
    with pytest.raises(kind) as caught:
        read(**changes)
    assert type(caught.value) is kind
    assert caught.value.hint
    for word in ["tiny/config.json", *words]:
        assert word in str(caught.value)


def test_both_dialects_of_rotary_settings_say_the_same() -> None:
    scaling = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
    expected = RotaryConfig(5e5, "llama3", 8.0, 1.0, 4.0, 32)
    old = {"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", **scaling}}
    new = {"rope_parameters": {"rope_theta": 5e5, "rope_type": "llama3", **scaling}}
    for config in (old, new):
        assert read_rotary(Reader(config, "x"), 64) == expected
    assert read_rotary(Reader({"rope_scaling": {"type": "linear", "factor": 2}}, "x"), 64).factor == 2.0
    assert read_rotary(Reader({"rope_scaling": None}, "x"), 64) == RotaryConfig(10000.0)


def test_an_unknown_model_type_is_named_beside_the_known_ones() -> None:
    with pytest.raises(UnsupportedModel) as caught:
        family("mammoth")
    assert "'mammoth'" in caught.value.message
    assert all(name in caught.value.hint for name in FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_offers_its_two_names(name: str) -> None:
    module = family(name)
    assert callable(module.Config.read) and callable(module.Model)
