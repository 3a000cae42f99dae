"""The Falcon architecture in its three layouts: multi-query (7B), grouped with two norms (40B, 11B), serial (RW).

A fused projection lies group by group in all of them; positions are rotary or ALiBi. Parameter names are the
checkpoint's. Source: transformers' modeling_falcon.py, whose logits the tests compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    alibi,
    alibi_slopes,
    attend,
    distant,
    fused_heads,
    vocabulary_scores,
)
from engine.models.reading import heads_of, plain_decoder, read_rotary


@dataclass(frozen=True, slots=True)
class Config:
    """layout: how a block's parts follow each other, a key of BLOCKS. rotary: None where ALiBi tells the positions."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    width: int
    hidden: int
    vocabulary: int
    context: int
    layout: str
    rotary: RotaryConfig | None
    epsilon: float
    activation: str
    bias: bool
    tied: bool

    @classmethod
    def read(cls, reader: Reader) -> Self:
        plain_decoder(reader, "FalconForCausalLM")
        width = reader.count(reader.named("n_embed", "hidden_size"))
        heads = reader.count("num_attention_heads")
        head_dim = heads_of(reader, width, heads)
        grouped = reader.take("new_decoder_architecture", bool, False)
        kv_heads = 1 if reader.take("multi_query", bool, True) else heads
        if grouped:
            kv_heads = reader.count("num_kv_heads", heads)
            if heads % kv_heads:
                raise reader.refusal("num_kv_heads", kv_heads, f"It has to divide the {heads} attention heads.")
        if not reader.take("parallel_attn", bool, True):
            reader.choice("new_decoder_architecture", (False,), False)
            layout = "serial"
        elif reader.choice("num_ln_in_parallel_attn", (1, 2) if grouped else (1,), 2 if grouped else 1) == 2:
            layout = "two norms"
        else:
            layout = "one norm"
        context = reader.count("max_position_embeddings", 2048)
        rotary = None if reader.take("alibi", bool, False) else read_rotary(reader, context)
        if rotary is not None and head_dim % 2:
            raise reader.refusal("hidden_size", width, f"Rotary positions need {heads} heads of even width.")
        return cls(
            layers=reader.count("num_hidden_layers", most=1024),
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            width=width,
            hidden=reader.count("ffn_hidden_size", 4 * width),
            vocabulary=reader.count("vocab_size", most=2**24),
            context=context,
            layout=layout,
            rotary=rotary,
            epsilon=reader.positive("layer_norm_epsilon", 1e-5),
            activation=reader.choice("activation", tuple(ACTIVATIONS), "gelu"),
            bias=reader.take("bias", bool, False),
            tied=reader.take("tie_word_embeddings", bool, True),
        )


Positions = tuple[Table | None, Tensor | None]
"""The rotary table or the ALiBi bias of a pass, the causal mask included; one of them is None."""


class Attention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self._K, self._D = config.kv_heads, config.head_dim
        rows = (config.heads + 2 * config.kv_heads) * config.head_dim
        self.query_key_value = nn.Linear(config.width, rows, bias=config.bias)
        self.dense = nn.Linear(config.width, config.width, bias=config.bias)

    def forward(self, x: Tensor, positions: Positions, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        table, bias = positions
        q, k, v = fused_heads(self.query_key_value(x), self._K, self._D)
        y = attend(q, k, v, table, None if table is None else mask, remember, self._D**-0.5, tap, bias=bias)
        result: Tensor = self.dense(y)
        return result


class Block(nn.Module):
    """What every layout has; the norms and the order are the layout's."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.self_attention = Attention(config)
        self.mlp = DenseMLP(config.width, config.hidden, config.bias, config.activation)


class OneNormBlock(Block):
    """Attention and feed-forward side by side behind one norm."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.input_layernorm = nn.LayerNorm(config.width, config.epsilon)

    def forward(self, x: Tensor, positions: Positions, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        y = self.input_layernorm(x)
        result: Tensor = x + self.self_attention(y, positions, mask, remember, tap) + self.mlp(y)
        return result


class TwoNormBlock(Block):
    """Attention and feed-forward side by side, each behind its own norm."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.ln_attn = nn.LayerNorm(config.width, config.epsilon)
        self.ln_mlp = nn.LayerNorm(config.width, config.epsilon)

    def forward(self, x: Tensor, positions: Positions, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        y = self.self_attention(self.ln_attn(x), positions, mask, remember, tap)
        result: Tensor = x + y + self.mlp(self.ln_mlp(x))
        return result


class SerialBlock(Block):
    """Attention, then feed-forward."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.input_layernorm = nn.LayerNorm(config.width, config.epsilon)
        self.post_attention_layernorm = nn.LayerNorm(config.width, config.epsilon)

    def forward(self, x: Tensor, positions: Positions, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        x = x + self.self_attention(self.input_layernorm(x), positions, mask, remember, tap)
        result: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return result


BLOCKS = {"one norm": OneNormBlock, "two norms": TwoNormBlock, "serial": SerialBlock}


class Trunk(nn.Module):
    """What the checkpoint's names begin with "transformer." for."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.word_embeddings = Embedding(config.vocabulary, config.width)
        self.h = nn.ModuleList(BLOCKS[config.layout](config) for _ in range(config.layers))
        self.ln_f = nn.LayerNorm(config.width, config.epsilon)


class Model(Decoder):
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.transformer = Trunk(config)
        self.lm_head = None if config.tied else nn.Linear(config.width, config.vocabulary, bias=False)
        self._rotary = None if config.rotary is None else Rotary(config.rotary, config.head_dim)

    def embed(self, ids: Tensor, span: Span) -> Tensor:
        x: Tensor = self.transformer.word_embeddings(ids)
        return x

    def positions(self, span: Span, x: Tensor) -> Positions:
        if self._rotary is not None:
            return self._rotary.over(span, x), None
        # In bfloat16 because it was trained with what that rounds to.
        rewards = alibi_slopes(self.config.heads).bfloat16()[:, None].to(x.device) * span.keys(x.device)
        return None, alibi(rewards.float() * self.config.head_dim**-0.5, span.T, x, span.padding)

    def signals(self, where: Tensor) -> list[Signal]:
        if self._rotary is not None:
            return [Signal("rotary", self._rotary.angles(where))]
        return [Signal("alibi", distant(lambda span, x: self.positions(span, x)[1], where))]

    def blocks(self) -> nn.ModuleList:
        return self.transformer.h

    def head(self, x: Tensor) -> Tensor:
        return vocabulary_scores(self.transformer.ln_f(x), self.lm_head, self.transformer.word_embeddings)

    def rename(self, name: str) -> str | None:
        if name.endswith(".rotary_emb.inv_freq"):  # computed from the config
            return None
        return None if name == "lm_head.weight" and self.config.tied else name
