"""The BLOOM architecture: ALiBi in place of positions, a norm behind the embeddings, one fused projection, tied head.

Parameter names are the checkpoint's. Source: transformers' modeling_bloom.py, whose logits the tests compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor, nn

from engine.models.base import Decoder, Reader, Remember, Signal, Span
from engine.models.layers import (
    DenseMLP,
    Embedding,
    LayerTap,
    Mask,
    alibi,
    alibi_slopes,
    attend,
    distant,
    fused_heads,
    vocabulary_scores,
)
from engine.models.reading import heads_of, plain_decoder


@dataclass(frozen=True, slots=True)
class Config:
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    width: int
    vocabulary: int
    context: int
    epsilon: float
    tied: bool

    @classmethod
    def read(cls, reader: Reader) -> Self:
        plain_decoder(reader, "BloomForCausalLM")
        reader.choice("apply_residual_connection_post_layernorm", (False,), False)
        width = reader.count(reader.named("n_embed", "hidden_size"))
        heads = reader.count(reader.named("n_head", "num_attention_heads"))
        return cls(
            layers=reader.count(reader.named("n_layer", "num_hidden_layers"), most=1024),
            heads=heads,
            kv_heads=heads,
            head_dim=heads_of(reader, width, heads),
            width=width,
            vocabulary=reader.count("vocab_size", most=2**24),
            context=reader.count("seq_length", 2048),  # of the training: ALiBi itself knows no end
            epsilon=reader.positive("layer_norm_epsilon", 1e-5),
            tied=reader.take("tie_word_embeddings", bool, True),
        )


class Attention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self._H, self._D = config.heads, config.head_dim
        self.query_key_value = nn.Linear(config.width, 3 * config.width)
        self.dense = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, bias: Tensor, remember: Remember, tap: LayerTap | None) -> Tensor:
        q, k, v = fused_heads(self.query_key_value(x), self._H, self._D)
        result: Tensor = self.dense(attend(q, k, v, None, None, remember, self._D**-0.5, tap, bias=bias))
        return result


class Block(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.input_layernorm = nn.LayerNorm(config.width, config.epsilon)
        self.self_attention = Attention(config)
        self.post_attention_layernorm = nn.LayerNorm(config.width, config.epsilon)
        self.mlp = DenseMLP(config.width, 4 * config.width, True, "gelu_new")

    def forward(self, x: Tensor, bias: Tensor, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        x = x + self.self_attention(self.input_layernorm(x), bias, remember, tap)
        result: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return result


class Trunk(nn.Module):
    """What the checkpoint's names begin with "transformer." for."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.word_embeddings = Embedding(config.vocabulary, config.width)
        self.word_embeddings_layernorm = nn.LayerNorm(config.width, config.epsilon)
        self.h = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.ln_f = nn.LayerNorm(config.width, config.epsilon)


class Model(Decoder):
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.transformer = Trunk(config)
        self.lm_head = None if config.tied else nn.Linear(config.width, config.vocabulary, bias=False)

    def embed(self, ids: Tensor, span: Span) -> Tensor:
        x: Tensor = self.transformer.word_embeddings_layernorm(self.transformer.word_embeddings(ids))
        return x

    def positions(self, span: Span, x: Tensor) -> Tensor:
        penalties = alibi_slopes(self.config.heads)[:, None].to(x.device) * span.keys(x.device)
        return alibi(penalties, span.T, x, span.padding)

    def signals(self, where: Tensor) -> list[Signal]:
        return [Signal("alibi", distant(self.positions, where))]

    def blocks(self) -> nn.ModuleList:
        return self.transformer.h

    def head(self, x: Tensor) -> Tensor:
        return vocabulary_scores(self.transformer.ln_f(x), self.lm_head, self.transformer.word_embeddings)

    def rename(self, name: str) -> str | None:
        if name == "lm_head.weight":
            return None if self.config.tied else name
        return "transformer." + name.removeprefix("transformer.")  # the first files lack it
