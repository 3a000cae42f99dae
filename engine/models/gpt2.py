"""The GPT-2 architecture, as in GPT-2, DistilGPT-2 and what was trained after them.

Pre-norm blocks, learned positions, one fused projection whose weight lies transposed, a tied or untied head. Parameter
names are the checkpoint's. Source: transformers' modeling_gpt2.py, whose logits the tests compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor, nn

from engine.models.base import Decoder, Reader, Remember, Signal, Span
from engine.models.layers import ACTIVATIONS, Conv1D, Embedding, LayerTap, Mask, attend, heads, vocabulary_scores
from engine.models.reading import heads_of, plain_decoder


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
    epsilon: float
    activation: str
    scaled: bool
    scaled_by_layer: bool
    tied: bool

    @classmethod
    def read(cls, reader: Reader) -> Self:
        plain_decoder(reader, "GPT2LMHeadModel")
        width = reader.count(reader.named("n_embd", "hidden_size"), 768)
        count = reader.count(reader.named("n_head", "num_attention_heads"), 12)
        return cls(
            layers=reader.count(reader.named("n_layer", "num_hidden_layers"), 12, most=1024),
            heads=count,
            kv_heads=count,
            head_dim=heads_of(reader, width, count),
            width=width,
            hidden=reader.count("n_inner", 4 * width),
            vocabulary=reader.count("vocab_size", 50257, most=2**24),
            context=reader.count(reader.named("n_positions", "max_position_embeddings"), 1024),
            epsilon=reader.positive("layer_norm_epsilon", 1e-5),
            activation=reader.choice("activation_function", tuple(ACTIVATIONS), "gelu_new"),
            scaled=reader.take("scale_attn_weights", bool, True),
            scaled_by_layer=reader.take("scale_attn_by_inverse_layer_idx", bool, False),
            tied=reader.take("tie_word_embeddings", bool, True),
        )


class Attention(nn.Module):
    def __init__(self, config: Config, index: int) -> None:
        super().__init__()
        self._D = config.head_dim
        self._scale = config.head_dim**-0.5 if config.scaled else 1.0
        if config.scaled_by_layer:
            self._scale /= index + 1
        self.c_attn = Conv1D(config.width, 3 * config.width)
        self.c_proj = Conv1D(config.width, config.width)

    def forward(self, x: Tensor, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        q, k, v = (heads(part, self._D) for part in self.c_attn(x).chunk(3, -1))
        result: Tensor = self.c_proj(attend(q, k, v, None, mask, remember, self._scale, tap))
        return result


class MLP(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.c_fc = Conv1D(config.width, config.hidden)
        self.c_proj = Conv1D(config.hidden, config.width)
        self._activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.c_proj(self._activation(self.c_fc(x)))
        return result


class Block(nn.Module):
    def __init__(self, config: Config, index: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.width, config.epsilon)
        self.attn = Attention(config, index)
        self.ln_2 = nn.LayerNorm(config.width, config.epsilon)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, positions: None, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        x = x + self.attn(self.ln_1(x), mask, remember, tap)
        result: Tensor = x + self.mlp(self.ln_2(x))
        return result


class Trunk(nn.Module):
    """What the checkpoint's names begin with "transformer." for."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.wte = Embedding(config.vocabulary, config.width)
        self.wpe = Embedding(config.context, config.width)
        self.h = nn.ModuleList(Block(config, index) for index in range(config.layers))
        self.ln_f = nn.LayerNorm(config.width, config.epsilon)


class Model(Decoder):
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.transformer = Trunk(config)
        self.lm_head = None if config.tied else nn.Linear(config.width, config.vocabulary, bias=False)

    def embed(self, ids: Tensor, span: Span) -> Tensor:
        x: Tensor = self.transformer.wte(ids) + self.transformer.wpe.weight[span.rows]
        return x

    def positions(self, span: Span, x: Tensor) -> None:
        return None  # learned, and in x already

    def signals(self, where: Tensor) -> list[Signal]:
        return [Signal("learned", self.transformer.wpe.weight[where])]

    def blocks(self) -> nn.ModuleList:
        return self.transformer.h

    def head(self, x: Tensor) -> Tensor:
        return vocabulary_scores(self.transformer.ln_f(x), self.lm_head, self.transformer.wte)

    def rename(self, name: str) -> str | None:
        if name.endswith((".attn.bias", ".attn.masked_bias")):  # causal masks, which older files carry
            return None
        if name == "lm_head.weight":
            return None if self.config.tied else name
        return "transformer." + name.removeprefix("transformer.")  # the first files lack it
