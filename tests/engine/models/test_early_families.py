"""What the configs and the tensor names of the decoders before and beside Llama may look like, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from engine.errors import BadModelFiles, EngineError, UnsupportedModel
from engine.models import family
from engine.models.reader import Reader
from engine.quantize import place

GPT2 = {"n_layer": 2, "n_head": 3, "n_embd": 12, "n_positions": 8, "vocab_size": 11}
NEO = {
    "num_layers": 4, "num_heads": 3, "hidden_size": 12, "max_position_embeddings": 8, "vocab_size": 11,
    "attention_types": [[["global", "local"], 2]], "window_size": 3,
}  # fmt: skip
NEOX = {
    "num_hidden_layers": 2, "num_attention_heads": 3, "hidden_size": 24, "intermediate_size": 7, "vocab_size": 11,
}  # fmt: skip
OPT = {"num_hidden_layers": 2, "num_attention_heads": 3, "hidden_size": 12, "ffn_dim": 7, "vocab_size": 11}
BLOOM = {"n_layer": 2, "n_head": 3, "hidden_size": 12, "vocab_size": 11}
FALCON = {"num_hidden_layers": 2, "num_attention_heads": 6, "hidden_size": 12, "vocab_size": 11}
# As released models have them, less what no forward pass reads; and how many weights follow, as they are known for.
RELEASED: dict[str, tuple[dict[str, Any], int]] = {
    "GPT-2": (
        {
            "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "activation_function": "gelu_new",
            "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024, "vocab_size": 50257,
            "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
        },
        124_439_808,
    ),
    "DistilGPT2": (
        {
            "model_type": "gpt2", "_num_labels": 1, "architectures": ["GPT2LMHeadModel"], "n_ctx": 1024,
            "n_embd": 768, "n_head": 12, "n_layer": 6, "n_positions": 1024, "vocab_size": 50257,
        },
        81_912_576,
    ),
    "GPT-Neo 125M": (
        {
            "model_type": "gpt_neo", "architectures": ["GPTNeoForCausalLM"], "activation_function": "gelu_new",
            "attention_layers": ["global", "local"] * 6, "attention_types": [[["global", "local"], 6]],
            "hidden_size": 768, "intermediate_size": None, "max_position_embeddings": 2048, "num_heads": 12,
            "num_layers": 12, "vocab_size": 50257, "window_size": 256,
        },
        125_198_592,
    ),
    "Pythia 70M": (
        {
            "model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"], "hidden_act": "gelu",
            "hidden_size": 512, "intermediate_size": 2048, "max_position_embeddings": 2048,
            "num_attention_heads": 8, "num_hidden_layers": 6, "rotary_emb_base": 10000, "rotary_pct": 0.25,
            "tie_word_embeddings": False, "use_parallel_residual": True, "vocab_size": 50304,
        },
        70_426_624,
    ),
    "OPT 125M": (
        {
            "model_type": "opt", "architectures": ["OPTForCausalLM"], "activation_function": "relu",
            "do_layer_norm_before": True, "_remove_final_layer_norm": False, "ffn_dim": 3072, "hidden_size": 768,
            "max_position_embeddings": 2048, "num_attention_heads": 12, "num_hidden_layers": 12,
            "vocab_size": 50272, "word_embed_proj_dim": 768,
        },
        125_239_296,
    ),
    "OPT 350M": (
        {
            "model_type": "opt", "architectures": ["OPTForCausalLM"], "activation_function": "relu",
            "do_layer_norm_before": False, "ffn_dim": 4096, "hidden_size": 1024, "max_position_embeddings": 2048,
            "num_attention_heads": 16, "num_hidden_layers": 24, "vocab_size": 50272, "word_embed_proj_dim": 512,
        },
        331_196_416,
    ),
    "BLOOM 560M": (
        {
            "model_type": "bloom", "architectures": ["BloomForCausalLM"], "n_embed": 1024, "n_inner": None,
            "apply_residual_connection_post_layernorm": False, "n_layer": 24, "num_attention_heads": 16,
            "offset_alibi": 100, "pretraining_tp": 1, "seq_length": 2048, "slow_but_exact": False,
            "vocab_size": 250880,
        },
        559_214_592,
    ),
    "Falcon 7B": (
        {
            "model_type": "falcon", "architectures": ["FalconForCausalLM"], "alibi": False, "bias": False,
            "hidden_size": 4544, "multi_query": True, "new_decoder_architecture": False,
            "num_attention_heads": 71, "num_hidden_layers": 32, "parallel_attn": True, "vocab_size": 65024,
        },
        6_921_720_704,
    ),
    "Falcon RW 1B": (
        {
            "model_type": "falcon", "architectures": ["FalconForCausalLM"], "alibi": True, "bias": True,
            "hidden_size": 2048, "multi_query": False, "new_decoder_architecture": False,
            "num_attention_heads": 32, "num_hidden_layers": 24, "parallel_attn": False, "vocab_size": 50304,
        },
        1_311_625_216,
    ),
}  # fmt: skip
ALL = {"gpt2": GPT2, "gpt_neo": NEO, "gpt_neox": NEOX, "opt": OPT, "bloom": BLOOM, "falcon": FALCON}


def read(model_type: str, **changes: Any) -> Any:
    return family(model_type).Config.read(Reader({**ALL[model_type], **changes}, "tiny/config.json"))


def model(model_type: str, **changes: Any) -> Any:
    with torch.device("meta"):
        return family(model_type).Model(read(model_type, **changes))


@pytest.mark.parametrize("name", RELEASED)
def test_a_released_model_is_read_and_has_as_many_weights_as_it_is_known_for(name: str) -> None:
    config, weights = RELEASED[name]
    module = family(config["model_type"])
    with torch.device("meta"):
        built = module.Model(module.Config.read(Reader(config, "released/config.json")))
    assert sum(weight.numel() for weight in built.parameters()) == weights


def test_either_name_of_a_size_is_read() -> None:
    other = {"n_layer": None, "num_hidden_layers": 5, "n_head": None, "num_attention_heads": 2}
    assert (read("gpt2", **other).layers, read("gpt2", **other).heads) == (5, 2)
    bloom = read("bloom", **other, hidden_size=None, n_embed=24)
    assert (bloom.layers, bloom.heads, bloom.width) == (5, 2, 24)
    assert read("gpt_neo", num_layers=None, num_hidden_layers=4) == read("gpt_neo")


def test_both_dialects_of_rotary_settings_say_the_same() -> None:
    newer = {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.5}
    older = read("gpt_neox", rotary_pct=0.5, rotary_emb_base=500)
    assert older == read("gpt_neox", rope_parameters=newer)
    assert (older.rotary.theta, older.rotary.fraction) == (500.0, 0.5)
    assert (read("gpt_neox").rotary.theta, read("gpt_neox").rotary.fraction) == (10000.0, 0.25)
    assert read("falcon", rope_theta=500.0) == read("falcon", rope_parameters={**newer, "partial_rotary_factor": 1.0})


def test_transposed_weights_of_gpt2_lie_in_memory_as_those_of_a_linear_layer() -> None:
    tiny, shape = model("gpt2"), (12, 36)
    weight = torch.arange(12 * 36.0).view(shape)
    place(tiny, "transformer.h.0.attn.c_attn.weight", weight, "bf16", "cpu")
    placed = tiny.transformer.h[0].attn.c_attn.weight
    assert torch.equal(placed, weight.bfloat16()) and placed.t().is_contiguous()


def test_layers_of_gpt_neo_see_all_or_a_window_in_turn() -> None:
    assert read("gpt_neo").windows == (None, 3, None, 3)
    assert read("gpt_neo", attention_types=[[["global"], 3], [["local"], 1]]).windows == (None, None, None, 3)


def test_the_layouts_of_falcon_are_told_apart_by_their_keys() -> None:
    grouped = {"new_decoder_architecture": True, "num_kv_heads": 2}
    serial = {"multi_query": False, "parallel_attn": False, "alibi": True}
    found = [read("falcon", **keys) for keys in ({}, grouped, {**grouped, "num_ln_in_parallel_attn": 1}, serial)]
    assert [config.layout for config in found] == ["one norm", "two norms", "one norm", "serial"]
    assert [config.kv_heads for config in found] == [1, 2, 2, 6]
    assert [config.rotary is None for config in found] == [False, False, False, True]


@pytest.mark.parametrize(
    ("model_type", "name", "parameter"),
    [
        ("gpt2", "h.0.attn.c_attn.weight", "transformer.h.0.attn.c_attn.weight"),
        ("gpt2", "transformer.wte.weight", "transformer.wte.weight"),
        ("gpt2", "h.0.attn.bias", None),
        ("gpt2", "transformer.h.0.attn.masked_bias", None),
        ("gpt2", "lm_head.weight", None),
        ("gpt_neo", "transformer.h.1.attn.attention.bias", None),
        ("gpt_neo", "transformer.h.1.attn.attention.out_proj.bias", "transformer.h.1.attn.attention.out_proj.bias"),
        ("gpt_neox", "gpt_neox.layers.0.attention.rotary_emb.inv_freq", None),
        ("gpt_neox", "gpt_neox.layers.0.attention.masked_bias", None),
        ("gpt_neox", "gpt_neox.layers.0.attention.dense.bias", "gpt_neox.layers.0.attention.dense.bias"),
        ("gpt_neox", "lm_head.weight", "embed_out.weight"),
        ("opt", "decoder.layers.0.fc1.bias", "model.decoder.layers.0.fc1.bias"),
        ("bloom", "word_embeddings_layernorm.bias", "transformer.word_embeddings_layernorm.bias"),
        ("falcon", "lm_head.weight", None),
    ],
)
def test_tensors_of_older_files_find_their_parameter(model_type: str, name: str, parameter: str | None) -> None:
    assert model(model_type).rename(name) == parameter
    if parameter is not None:
        assert parameter in dict(model(model_type).named_parameters())


@pytest.mark.parametrize("model_type", ALL)
def test_an_untied_head_has_a_parameter_of_its_own(model_type: str) -> None:
    untied = model(model_type, tie_word_embeddings=False)
    assert untied.rename("lm_head.weight") in dict(untied.named_parameters())


@pytest.mark.parametrize(
    ("model_type", "changes"),
    [
        *((model_type, {"quantization_config": {"bits": 4}}) for model_type in ALL),
        *((model_type, {"architectures": ["SomethingForSequenceClassification"]}) for model_type in ALL),
        ("gpt2", {"add_cross_attention": True}),
        ("gpt2", {"n_embd": 13}),
        ("gpt2", {"activation_function": "mish"}),
        ("gpt_neo", {"attention_types": [[["global", "local"], 1]]}),
        ("gpt_neo", {"attention_types": [[["global", "sparse"], 2]]}),
        ("gpt_neo", {"attention_types": ["global", 4]}),
        ("gpt_neo", {"attention_types": [[["global"], 10**12]]}),
        ("gpt_neox", {"rotary_pct": 0.4}),
        ("gpt_neox", {"rotary_pct": 1.5}),
        ("gpt_neox", {"rope_scaling": {"type": "spiral"}}),
        ("bloom", {"apply_residual_connection_post_layernorm": True}),
        ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 4}),
        ("falcon", {"new_decoder_architecture": True, "parallel_attn": False}),
        ("falcon", {"num_ln_in_parallel_attn": 2}),
        ("falcon", {"num_attention_heads": 4}),
    ],
)
def test_what_cannot_be_run_is_refused_by_key_and_value(model_type: str, changes: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedModel) as refused:
        read(model_type, **changes)
    assert refused.value.message.startswith("tiny/config.json")
    assert any(key in refused.value.message for key in (*changes, "type", "hidden_size"))
    assert refused.value.hint


@pytest.mark.parametrize("model_type", ALL)
def test_a_value_of_the_wrong_kind_is_bad_and_not_a_crash(model_type: str) -> None:
    for key in ALL[model_type]:
        for value in ("many", -1, 0, 1.5, [[]], {}, True):
            with pytest.raises(EngineError) as found:
                read(model_type, **{key: value})
            assert isinstance(found.value, BadModelFiles | UnsupportedModel)
            assert key in found.value.message
