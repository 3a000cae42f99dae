"""The GPT-Neo architecture: GPT-2's blocks with separate projections, scores that are not scaled, and local layers.

Layers alternate between seeing everything and seeing a window. Parameter names are the checkpoint's. Source:
transformers' modeling_gpt_neo.py, whose logits the tests compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor, nn

from engine.models.base import Decoder, Reader, Remember, Signal, Span
from engine.models.layers import ACTIVATIONS, Embedding, LayerTap, Mask, attend, heads, project, vocabulary_scores
from engine.models.reading import heads_of, plain_decoder


@dataclass(frozen=True, slots=True)
class Config:
    """windows: for each layer, how many positions it sees; None is all."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    width: int
    hidden: int
    vocabulary: int
    context: int
    windows: tuple[int | None, ...]
    epsilon: float
    activation: str
    tied: bool

    @classmethod
    def read(cls, reader: Reader) -> Self:
        plain_decoder(reader, "GPTNeoForCausalLM")
        width = reader.count("hidden_size", 2048)
        count = reader.count(reader.named("num_heads", "num_attention_heads"), 16)
        layers = reader.count(reader.named("num_layers", "num_hidden_layers"), 24, most=1024)
        window = reader.count("window_size", 256)
        types = reader.take("attention_types", list, [[["global", "local"], 12]])
        kinds = _expanded(types, layers)
        if kinds is None:
            raise reader.refusal("attention_types", types, f"It has to say global or local of each of {layers} layers.")
        return cls(
            layers=layers,
            heads=count,
            kv_heads=count,
            head_dim=heads_of(reader, width, count),
            width=width,
            hidden=reader.count("intermediate_size", 4 * width),
            vocabulary=reader.count("vocab_size", 50257, most=2**24),
            context=reader.count("max_position_embeddings", 2048),
            windows=tuple(window if kind == "local" else None for kind in kinds),
            epsilon=reader.positive("layer_norm_epsilon", 1e-5),
            activation=reader.choice("activation_function", tuple(ACTIVATIONS), "gelu_new"),
            tied=reader.take("tie_word_embeddings", bool, True),
        )


def _expanded(types: list[Any], layers: int) -> list[str] | None:
    """[[["global", "local"], 2]] is global, local, global, local; None where that is not the kinds of all layers."""
    kinds: list[str] = []
    for item in types:
        match item:
            case [[*pattern], int(times)] if len(pattern) * times <= layers:
                kinds.extend(pattern * times)
            case _:
                return None
    return kinds if len(kinds) == layers and all(kind in ("global", "local") for kind in kinds) else None


class SelfAttention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self._D = config.head_dim
        self.k_proj = nn.Linear(config.width, config.width, bias=False)
        self.v_proj = nn.Linear(config.width, config.width, bias=False)
        self.q_proj = nn.Linear(config.width, config.width, bias=False)
        self.out_proj = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        q, k, v = (heads(y, self._D) for y in project(x, self.q_proj, self.k_proj, self.v_proj))
        result: Tensor = self.out_proj(attend(q, k, v, None, mask, remember, 1.0, tap))
        return result


class Attention(nn.Module):
    """Only a step in the names."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.attention = SelfAttention(config)


class MLP(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.width, config.hidden)
        self.c_proj = nn.Linear(config.hidden, config.width)
        self._activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.c_proj(self._activation(self.c_fc(x)))
        return result


class Block(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.width, config.epsilon)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.width, config.epsilon)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, positions: None, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        x = x + self.attn.attention(self.ln_1(x), mask, remember, tap)
        result: Tensor = x + self.mlp(self.ln_2(x))
        return result


class Trunk(nn.Module):
    """What the checkpoint's names begin with "transformer." for."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.wte = Embedding(config.vocabulary, config.width)
        self.wpe = Embedding(config.context, config.width)
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
        x: Tensor = self.transformer.wte(ids) + self.transformer.wpe.weight[span.rows]
        return x

    def positions(self, span: Span, x: Tensor) -> None:
        return None  # learned, and in x already

    def signals(self, where: Tensor) -> list[Signal]:
        return [Signal("learned", self.transformer.wpe.weight[where])]

    def blocks(self) -> nn.ModuleList:
        return self.transformer.h

    def window(self, layer: int) -> int | None:
        return self.config.windows[layer]

    def head(self, x: Tensor) -> Tensor:
        return vocabulary_scores(self.transformer.ln_f(x), self.lm_head, self.transformer.wte)

    def rename(self, name: str) -> str | None:
        if name.endswith((".attention.bias", ".attention.masked_bias")):  # causal masks, which older files carry
            return None
        return None if name == "lm_head.weight" and self.config.tied else name
