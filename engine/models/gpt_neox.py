"""The GPT-NeoX architecture, as in GPT-NeoX-20B and Pythia.

Rotary positions on a part of each head, one fused projection, attention and feed-forward side by side or one after the
other. Parameter names are the checkpoint's. Source: transformers' modeling_gpt_neox.py, whose logits the tests compare
with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from torch import Tensor, nn

from engine.models.base import Decoder, Reader, Remember, Signal, Span
from engine.models.layers import (
    ACTIVATIONS,
    DenseMLP,
    Embedding,
    LayerTap,
    Mask,
    Rotary,
    RotaryConfig,
    Table,
    attend,
    fused_heads,
    vocabulary_scores,
)
from engine.models.reading import heads_of, plain_decoder, read_rotary


@dataclass(frozen=True, slots=True)
class Config:
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    width: int
    hidden: int
    vocabulary: int
    context: int
    rotary: RotaryConfig
    parallel: bool
    epsilon: float
    activation: str
    attention_bias: bool
    tied: bool

    @classmethod
    def read(cls, reader: Reader) -> Self:
        plain_decoder(reader, "GPTNeoXForCausalLM")
        width, heads = reader.count("hidden_size"), reader.count("num_attention_heads")
        head_dim = heads_of(reader, width, heads)
        context = reader.count("max_position_embeddings", 2048)
        return cls(
            layers=reader.count("num_hidden_layers", most=1024),
            heads=heads,
            kv_heads=heads,
            head_dim=head_dim,
            width=width,
            hidden=reader.count("intermediate_size"),
            vocabulary=reader.count("vocab_size", most=2**24),
            context=context,
            rotary=_read_rotary(reader, context, head_dim),
            parallel=reader.take("use_parallel_residual", bool, True),
            epsilon=reader.positive("layer_norm_eps", 1e-5),
            activation=reader.choice("hidden_act", tuple(ACTIVATIONS), "gelu"),
            attention_bias=reader.take("attention_bias", bool, True),
            tied=reader.take("tie_word_embeddings", bool, False),
        )


def _read_rotary(reader: Reader, context: int, head_dim: int) -> RotaryConfig:
    """As elsewhere, but for the names of base and fraction in the older dialect."""
    rotary = read_rotary(reader, context, reader.positive("rotary_emb_base", 10000.0), partial=True)
    scaling = reader.inner("rope_parameters") or reader.inner("rope_scaling")
    if scaling is None or not scaling.has("partial_rotary_factor"):
        rotary = replace(rotary, fraction=reader.positive("rotary_pct", 0.25))
    turned = int(head_dim * rotary.fraction)
    if turned % 2 or not 0 < turned <= head_dim:
        raise reader.refusal("rotary_pct", rotary.fraction, f"It has to give an even part of {head_dim} channels.")
    return rotary


class Attention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self._H, self._D = config.heads, config.head_dim
        self.query_key_value = nn.Linear(config.width, 3 * config.width, bias=config.attention_bias)
        self.dense = nn.Linear(config.width, config.width, bias=config.attention_bias)

    def forward(self, x: Tensor, table: Table, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        q, k, v = fused_heads(self.query_key_value(x), self._H, self._D)
        result: Tensor = self.dense(attend(q, k, v, table, mask, remember, self._D**-0.5, tap))
        return result


class Block(nn.Module):
    """What both orders have."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.input_layernorm = nn.LayerNorm(config.width, config.epsilon)
        self.post_attention_layernorm = nn.LayerNorm(config.width, config.epsilon)
        self.attention = Attention(config)
        self.mlp = DenseMLP(config.width, config.hidden, True, config.activation)


class ParallelBlock(Block):
    """Attention and feed-forward side by side."""

    def forward(self, x: Tensor, table: Table, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        y = self.attention(self.input_layernorm(x), table, mask, remember, tap)
        result: Tensor = x + y + self.mlp(self.post_attention_layernorm(x))
        return result


class SerialBlock(Block):
    """Attention, then feed-forward."""

    def forward(self, x: Tensor, table: Table, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        x = x + self.attention(self.input_layernorm(x), table, mask, remember, tap)
        result: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return result


class Trunk(nn.Module):
    """What the checkpoint's names begin with "gpt_neox." for."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        block = ParallelBlock if config.parallel else SerialBlock
        self.embed_in = Embedding(config.vocabulary, config.width)
        self.layers = nn.ModuleList(block(config) for _ in range(config.layers))
        self.final_layer_norm = nn.LayerNorm(config.width, config.epsilon)


class Model(Decoder):
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.gpt_neox = Trunk(config)
        self.embed_out = None if config.tied else nn.Linear(config.width, config.vocabulary, bias=False)
        self._rotary = Rotary(config.rotary, config.head_dim)

    def embed(self, ids: Tensor, span: Span) -> Tensor:
        x: Tensor = self.gpt_neox.embed_in(ids)
        return x

    def positions(self, span: Span, x: Tensor) -> Table:
        return self._rotary.over(span, x)

    def signals(self, where: Tensor) -> list[Signal]:
        return [Signal("rotary", self._rotary.angles(where))]

    def blocks(self) -> nn.ModuleList:
        return self.gpt_neox.layers

    def head(self, x: Tensor) -> Tensor:
        return vocabulary_scores(self.gpt_neox.final_layer_norm(x), self.embed_out, self.gpt_neox.embed_in)

    def rename(self, name: str) -> str | None:
        if name.endswith((".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq")):
            return None  # causal masks and frequencies, which older files carry
        if name in ("embed_out.weight", "lm_head.weight"):  # the second is transformers' name since 5
            return None if self.config.tied else "embed_out.weight"
        return name
