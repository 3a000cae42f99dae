"""The GGUF architectures: their metadata in the words of a config.json, and what their converters changed in weights.

An architecture is a row of the table below. Its config goes through the same strict reading as any other; its changes
are undone when a tensor is read. Source: llama.cpp's convert_hf_to_gguf.py, which makes these files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.errors import BadModelFiles, EngineError, UnsupportedModel
from engine.gguf import GGUF, Strings
from engine.models.reader import REQUIRED, Reader

Config = dict[str, Any]
LARGEST_CONTEXT = 2**31 - 1


class Keys:
    """A file's metadata under its architecture's name."""

    def __init__(self, file: GGUF, architecture: str) -> None:
        self.file = file
        self._prefix = f"{architecture}."
        self._reader = Reader(file.metadata, file.name)

    def count(self, key: str, default: int = REQUIRED, most: int = 2**20) -> int:
        return self._reader.count(self._prefix + key, default, most)

    def number(self, key: str, default: float = REQUIRED) -> float:
        return self._reader.positive(self._prefix + key, default)

    def flag(self, key: str, default: bool) -> bool:
        return self._reader.take(self._prefix + key, bool, default)

    def optional(self, key: str) -> Any:
        """The value as it is, None where there is none: the family's own reading judges it."""
        return self.file.metadata.get(self._prefix + key)

    def has(self, tensor: str) -> bool:
        return tensor in self.file.tensors

    @property
    def vocabulary(self) -> int | None:
        embedding, tokens = self.file.tensors.get("token_embd.weight"), self.file.metadata.get("tokenizer.ggml.tokens")
        if embedding is not None:
            return embedding.shape[0]
        return self.optional("vocab_size") or (tokens.count if isinstance(tokens, Strings) else None)


@dataclass(frozen=True, slots=True)
class Architecture:
    """config: from metadata. rows: where each of a tensor's count rows now lies, by its name; None for as they are.

    transposed: ends of the names of matrices that lie transposed; plus_one: whether norms were written one too large.
    """

    config: Callable[[Keys], Config]
    rows: Callable[[str, Config, int], np.ndarray | None] = lambda name, config, count: None
    transposed: tuple[str, ...] = ()
    plus_one: bool = False


def architecture(file: GGUF) -> tuple[Architecture, Config]:
    """The file's architecture and its config; UnsupportedModel names one that is not here."""
    name = file.take("general.architecture", str, "")
    try:
        if name not in ARCHITECTURES:
            raise UnsupportedModel(
                f"{file.name} holds a model of the architecture {name!r}, which cannot be run yet.",
                f"These can: {', '.join(sorted(ARCHITECTURES))}.",
            )
        return ARCHITECTURES[name], ARCHITECTURES[name].config(Keys(file, name))
    except EngineError:
        if file.tensors:
            raise
        raise no_weights(file) from None  # what a vocabulary's file says of the model may be incomplete


def no_weights(file: GGUF) -> BadModelFiles:
    return BadModelFiles(f"{file.name} holds only a vocabulary, no weights.", "It can be used to turn text into ids.")


# --- configs ----------------------------------------------------------------------------------------------------------


def _trunk(keys: Keys, model_type: str, **more: Any) -> Config:
    """What Llama and its kin are told."""
    width, heads = keys.count("embedding_length"), keys.count("attention.head_count")
    head_dim = keys.count("attention.key_length", max(1, width // heads))
    if keys.count("attention.value_length", head_dim) != head_dim:
        raise UnsupportedModel(
            f"{keys.file.name} has values of another width than keys, which Vitrine cannot do yet.",
            "Look for another version of the model.",
        )
    return {
        "model_type": model_type,
        "hidden_size": width,
        "num_hidden_layers": keys.count("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": keys.count("attention.head_count_kv", heads),
        "head_dim": head_dim,
        "intermediate_size": keys.count("feed_forward_length"),
        "vocab_size": keys.vocabulary,
        "max_position_embeddings": keys.count("context_length", most=LARGEST_CONTEXT),
        "rms_norm_eps": keys.number("attention.layer_norm_rms_epsilon"),
        "rope_parameters": _rope(keys, head_dim),
        "tie_word_embeddings": not keys.has("output.weight"),
        "num_local_experts": keys.optional("expert_count") or None,
    } | more


def _rope(keys: Keys, head_dim: int, default_theta: float = 10000.0) -> Config:
    kind = keys.optional("rope.scaling.type")
    rope: Config = {
        "rope_type": "default" if kind in (None, "none") else kind,
        "rope_theta": keys.number("rope.freq_base", default_theta),
        "factor": keys.optional("rope.scaling.factor"),
        "original_max_position_embeddings": keys.optional("rope.scaling.original_context_length"),
        "attention_factor": keys.optional("rope.scaling.attn_factor"),
        "beta_fast": keys.optional("rope.scaling.yarn_beta_fast"),
        "beta_slow": keys.optional("rope.scaling.yarn_beta_slow"),
    }
    turned = keys.count("rope.dimension_count", head_dim)
    if turned != head_dim:
        rope["partial_rotary_factor"] = turned / head_dim
    if keys.has("rope_freqs.weight"):
        rope |= _llama3(keys.file, rope["rope_theta"], turned)
    return {key: value for key, value in rope.items() if value is not None}


def _llama3(file: GGUF, theta: float, turned: int) -> Config:
    """The scaling that the factors in rope_freqs come from: Llama 3.1's, with the file's own largest factor."""
    factors = file.floats("rope_freqs.weight")
    settings = {"factor": float(factors.max()), "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    turns = 8192 * theta ** -(np.arange(0, turned, 2) / turned) / (2 * np.pi)
    blend = ((turns - 1.0) / 3.0).clip(0.0, 1.0)
    expected = 1 / (blend + (1 - blend) / settings["factor"])
    if expected.shape != factors.shape or not np.allclose(expected, factors, rtol=1e-4):
        raise UnsupportedModel(
            f"{file.name} scales its rotary positions by factors that are not Llama 3's, which Vitrine cannot do yet.",
            "Use the model's safetensors version.",
        )
    return {"rope_type": "llama3", "original_max_position_embeddings": 8192, **settings}


def _llama(keys: Keys) -> Config:
    if keys.optional("expert_count"):
        return _trunk(keys, "mixtral", num_experts_per_tok=keys.count("expert_used_count"))
    return _trunk(keys, "llama", attention_bias=keys.has("blk.0.attn_q.bias"), mlp_bias=keys.has("blk.0.ffn_up.bias"))


def _qwen3(keys: Keys) -> Config:
    return _trunk(keys, "qwen3", attention_bias=keys.has("blk.0.attn_q.bias"))


def _qwen3_moe(keys: Keys) -> Config:
    chosen, hidden = keys.count("expert_used_count"), keys.count("feed_forward_length")
    return _trunk(
        keys,
        "qwen3_moe",
        attention_bias=keys.has("blk.0.attn_q.bias"),
        num_experts_per_tok=chosen,
        moe_intermediate_size=keys.count("expert_feed_forward_length", max(1, hidden // chosen)),
        norm_topk_prob=True,
    )


def _gemma(keys: Keys, model_type: str, largest: int, **more: Any) -> Config:
    """largest: the layers of the one model of the family that scales its queries by another width than a head's."""
    config = _trunk(
        keys,
        model_type,
        hidden_activation="gelu_pytorch_tanh",
        sliding_window=keys.optional("attention.sliding_window"),
        attn_logit_softcapping=keys.optional("attn_logit_softcapping"),
        final_logit_softcapping=keys.optional("final_logit_softcapping"),
        **more,
    )
    same = config["hidden_size"] / config["num_attention_heads"]
    config["query_pre_attn_scalar"] = same if config["num_hidden_layers"] == largest else config["head_dim"]
    return config


def _gemma2(keys: Keys) -> Config:
    """Files of the family's first weeks do not say the caps; all its models have the same."""
    config = _gemma(keys, "gemma2", 46)
    caps = {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
    return config | {key: cap for key, cap in caps.items() if config[key] is None}


def _gemma3(keys: Keys) -> Config:
    config = _gemma(keys, "gemma3_text", 62, rope_local_base_freq=keys.optional("rope.freq_base_swa"))
    return config | {"rope_parameters": _rope(keys, config["head_dim"], 1_000_000.0)}


def _phi3(keys: Keys) -> Config:
    config = _trunk(
        keys,
        "phi3",
        sliding_window=keys.optional("attention.sliding_window") or None,
        original_max_position_embeddings=keys.optional("rope.scaling.original_context_length"),
    )
    if keys.has("rope_factors_short.weight") and keys.has("rope_factors_long.weight"):
        short, long = (keys.file.floats(f"rope_factors_{name}.weight").tolist() for name in ("short", "long"))
        config["rope_parameters"] |= {"rope_type": "longrope", "short_factor": short, "long_factor": long}
    return config


def _gpt2(keys: Keys) -> Config:
    return {
        "model_type": "gpt2",
        "n_embd": keys.count("embedding_length"),
        "n_layer": keys.count("block_count"),
        "n_head": keys.count("attention.head_count"),
        "n_inner": keys.count("feed_forward_length"),
        "n_positions": keys.count("context_length"),
        "vocab_size": keys.vocabulary,
        "layer_norm_epsilon": keys.number("attention.layer_norm_epsilon"),
        "tie_word_embeddings": not keys.has("output.weight"),
    }


def _gpt_neox(keys: Keys) -> Config:
    width, heads = keys.count("embedding_length"), keys.count("attention.head_count")
    return {
        "model_type": "gpt_neox",
        "hidden_size": width,
        "num_hidden_layers": keys.count("block_count"),
        "num_attention_heads": heads,
        "intermediate_size": keys.count("feed_forward_length"),
        "max_position_embeddings": keys.count("context_length"),
        "vocab_size": keys.vocabulary,
        "layer_norm_eps": keys.number("attention.layer_norm_epsilon"),
        "rotary_pct": keys.count("rope.dimension_count") / max(1, width // heads),
        "rotary_emb_base": keys.optional("rope.freq_base"),
        "use_parallel_residual": keys.flag("use_parallel_residual", True),
        "attention_bias": keys.has("blk.0.attn_qkv.bias"),
        "tie_word_embeddings": not keys.has("output.weight"),
    }


def _falcon(keys: Keys) -> Config:
    heads = keys.count("attention.head_count")
    kv_heads = keys.count("attention.head_count_kv", heads)
    return {
        "model_type": "falcon",
        "hidden_size": keys.count("embedding_length"),
        "num_hidden_layers": keys.count("block_count"),
        "num_attention_heads": heads,
        "num_kv_heads": kv_heads,
        "multi_query": kv_heads == 1,
        "new_decoder_architecture": keys.has("blk.0.attn_norm_2.weight"),
        "ffn_hidden_size": keys.count("feed_forward_length"),
        "max_position_embeddings": keys.count("context_length"),
        "vocab_size": keys.vocabulary,
        "layer_norm_epsilon": keys.number("attention.layer_norm_epsilon"),
        "rope_theta": keys.optional("rope.freq_base"),
        "bias": keys.has("blk.0.attn_qkv.bias"),
        "tie_word_embeddings": not keys.has("output.weight"),
    }


def _bloom(keys: Keys) -> Config:
    return {
        "model_type": "bloom",
        "hidden_size": keys.count("embedding_length"),
        "n_layer": keys.count("block_count"),
        "n_head": keys.count("attention.head_count"),
        "seq_length": keys.count("context_length"),
        "vocab_size": keys.vocabulary,
        "layer_norm_epsilon": keys.number("attention.layer_norm_epsilon"),
        "tie_word_embeddings": not keys.has("output.weight"),
    }


def _t5(keys: Keys) -> Config:
    layers = keys.count("block_count")
    return {
        "model_type": "t5",
        "is_encoder_decoder": True,
        "d_model": keys.count("embedding_length"),
        "d_kv": keys.count("attention.key_length"),
        "d_ff": keys.count("feed_forward_length"),
        "num_layers": layers,
        "num_decoder_layers": keys.count("decoder_block_count", layers),
        "num_heads": keys.count("attention.head_count"),
        "vocab_size": keys.vocabulary,
        "relative_attention_num_buckets": keys.count("attention.relative_buckets_count"),
        "layer_norm_epsilon": keys.number("attention.layer_norm_rms_epsilon"),
        "feed_forward_proj": "gated-gelu" if keys.has("enc.blk.0.ffn_gate.weight") else "relu",
        "decoder_start_token_id": keys.optional("decoder_start_token_id"),
        "tie_word_embeddings": not keys.has("output.weight"),
    }


def _bert(keys: Keys) -> Config:
    """These files hold no head: they embed."""
    types = keys.file.tensors.get("token_types.weight")
    return {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_size": keys.count("embedding_length"),
        "num_hidden_layers": keys.count("block_count"),
        "num_attention_heads": keys.count("attention.head_count"),
        "intermediate_size": keys.count("feed_forward_length"),
        "max_position_embeddings": keys.count("context_length"),
        "type_vocab_size": types.shape[0] if types is not None else 2,
        "vocab_size": keys.vocabulary,
        "layer_norm_eps": keys.number("attention.layer_norm_epsilon"),
    }


# --- rows -------------------------------------------------------------------------------------------------------------


def _paired_rows(name: str, config: Config, count: int) -> np.ndarray | None:
    """Llama's queries and keys: rotary pairs lie side by side there, half a head apart here."""
    if ".attn_q." not in name and ".attn_k." not in name:
        return None
    heads = config["num_attention_heads"] if ".attn_q." in name else config["num_key_value_heads"]
    order = np.arange(count).reshape(heads, -1, 2)
    return order.swapaxes(1, 2).ravel()


def _headwise_rows(name: str, config: Config, count: int) -> np.ndarray | None:
    """Bloom's and GPT-NeoX's fused projection: all queries, keys, values there; query, key, value a head here."""
    if ".attn_qkv." not in name:
        return None
    heads = config.get("n_head") or config["num_attention_heads"]
    order = np.arange(count).reshape(3, heads, -1)
    return order.swapaxes(0, 1).ravel()


def _groupwise_rows(name: str, config: Config, count: int) -> np.ndarray | None:
    """Falcon's fused projection: all queries, keys, values there; a group's queries, key and value together here."""
    if ".attn_qkv." not in name:
        return None
    H, K = config["num_attention_heads"], config["num_kv_heads"]
    order = np.arange(count).reshape(H + 2 * K, -1)
    q, k, v = order[:H], order[H : H + K], order[H + K :]
    return np.concatenate((q.reshape(K, H // K, -1), k[:, None], v[:, None]), 1).ravel()


ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture(_llama, _paired_rows),
    "qwen2": Architecture(lambda keys: _trunk(keys, "qwen2")),
    "qwen3": Architecture(_qwen3),
    "qwen3moe": Architecture(_qwen3_moe),
    "gemma2": Architecture(_gemma2, plus_one=True),
    "gemma3": Architecture(_gemma3, plus_one=True),
    "phi3": Architecture(_phi3),
    "gpt2": Architecture(
        _gpt2, transposed=("attn_qkv.weight", "attn_output.weight", "ffn_up.weight", "ffn_down.weight")
    ),
    "gptneox": Architecture(_gpt_neox, _headwise_rows),
    "bloom": Architecture(_bloom, _headwise_rows),
    "falcon": Architecture(_falcon, _groupwise_rows),
    "t5": Architecture(_t5),
    "bert": Architecture(_bert),
}
