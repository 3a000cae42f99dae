"""What Llama and its kin have in common: the config's keys, grouped heads, pre-norm blocks, embedding, norm and head.

Everything here can be replaced in a family's file, and nothing here knows which family it serves. Parameter names are
those that all these checkpoints share.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.models.base import Decoder, Reader, Remember, Signal, Span
from engine.models.layers import (
    ACTIVATIONS,
    Embedding,
    GatedMLP,
    LayerTap,
    Mask,
    Rotary,
    RotaryConfig,
    ShiftedRMSNorm,
    Table,
    attend,
    heads,
    project,
    vocabulary_scores,
)
from engine.models.reading import heads_of, plain_decoder, read_rotary

LARGEST_CONTEXT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class TrunkConfig:
    """What all of them say of themselves. kv_heads: each serves heads / kv_heads query heads."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    width: int
    hidden: int
    vocabulary: int
    context: int
    epsilon: float
    activation: str
    tied: bool
    rotary: RotaryConfig


def read_trunk(
    reader: Reader,
    *architectures: str,
    head_dim: int | None = None,
    epsilon: float = 1e-6,
    context: int = 2048,
    tied: bool = False,
    activation_key: str = "hidden_act",
    activation: str = "silu",
    rotary: RotaryConfig | None = None,
    theta: float = 10000.0,
    partial: bool = False,
) -> dict[str, Any]:
    """The fields of TrunkConfig; the arguments are the family's defaults for keys that may be missing.

    rotary: where the family reads these settings itself. partial: whether it can turn a part of each head.
    """
    plain_decoder(reader, *architectures)
    width, count = reader.count("hidden_size"), reader.count("num_attention_heads")
    kv_heads = reader.count("num_key_value_heads", count)
    if count % kv_heads:
        raise reader.refusal("num_key_value_heads", kv_heads, f"It has to divide the {count} attention heads.")
    if head_dim is None and not reader.has("head_dim"):
        head_dim = heads_of(reader, width, count)
    head_dim = reader.count("head_dim", head_dim or 1)
    context = reader.count("max_position_embeddings", context, most=LARGEST_CONTEXT)
    rotary = rotary or read_rotary(reader, context, theta, partial)
    if int(head_dim * rotary.fraction) % 2:
        raise reader.refusal("head_dim", head_dim, "Rotary positions need an even width.")
    return {
        "layers": reader.count("num_hidden_layers", most=1024),
        "heads": count,
        "kv_heads": kv_heads,
        "head_dim": head_dim,
        "width": width,
        "hidden": reader.count("intermediate_size"),
        "vocabulary": reader.count("vocab_size", most=2**24),
        "context": context,
        "epsilon": reader.positive("rms_norm_eps", epsilon),
        "activation": reader.choice(activation_key, tuple(ACTIVATIONS), activation),
        "tied": reader.take("tie_word_embeddings", bool, tied),
        "rotary": rotary,
    }


def read_layer_types(reader: Reader, layers: int) -> list[str] | None:
    """The kind of attention of each layer, "full_attention" or "sliding_attention"; None where the config is silent."""
    if not reader.has("layer_types"):
        return None
    types = reader.take("layer_types", list)
    for name in types:
        if name not in ("full_attention", "sliding_attention"):
            raise reader.refusal("layer_types", name, "It can do full_attention and sliding_attention.")
    if len(types) < layers:
        raise reader.refusal("layer_types", types, f"It has to name {layers} layers.")
    return types[:layers]


def read_window(reader: Reader, default: int | None = None) -> int | None:
    """The window that sliding_window gives; none where it is null, the default where it is absent."""
    if reader.nulls("sliding_window") or (default is None and not reader.has("sliding_window")):
        return None
    return reader.count("sliding_window", default or 1, most=LARGEST_CONTEXT)


def read_late_windows(reader: Reader, layers: int) -> tuple[int | None, ...]:
    """Windows as Qwen's configs give them: none unless use_sliding_window, then from layer max_window_layers on."""
    window = read_window(reader, 4096) if reader.take("use_sliding_window", bool, False) else None
    types = read_layer_types(reader, layers)
    if types is None:
        first = reader.take("max_window_layers", int, 28)
        return tuple(window if index >= first else None for index in range(layers))
    return tuple(window if name == "sliding_attention" else None for name in types)


def read_chosen(reader: Reader, experts: int, default: int) -> int:
    """How many experts each position takes."""
    chosen = reader.count("num_experts_per_tok", default)
    if chosen > experts:
        raise reader.refusal("num_experts_per_tok", chosen, f"It has {experts} experts.")
    return chosen


class GroupedAttention(nn.Module):
    """Rotary attention with grouped heads. A family that treats queries or keys first overrides `project`."""

    def __init__(
        self,
        config: TrunkConfig,
        bias: bool = False,
        out_bias: bool = False,
        scale: float | None = None,
        softcap: float | None = None,
    ) -> None:
        super().__init__()
        C, D = config.width, config.head_dim
        self._D = D
        self.scale = D**-0.5 if scale is None else scale
        self.softcap = softcap
        self.q_proj = nn.Linear(C, config.heads * D, bias=bias)
        self.k_proj = nn.Linear(C, config.kv_heads * D, bias=bias)
        self.v_proj = nn.Linear(C, config.kv_heads * D, bias=bias)
        self.o_proj = nn.Linear(config.heads * D, C, bias=out_bias)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [B, T, C] to q [B, T, H, D], k and v [B, T, K, D]."""
        q, k, v = project(x, self.q_proj, self.k_proj, self.v_proj)
        return heads(q, self._D), heads(k, self._D), heads(v, self._D)

    def forward(self, x: Tensor, table: Table | None, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        y = attend(*self.project(x), table, mask, remember, self.scale, tap, self.softcap)
        result: Tensor = self.o_proj(y)
        return result


class NormedAttention(GroupedAttention):
    """The same with a norm on every head's queries and keys."""

    def __init__(self, config: TrunkConfig, bias: bool) -> None:
        super().__init__(config, bias, bias)
        self.q_norm = nn.RMSNorm(config.head_dim, config.epsilon)
        self.k_norm = nn.RMSNorm(config.head_dim, config.epsilon)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = super().project(x)
        return self.q_norm(q), self.k_norm(k), v


class PreNormBlock(nn.Module):
    """A norm before attention and one before the feed-forward part, each added to what came in."""

    def __init__(self, config: TrunkConfig, self_attn: nn.Module, mlp: nn.Module) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.width, config.epsilon)
        self.self_attn = self_attn
        self.post_attention_layernorm = nn.RMSNorm(config.width, config.epsilon)
        self.mlp = mlp

    def forward(self, x: Tensor, table: Table | None, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), table, mask, remember, tap)
        result: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return result


class SandwichBlock(nn.Module):
    """Gemma's: a norm before and one behind attention, and the same around the feed-forward part."""

    def __init__(self, config: TrunkConfig, self_attn: nn.Module) -> None:
        super().__init__()
        self.input_layernorm = ShiftedRMSNorm(config.width, config.epsilon)
        self.self_attn = self_attn
        self.post_attention_layernorm = ShiftedRMSNorm(config.width, config.epsilon)
        self.pre_feedforward_layernorm = ShiftedRMSNorm(config.width, config.epsilon)
        self.mlp = GatedMLP(config.width, config.hidden, False, config.activation)
        self.post_feedforward_layernorm = ShiftedRMSNorm(config.width, config.epsilon)

    def forward(self, x: Tensor, positions: Any, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        y = self.self_attn(self.input_layernorm(x), positions, mask, remember, tap)
        x = x + self.post_attention_layernorm(y)
        y = self.mlp(self.pre_feedforward_layernorm(x))
        result: Tensor = x + self.post_feedforward_layernorm(y)
        return result


class Trunk(nn.Module):
    """What the checkpoint's names begin with "model." for."""

    def __init__(self, config: TrunkConfig, blocks: Iterable[nn.Module], norm: nn.Module) -> None:
        super().__init__()
        self.embed_tokens = Embedding(config.vocabulary, config.width)
        self.layers = nn.ModuleList(blocks)
        self.norm = norm


def scaled(embedding: Tensor) -> Tensor:
    """Gemma's embeddings times the root of their width, rounded to their precision as the reference does."""
    return embedding * torch.tensor(embedding.shape[-1] ** 0.5, dtype=embedding.dtype, device=embedding.device)


class TrunkDecoder(Decoder):
    """A decoder of such blocks; norm is the last one, an nn.RMSNorm unless the family has its own."""

    def __init__(self, config: TrunkConfig, blocks: Iterable[nn.Module], norm: nn.Module | None = None) -> None:
        super().__init__()
        self.config: TrunkConfig = config
        self.model = Trunk(config, blocks, norm or nn.RMSNorm(config.width, config.epsilon))
        self.lm_head = None if config.tied else nn.Linear(config.width, config.vocabulary, bias=False)
        self._rotary = Rotary(config.rotary, config.head_dim)

    def embed(self, ids: Tensor, span: Span) -> Tensor:
        x: Tensor = self.model.embed_tokens(ids)
        return x

    def positions(self, span: Span, x: Tensor) -> object:
        return self._rotary.over(span, x)

    def signals(self, where: Tensor) -> list[Signal]:
        return [Signal("rotary", self._rotary.angles(where))]

    def blocks(self) -> nn.ModuleList:
        return self.model.layers

    def head(self, x: Tensor) -> Tensor:
        return vocabulary_scores(self.model.norm(x), self.lm_head, self.model.embed_tokens)

    def rename(self, name: str) -> str | None:
        if name.endswith(".rotary_emb.inv_freq"):  # computed from the config; files of 2023 carry it
            return None
        return None if name == "lm_head.weight" and self.config.tied else name
