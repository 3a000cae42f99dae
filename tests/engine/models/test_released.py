"""Configs as released models have them, in the dialect of their year: what is read of them, how many weights follow."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from engine.errors import UnsupportedModel
from engine.models import family
from engine.models.reader import Reader
from engine.models.trunk import TrunkConfig


def sizes(width: int, hidden: int, layers: int, heads: int, kv_heads: int, vocabulary: int) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocabulary,
    }


SMOLLM3_TURNED = [1, 1, 1, 0] * 9
RELEASED: dict[str, tuple[dict[str, Any], int]] = {
    "Mistral 7B v0.1": (
        {
            "model_type": "mistral",
            **sizes(4096, 14336, 32, 32, 8, 32000),
            "max_position_embeddings": 32768,
            "rms_norm_eps": 1e-05,
            "rope_theta": 10000.0,
            "sliding_window": 4096,
        },
        7_241_732_096,
    ),
    "Qwen2.5 0.5B": (
        {
            "model_type": "qwen2",
            **sizes(896, 4864, 24, 14, 2, 151936),
            "max_position_embeddings": 32768,
            "max_window_layers": 24,
            "rope_theta": 1000000.0,
            "sliding_window": 32768,
            "tie_word_embeddings": True,
            "use_mrope": False,
            "use_sliding_window": False,
        },
        494_032_768,
    ),
    "Qwen3 0.6B": (
        {
            "model_type": "qwen3",
            **sizes(1024, 3072, 28, 16, 8, 151936),
            "attention_bias": False,
            "head_dim": 128,
            "max_position_embeddings": 40960,
            "max_window_layers": 28,
            "rope_scaling": None,
            "rope_theta": 1000000,
            "sliding_window": None,
            "tie_word_embeddings": True,
            "use_sliding_window": False,
        },
        596_049_920,
    ),
    "SmolLM3 3B": (
        {
            "model_type": "smollm3",
            **sizes(2048, 11008, 36, 16, 4, 128256),
            "layer_types": ["full_attention"] * 36,
            "max_position_embeddings": 65536,
            "max_window_layers": 28,
            "no_rope_layer_interval": 4,
            "no_rope_layers": SMOLLM3_TURNED,
            "pretraining_tp": 2,
            "rope_scaling": None,
            "rope_theta": 5000000.0,
            "sliding_window": None,
            "use_sliding_window": False,
        },
        3_075_098_624,
    ),
    "OLMo 2 1B": (
        {
            "model_type": "olmo2",
            **sizes(2048, 8192, 16, 16, 16, 100352),
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-06,
            "rope_scaling": None,
            "rope_theta": 500000,
            "tie_word_embeddings": False,
        },
        1_484_916_736,
    ),
    "Gemma 2 2B": (
        {
            "model_type": "gemma2",
            **sizes(2304, 9216, 26, 8, 4, 256000),
            "attn_logit_softcapping": 50.0,
            "cache_implementation": "hybrid",
            "final_logit_softcapping": 30.0,
            "head_dim": 256,
            "hidden_act": "gelu_pytorch_tanh",
            "hidden_activation": "gelu_pytorch_tanh",
            "max_position_embeddings": 8192,
            "query_pre_attn_scalar": 256,
            "rope_theta": 10000.0,
            "sliding_window": 4096,
        },
        2_614_341_888,
    ),
    "Gemma 3 1B": (
        {
            "model_type": "gemma3_text",
            **sizes(1152, 6912, 26, 4, 1, 262144),
            "attn_logit_softcapping": None,
            "cache_implementation": "hybrid",
            "final_logit_softcapping": None,
            "head_dim": 256,
            "hidden_activation": "gelu_pytorch_tanh",
            "max_position_embeddings": 32768,
            "query_pre_attn_scalar": 256,
            "rope_local_base_freq": 10000,
            "rope_scaling": None,
            "rope_theta": 1000000,
            "sliding_window": 512,
            "sliding_window_pattern": 6,
        },
        999_885_952,
    ),
    "Phi-3 mini 4k": (
        {
            "model_type": "phi3",
            **sizes(3072, 8192, 32, 32, 32, 32064),
            "max_position_embeddings": 4096,
            "original_max_position_embeddings": 4096,
            "rope_scaling": None,
            "rope_theta": 10000.0,
            "sliding_window": 2047,
        },
        3_821_079_552,
    ),
    "Phi-4 mini": (
        {
            "model_type": "phi3",
            **sizes(3072, 8192, 32, 24, 8, 200064),
            "max_position_embeddings": 131072,
            "original_max_position_embeddings": 4096,
            "partial_rotary_factor": 0.75,
            "rope_scaling": {"type": "longrope", "long_factor": [1.5] * 48, "short_factor": [1.0] * 48},
            "rope_theta": 10000.0,
            "sliding_window": 262144,
            "tie_word_embeddings": True,
        },
        3_836_021_760,
    ),
    "Mixtral 8x7B": (
        {
            "model_type": "mixtral",
            **sizes(4096, 14336, 32, 32, 8, 32000),
            "max_position_embeddings": 32768,
            "num_experts_per_tok": 2,
            "num_local_experts": 8,
            "rope_theta": 1000000.0,
            "sliding_window": None,
        },
        46_702_792_704,
    ),
    "Qwen3 30B-A3B": (
        {
            "model_type": "qwen3_moe",
            **sizes(2048, 6144, 48, 32, 4, 151936),
            "decoder_sparse_step": 1,
            "head_dim": 128,
            "max_position_embeddings": 40960,
            "max_window_layers": 48,
            "mlp_only_layers": [],
            "moe_intermediate_size": 768,
            "norm_topk_prob": True,
            "num_experts": 128,
            "num_experts_per_tok": 8,
            "rope_scaling": None,
            "rope_theta": 1000000.0,
            "sliding_window": None,
            "use_sliding_window": False,
        },
        30_532_122_624,
    ),
}


def read(name: str, **changes: Any) -> Any:
    config = {**RELEASED[name][0], **changes}
    return family(config["model_type"]).Config.read(Reader(config, "it/config.json"))


def weights(name: str, layers: int) -> int:
    config = read(name, num_hidden_layers=layers)
    with torch.device("meta"):
        model = family(RELEASED[name][0]["model_type"]).Model(config)
    return sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("name", RELEASED)
def test_a_released_model_has_the_weights_that_were_published(name: str) -> None:
    """Its layers are alike, so that two of them say what all of them hold."""
    config, published = RELEASED[name]
    one, two = weights(name, 1), weights(name, 2)
    assert one + (two - one) * (config["num_hidden_layers"] - 1) == published


@pytest.mark.parametrize("name", RELEASED)
def test_the_newer_dialect_says_the_same(name: str) -> None:
    config = dict(RELEASED[name][0])
    scaling = dict(config.pop("rope_scaling", None) or {"type": "default"})
    rotary: dict[str, Any] = {"rope_type": scaling.pop("type"), **scaling, "rope_theta": config.pop("rope_theta")}
    if "partial_rotary_factor" in config:
        rotary["partial_rotary_factor"] = config.pop("partial_rotary_factor")
    if "rope_local_base_freq" in config:
        local = {"rope_type": "default", "rope_theta": config.pop("rope_local_base_freq")}
        rotary = {"full_attention": rotary, "sliding_attention": local}
    new = {**config, "rope_parameters": rotary, "dtype": "bfloat16"}
    assert family(config["model_type"]).Config.read(Reader(new, "it/config.json")) == read(name)


def test_windows_are_where_each_family_has_them() -> None:
    assert read("Mistral 7B v0.1").window == 4096
    assert set(read("Qwen2.5 0.5B").windows) == {None}
    assert read("Qwen2.5 0.5B", use_sliding_window=True, max_window_layers=22).windows == (None,) * 22 + (32768,) * 2
    assert read("Gemma 2 2B").windows == (4096, None) * 13
    assert [layer for layer, window in enumerate(read("Gemma 3 1B").windows) if window is None] == [5, 11, 17, 23]
    windows = read("SmolLM3 3B", use_sliding_window=True, sliding_window=9, layer_types=None).windows
    assert windows == (None, None, None, 9) * 9
    types = ["sliding_attention"] * 3 + ["full_attention"] * 25
    assert (
        read("Qwen3 0.6B", use_sliding_window=True, sliding_window=7, layer_types=types).windows
        == (7,) * 3 + (None,) * 25
    )


def test_a_null_is_told_from_an_absent_key_where_the_reference_does() -> None:
    def without(name: str, *keys: str) -> Any:
        config = {key: value for key, value in RELEASED[name][0].items() if key not in keys}
        return family(config["model_type"]).Config.read(Reader(config, "it/config.json"))

    assert read("Mistral 7B v0.1", sliding_window=None).window is None
    assert without("Mistral 7B v0.1", "sliding_window").window == 4096
    assert without("Mixtral 8x7B", "sliding_window").window is None
    caps = ("attn_logit_softcapping", "final_logit_softcapping")
    null, absent = read("Gemma 2 2B", **dict.fromkeys(caps)), without("Gemma 2 2B", *caps)
    assert (null.score_cap, null.logit_cap) == (None, None)
    assert (absent.score_cap, absent.logit_cap) == (50.0, 30.0)


def test_rotary_positions_are_those_of_each_family() -> None:
    gemma = read("Gemma 3 1B")
    assert (gemma.rotary.theta, gemma.local_rotary.theta) == (1e6, 1e4)
    assert read("SmolLM3 3B").turned == (True, True, True, False) * 9
    assert read("SmolLM3 3B", no_rope_layers=None).turned == (True, True, True, False) * 9
    phi = read("Phi-4 mini")
    assert (phi.boundary, phi.rotary.fraction, phi.rotary.factors[0], phi.far_rotary.factors[0]) == (4096, 0.75, 1, 1.5)
    assert phi.rotary.scale == pytest.approx(1.1902380714238083)
    assert read("Phi-3 mini 4k").boundary is None


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("Mistral 7B v0.1", {"layer_types": ["full_attention"] * 32}, "layer_types"),
        ("Qwen2.5 0.5B", {"rope_scaling": {"type": "mrope", "mrope_section": [1]}}, "mrope"),
        ("Qwen2.5 0.5B", {"layer_types": ["chunked_attention"] * 24}, "chunked_attention"),
        ("Qwen3 0.6B", {"layer_types": ["full_attention"] * 3}, "28 layers"),
        ("SmolLM3 3B", {"no_rope_layers": [1, 2] * 18}, "no_rope_layers"),
        ("Gemma 2 2B", {"hidden_activation": "swish7"}, "swish7"),
        ("Gemma 3 1B", {"use_bidirectional_attention": True}, "use_bidirectional_attention"),
        ("Gemma 3 1B", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
        ("Mixtral 8x7B", {"num_experts_per_tok": 9}, "8 experts"),
        ("OLMo 2 1B", {"architectures": ["Olmo2ForSequenceClassification"]}, "Olmo2ForSequenceClassification"),
    ],
)
def test_what_is_not_implemented_is_refused_by_key_and_value(name: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UnsupportedModel, match=words):
        read(name, **changes)


def test_every_one_of_them_shares_the_common_part() -> None:
    assert all(isinstance(read(name), TrunkConfig) for name in RELEASED)
