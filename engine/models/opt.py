"""The OPT architecture: learned positions that begin at 2, norms before or (350m) behind each part, a tied head.

Embeddings may be narrower than the blocks (350m): a projection leads in, another out. Parameter names are the
checkpoint's. Source: transformers' modeling_opt.py, whose logits the tests compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor, nn

from engine.models.base import Decoder, Reader, Remember, Signal, Span
from engine.models.layers import ACTIVATIONS, Embedding, LayerTap, Mask, attend, heads, project, vocabulary_scores
from engine.models.reading import heads_of, plain_decoder

OFFSET = 2
"""Rows of the position table before that of the first position."""


@dataclass(frozen=True, slots=True)
class Config:
    """embedded: width of the embeddings. norms_first: norms before attention and feed-forward, else behind them."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    width: int
    hidden: int
    embedded: int
    vocabulary: int
    context: int
    norms_first: bool
    norm_at_end: bool
    norm_weights: bool
    activation: str
    bias: bool
    tied: bool

    @classmethod
    def read(cls, reader: Reader) -> Self:
        plain_decoder(reader, "OPTForCausalLM")
        width, count = reader.count("hidden_size"), reader.count("num_attention_heads")
        norms_first = reader.take("do_layer_norm_before", bool, True)
        return cls(
            layers=reader.count("num_hidden_layers", most=1024),
            heads=count,
            kv_heads=count,
            head_dim=heads_of(reader, width, count),
            width=width,
            hidden=reader.count("ffn_dim"),
            embedded=reader.count("word_embed_proj_dim", width),
            vocabulary=reader.count("vocab_size", most=2**24),
            context=reader.count("max_position_embeddings", 2048),
            norms_first=norms_first,
            norm_at_end=norms_first and not reader.take("_remove_final_layer_norm", bool, False),
            norm_weights=reader.take("layer_norm_elementwise_affine", bool, True),
            activation=reader.choice("activation_function", tuple(ACTIVATIONS), "relu"),
            bias=reader.take("enable_bias", bool, True),
            tied=reader.take("tie_word_embeddings", bool, True),
        )


def _norm(config: Config) -> nn.LayerNorm:
    return nn.LayerNorm(config.width, elementwise_affine=config.norm_weights)


class Attention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        C, bias = config.width, config.bias
        self._D = config.head_dim
        self.k_proj = nn.Linear(C, C, bias=bias)
        self.v_proj = nn.Linear(C, C, bias=bias)
        self.q_proj = nn.Linear(C, C, bias=bias)
        self.out_proj = nn.Linear(C, C, bias=bias)

    def forward(self, x: Tensor, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        q, k, v = (heads(y, self._D) for y in project(x, self.q_proj, self.k_proj, self.v_proj))
        result: Tensor = self.out_proj(attend(q, k, v, None, mask, remember, self._D**-0.5, tap))
        return result


class Block(nn.Module):
    """What both orders have."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.self_attn_layer_norm = _norm(config)
        self.fc1 = nn.Linear(config.width, config.hidden, bias=config.bias)
        self.fc2 = nn.Linear(config.hidden, config.width, bias=config.bias)
        self.final_layer_norm = _norm(config)
        self._activation = ACTIVATIONS[config.activation]

    def mlp(self, x: Tensor) -> Tensor:
        result: Tensor = self.fc2(self._activation(self.fc1(x)))
        return result


class PreNormBlock(Block):
    def forward(self, x: Tensor, positions: None, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        x = x + self.self_attn(self.self_attn_layer_norm(x), mask, remember, tap)
        result: Tensor = x + self.mlp(self.final_layer_norm(x))
        return result


class PostNormBlock(Block):
    def forward(self, x: Tensor, positions: None, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        x = self.self_attn_layer_norm(x + self.self_attn(x, mask, remember, tap))
        result: Tensor = self.final_layer_norm(x + self.mlp(x))
        return result


class Trunk(nn.Module):
    """What the checkpoint's names begin with "model.decoder." for."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        block = PreNormBlock if config.norms_first else PostNormBlock
        narrow = config.embedded != config.width
        self.embed_tokens = Embedding(config.vocabulary, config.embedded)
        self.embed_positions = Embedding(config.context + OFFSET, config.width)
        self.project_in = nn.Linear(config.embedded, config.width, bias=False) if narrow else nn.Identity()
        self.project_out = nn.Linear(config.width, config.embedded, bias=False) if narrow else nn.Identity()
        self.final_layer_norm = _norm(config) if config.norm_at_end else nn.Identity()
        self.layers = nn.ModuleList(block(config) for _ in range(config.layers))


class Model(Decoder):
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.model = nn.ModuleDict({"decoder": Trunk(config)})
        self.lm_head = None if config.tied else nn.Linear(config.embedded, config.vocabulary, bias=False)

    @property
    def trunk(self) -> Trunk:
        trunk = self.model["decoder"]
        assert isinstance(trunk, Trunk)
        return trunk

    def embed(self, ids: Tensor, span: Span) -> Tensor:
        x: Tensor = self.trunk.project_in(self.trunk.embed_tokens(ids))
        return x + self.trunk.embed_positions.weight[OFFSET:][span.rows]

    def positions(self, span: Span, x: Tensor) -> None:
        return None  # learned, and in x already

    def signals(self, where: Tensor) -> list[Signal]:
        return [Signal("learned", self.trunk.embed_positions.weight[OFFSET:][where])]

    def blocks(self) -> nn.ModuleList:
        return self.trunk.layers

    def head(self, x: Tensor) -> Tensor:
        x = self.trunk.project_out(self.trunk.final_layer_norm(x))
        return vocabulary_scores(x, self.lm_head, self.trunk.embed_tokens)

    def rename(self, name: str) -> str | None:
        if name == "lm_head.weight":
            return None if self.config.tied else name
        return "model." + name.removeprefix("model.")  # the first files lack it
