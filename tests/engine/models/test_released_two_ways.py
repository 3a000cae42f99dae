"""Configs of encoder-decoders and encoders as they were released: what is read of them, how many weights follow."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from engine.errors import UnsupportedModel
from engine.models import family
from engine.models.reader import Reader

# The config, the parameters that are published, and how many of them a file need not hold for us.
RELEASED: dict[str, tuple[dict[str, Any], int, int]] = {
    "t5-small": (
        {
            "model_type": "t5",
            "architectures": ["T5WithLMHeadModel"],
            "d_ff": 2048,
            "d_kv": 64,
            "d_model": 512,
            "decoder_start_token_id": 0,
            "dropout_rate": 0.1,
            "eos_token_id": 1,
            "is_encoder_decoder": True,
            "layer_norm_epsilon": 1e-06,
            "n_positions": 512,
            "num_heads": 8,
            "num_layers": 6,
            "pad_token_id": 0,
            "relative_attention_num_buckets": 32,
            "vocab_size": 32128,
        },
        60_506_624,
        0,
    ),
    "flan-t5-base": (
        {
            "model_type": "t5",
            "architectures": ["T5ForConditionalGeneration"],
            "d_ff": 2048,
            "d_kv": 64,
            "d_model": 768,
            "decoder_start_token_id": 0,
            "feed_forward_proj": "gated-gelu",
            "is_encoder_decoder": True,
            "n_positions": 512,
            "num_decoder_layers": 12,
            "num_heads": 12,
            "num_layers": 12,
            "relative_attention_max_distance": 128,
            "tie_word_embeddings": False,
            "vocab_size": 32128,
        },
        247_577_856,
        24674304,
    ),  # its head, which other files of the family leave out
    "mt5-small": (
        {
            "model_type": "mt5",
            "architectures": ["MT5ForConditionalGeneration"],
            "d_ff": 1024,
            "d_kv": 64,
            "d_model": 512,
            "feed_forward_proj": "gated-gelu",
            "is_encoder_decoder": True,
            "num_decoder_layers": 8,
            "num_heads": 6,
            "num_layers": 8,
            "tie_word_embeddings": False,
            "vocab_size": 250112,
        },
        300_176_768,
        128057344,
    ),  # its head, which other files of the family leave out
    "bart-base": (
        {
            "architectures": ["BartModel"],
            "model_type": "bart",
            "vocab_size": 50265,
            "d_model": 768,
            "encoder_layers": 6,
            "decoder_layers": 6,
            "encoder_attention_heads": 12,
            "decoder_attention_heads": 12,
            "encoder_ffn_dim": 3072,
            "decoder_ffn_dim": 3072,
            "max_position_embeddings": 1024,
            "activation_function": "gelu",
            "scale_embedding": False,
            "add_bias_logits": False,
            "add_final_layer_norm": False,
            "normalize_before": False,
            "normalize_embedding": True,
            "is_encoder_decoder": True,
        },
        139_420_416,
        0,
    ),
    "bart-large-cnn": (
        {
            "architectures": ["BartForConditionalGeneration"],
            "model_type": "bart",
            "vocab_size": 50264,
            "d_model": 1024,
            "encoder_layers": 12,
            "decoder_layers": 12,
            "encoder_attention_heads": 16,
            "decoder_attention_heads": 16,
            "encoder_ffn_dim": 4096,
            "decoder_ffn_dim": 4096,
            "max_position_embeddings": 1024,
            "activation_function": "gelu",
            "scale_embedding": False,
            "add_bias_logits": False,
            "add_final_layer_norm": False,
            "normalize_before": False,
            "normalize_embedding": True,
            "is_encoder_decoder": True,
        },
        406_290_432,
        0,
    ),
    "opus-mt-en-de": (
        {
            "model_type": "marian",
            "architectures": ["MarianMTModel"],
            "activation_function": "swish",
            "add_bias_logits": False,
            "add_final_layer_norm": False,
            "d_model": 512,
            "decoder_attention_heads": 8,
            "decoder_ffn_dim": 2048,
            "decoder_layers": 6,
            "decoder_start_token_id": 58100,
            "encoder_attention_heads": 8,
            "encoder_ffn_dim": 2048,
            "encoder_layers": 6,
            "is_encoder_decoder": True,
            "max_position_embeddings": 512,
            "normalize_before": False,
            "normalize_embedding": False,
            "scale_embedding": True,
            "static_position_embeddings": True,
            "vocab_size": 58101,
        },
        74_410_496,
        524288,
    ),  # positions, which are computed here
    "blenderbot-400M-distill": (
        {
            "model_type": "blenderbot",
            "architectures": ["BlenderbotForConditionalGeneration"],
            "activation_function": "gelu",
            "add_final_layer_norm": True,
            "d_model": 1280,
            "decoder_attention_heads": 32,
            "decoder_ffn_dim": 5120,
            "decoder_layers": 12,
            "encoder_attention_heads": 32,
            "encoder_ffn_dim": 5120,
            "encoder_layers": 2,
            "extra_pos_embeddings": 0,
            "is_encoder_decoder": True,
            "layernorm_variant": "prelayernorm",
            "max_position_embeddings": 128,
            "normalize_before": True,
            "normalize_embedding": False,
            "scale_embedding": True,
            "static_position_embeddings": False,
            "vocab_size": 8008,
        },
        364_802_560,
        0,
    ),
    "blenderbot_small-90M": (
        {
            "model_type": "blenderbot-small",
            "architectures": ["BlenderbotSmallForConditionalGeneration"],
            "activation_function": "gelu",
            "d_model": 512,
            "decoder_attention_heads": 16,
            "decoder_ffn_dim": 2048,
            "decoder_layers": 8,
            "encoder_attention_heads": 16,
            "encoder_ffn_dim": 2048,
            "encoder_layers": 8,
            "is_encoder_decoder": True,
            "max_position_embeddings": 512,
            "normalize_embedding": True,
            "scale_embedding": True,
            "vocab_size": 54944,
        },
        87_508_992,
        0,
    ),
    "bert-base-uncased": (
        {
            "model_type": "bert",
            "architectures": ["BertForMaskedLM"],
            "attention_probs_dropout_prob": 0.1,
            "hidden_act": "gelu",
            "hidden_size": 768,
            "intermediate_size": 3072,
            "layer_norm_eps": 1e-12,
            "max_position_embeddings": 512,
            "num_attention_heads": 12,
            "num_hidden_layers": 12,
            "pad_token_id": 0,
            "position_embedding_type": "absolute",
            "type_vocab_size": 2,
            "vocab_size": 30522,
        },
        109_514_298,
        30522,
    ),  # a bias that is the head's
    "all-MiniLM-L6-v2": (
        {
            "model_type": "bert",
            "architectures": ["BertModel"],
            "hidden_act": "gelu",
            "hidden_size": 384,
            "intermediate_size": 1536,
            "layer_norm_eps": 1e-12,
            "max_position_embeddings": 512,
            "num_attention_heads": 12,
            "num_hidden_layers": 6,
            "pad_token_id": 0,
            "position_embedding_type": "absolute",
            "type_vocab_size": 2,
            "vocab_size": 30522,
        },
        22_713_216,
        147840,
    ),  # a pooler, which no mean needs
    "roberta-base": (
        {
            "model_type": "roberta",
            "architectures": ["RobertaForMaskedLM"],
            "bos_token_id": 0,
            "eos_token_id": 2,
            "hidden_act": "gelu",
            "hidden_size": 768,
            "intermediate_size": 3072,
            "layer_norm_eps": 1e-05,
            "max_position_embeddings": 514,
            "num_attention_heads": 12,
            "num_hidden_layers": 12,
            "pad_token_id": 1,
            "type_vocab_size": 1,
            "vocab_size": 50265,
        },
        124_697_433,
        50265,
    ),  # a bias that is the head's
    "distilbert-base-uncased": (
        {
            "model_type": "distilbert",
            "activation": "gelu",
            "architectures": ["DistilBertForMaskedLM"],
            "attention_dropout": 0.1,
            "dim": 768,
            "dropout": 0.1,
            "hidden_dim": 3072,
            "max_position_embeddings": 512,
            "n_heads": 12,
            "n_layers": 6,
            "pad_token_id": 0,
            "sinusoidal_pos_embds": False,
            "vocab_size": 30522,
        },
        66_985_530,
        0,
    ),
    "distilbert sst-2": (
        {
            "model_type": "distilbert",
            "activation": "gelu",
            "architectures": ["DistilBertForSequenceClassification"],
            "dim": 768,
            "hidden_dim": 3072,
            "id2label": {"0": "NEGATIVE", "1": "POSITIVE"},
            "max_position_embeddings": 512,
            "n_heads": 12,
            "n_layers": 6,
            "sinusoidal_pos_embds": False,
            "vocab_size": 30522,
        },
        66_955_010,
        0,
    ),
    "ModernBERT-base": (
        {
            "model_type": "modernbert",
            "architectures": ["ModernBertForMaskedLM"],
            "attention_bias": False,
            "classifier_activation": "gelu",
            "classifier_bias": False,
            "classifier_pooling": "mean",
            "decoder_bias": True,
            "global_attn_every_n_layers": 3,
            "global_rope_theta": 160000.0,
            "hidden_activation": "gelu",
            "hidden_size": 768,
            "intermediate_size": 1152,
            "layer_norm_eps": 1e-05,
            "local_attention": 128,
            "local_rope_theta": 10000.0,
            "max_position_embeddings": 8192,
            "mlp_bias": False,
            "norm_bias": False,
            "norm_eps": 1e-05,
            "num_attention_heads": 12,
            "num_hidden_layers": 22,
            "position_embedding_type": "absolute",
            "tie_word_embeddings": True,
            "vocab_size": 50368,
        },
        149_655_232,
        0,
    ),
}


@pytest.mark.parametrize("name", RELEASED)
def test_a_released_config_gives_a_model_of_the_published_size(name: str) -> None:
    config, published, spared = RELEASED[name]
    module = family(config["model_type"])
    with torch.device("meta"):
        model = module.Model(module.Config.read(Reader(config, name)))
    held = sum(weight.numel() for key, weight in model.named_parameters() if key not in model.optional)
    assert held + spared == published


def read(name: str, **changes: Any) -> Any:
    config = {**RELEASED[name][0], **changes}
    return family(config["model_type"]).Config.read(Reader(config, name))


def test_what_the_years_left_out_has_its_family_s_default() -> None:
    assert read("t5-small").scaled and not read("flan-t5-base").scaled
    assert read("flan-t5-base").activation == "gelu_new"
    assert read("opus-mt-en-de").activation == "silu"
    assert read("blenderbot-400M-distill").context == 128
    assert read("roberta-base").context == 512
    assert read("ModernBERT-base").local == tuple(index % 3 > 0 for index in range(22))
    assert read("ModernBERT-base").pooling == "mean"


def test_what_a_checkpoint_was_made_for_is_read_from_its_architecture() -> None:
    assert [read(name).use for name in ("bert-base-uncased", "all-MiniLM-L6-v2", "distilbert sst-2")] == [
        "fill", "embed", "classify",
    ]  # fmt: skip
    assert read("distilbert sst-2").labels == ("NEGATIVE", "POSITIVE")
    assert read("distilbert sst-2").exclusive


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("t5-small", "feed_forward_proj", "gated-relu6"),
        ("t5-small", "architectures", ["T5EncoderModel"]),
        ("bart-base", "architectures", ["BartForSequenceClassification"]),
        ("bart-base", "decoder_attention_heads", 7),
        ("opus-mt-en-de", "activation_function", "mish"),
        ("bert-base-uncased", "position_embedding_type", "relative_key"),
        ("bert-base-uncased", "architectures", ["BertForTokenClassification"]),
        ("bert-base-uncased", "is_decoder", True),
        ("roberta-base", "quantization_config", {"bits": 4}),
        ("ModernBERT-base", "layer_types", ["full_attention"]),
    ],
)
def test_what_is_not_run_is_refused_by_key_and_value(name: str, key: str, value: Any) -> None:
    with pytest.raises(UnsupportedModel, match=key):
        read(name, **{key: value})
