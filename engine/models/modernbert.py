"""The ModernBERT architecture: pre-norm, rotary positions, gated feed-forward, most layers with a local window.

Source: transformers' modeling_modernbert.py, whose states and logits the tests compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from engine.models.base import Encoder, Reader, Signal
from engine.models.encoder import excludes, first, labels_of, use_of
from engine.models.layers import ACTIVATIONS, Embedding, LayerTap, Mask, Rotary, RotaryConfig, Table, attention, rotate
from engine.models.reading import read_scaling

KINDS = ("full_attention", "sliding_attention")


@dataclass(frozen=True, slots=True)
class Config:
    """local: which layers see only the tokens up to window away; far, near: the rotary settings of both kinds."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    width: int
    hidden: int
    vocabulary: int
    context: int
    local: tuple[bool, ...]
    window: int
    far: RotaryConfig
    near: RotaryConfig
    epsilon: float
    activation: str
    head_activation: str
    norm_bias: bool
    attention_bias: bool
    mlp_bias: bool
    head_bias: bool
    decoder_bias: bool
    pooling: str
    tied: bool
    use: str
    labels: tuple[str, ...]
    exclusive: bool

    @classmethod
    def read(cls, reader: Reader) -> Self:
        use = use_of(reader)
        labels = labels_of(reader, use)
        width, heads = reader.count("hidden_size"), reader.count("num_attention_heads")
        if width % heads or width // heads % 2:
            raise reader.refusal("hidden_size", width, f"It has to be an even multiple of the {heads} attention heads.")
        layers = reader.count("num_hidden_layers", most=1024)
        every = reader.count("global_attn_every_n_layers", 3)
        kinds = reader.take("layer_types", list, [KINDS[bool(index % every)] for index in range(layers)])
        if len(kinds) != layers or not set(kinds) <= set(KINDS):
            raise reader.refusal("layer_types", kinds, f"It has to name {layers} layers as {' or '.join(KINDS)}.")
        context = reader.count("max_position_embeddings", 8192)
        rotary = reader.inner("rope_parameters")
        parts = [rotary.inner(kind) if rotary is not None else reader.inner("rope_scaling") for kind in KINDS]
        thetas = reader.positive("global_rope_theta", 160000.0), reader.positive("local_rope_theta", 10000.0)
        far, near = (read_scaling(part, theta, context) for part, theta in zip(parts, thetas))
        return cls(
            layers=layers,
            heads=heads,
            kv_heads=heads,
            head_dim=width // heads,
            width=width,
            hidden=reader.count("intermediate_size"),
            vocabulary=reader.count("vocab_size", most=2**24),
            context=context,
            local=tuple(kind == "sliding_attention" for kind in kinds),
            window=reader.count("local_attention", 128) // 2,
            far=far,
            near=near,
            epsilon=reader.positive("norm_eps", 1e-5),
            activation=reader.choice("hidden_activation", tuple(ACTIVATIONS), "gelu"),
            head_activation=reader.choice("classifier_activation", tuple(ACTIVATIONS), "gelu"),
            norm_bias=reader.take("norm_bias", bool, False),
            attention_bias=reader.take("attention_bias", bool, False),
            mlp_bias=reader.take("mlp_bias", bool, False),
            head_bias=reader.take("classifier_bias", bool, False),
            decoder_bias=reader.take("decoder_bias", bool, True),
            pooling=reader.choice("classifier_pooling", ("cls", "mean"), "cls"),
            tied=reader.take("tie_word_embeddings", bool, True),
            use=use,
            labels=labels,
            exclusive=excludes(reader, labels),
        )


class Positions(NamedTuple):
    """The rotary tables of both kinds of layers, and bool [T, T], which keys a local one sees."""

    far: Table
    near: Table
    window: Tensor


class Attention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        C, D = config.width, config.head_dim
        self._D = D
        self.Wqkv = nn.Linear(C, 3 * C, bias=config.attention_bias)
        self.Wo = nn.Linear(C, C, bias=config.attention_bias)

    def forward(self, x: Tensor, table: Table, mask: Mask, tap: LayerTap | None) -> Tensor:
        q, k, v = self.Wqkv(x).unflatten(-1, (3, -1, self._D)).unbind(2)  # [B, T, H, D]
        q, k = rotate(q, table), rotate(k, table)
        y = attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), mask, self._D**-0.5, tap)
        result: Tensor = self.Wo(y.transpose(1, 2).flatten(2))
        return result


class FeedForward(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.Wi = nn.Linear(config.width, 2 * config.hidden, bias=config.mlp_bias)
        self.Wo = nn.Linear(config.hidden, config.width, bias=config.mlp_bias)
        self._activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        y, gate = self.Wi(x).chunk(2, -1)
        result: Tensor = self.Wo(self._activation(y) * gate)
        return result


def norm(config: Config) -> nn.LayerNorm:
    return nn.LayerNorm(config.width, config.epsilon, bias=config.norm_bias)


class Block(nn.Module):
    def __init__(self, config: Config, index: int) -> None:
        super().__init__()
        self._local = config.local[index]
        self.attn_norm = norm(config) if index else nn.Identity()  # the embeddings are normed already
        self.attn = Attention(config)
        self.mlp_norm = norm(config)
        self.mlp = FeedForward(config)

    def forward(self, x: Tensor, positions: Positions, mask: Mask, tap: LayerTap | None) -> Tensor:
        if self._local:
            mask = positions.window & mask if isinstance(mask, Tensor) else positions.window
        x = x + self.attn(self.attn_norm(x), positions.near if self._local else positions.far, mask, tap)
        result: Tensor = x + self.mlp(self.mlp_norm(x))
        return result


class Embeddings(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.tok_embeddings = Embedding(config.vocabulary, config.width)
        self.norm = norm(config)


class Trunk(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(Block(config, index) for index in range(config.layers))
        self.final_norm = norm(config)


class Head(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.width, bias=config.head_bias)
        self.norm = norm(config)
        self._activation = ACTIVATIONS[config.head_activation]

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.norm(self._activation(self.dense(x)))
        return result


class Model(Encoder):
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        if config.use != "embed":
            self.head = Head(config)
        if config.use == "fill":
            self.decoder = nn.Linear(config.width, config.vocabulary, bias=config.decoder_bias)
            if config.tied:
                self.optional = {"decoder.weight": "model.embeddings.tok_embeddings.weight"}
        if config.use == "classify":
            self.classifier = nn.Linear(config.width, len(config.labels))
        self._far, self._near = Rotary(config.far, config.head_dim), Rotary(config.near, config.head_dim)

    def embed(self, ids: Tensor, mask: Tensor | None, segments: Tensor | None) -> Tensor:
        x: Tensor = self.model.embeddings.norm(self.model.embeddings.tok_embeddings(ids))
        return x

    def positions(self, x: Tensor) -> Positions:
        T = x.shape[1]
        where = torch.arange(T, device=x.device)
        window = (where - where[:, None]).abs() <= self.config.window
        return Positions(self._far.at(0, T, x), self._near.at(0, T, x), window)

    def window(self, layer: int) -> int | None:
        return self.config.window if self.config.local[layer] else None

    def signals(self, where: Tensor) -> list[Signal]:
        kinds = ((self._far, False), (self._near, True))
        served = [
            (r, tuple(i for i, is_local in enumerate(self.config.local) if is_local == local)) for r, local in kinds
        ]
        return [Signal("rotary", rotary.angles(where), layers=layers) for rotary, layers in served if layers]

    def blocks(self) -> nn.ModuleList:
        return self.model.layers

    def end(self, x: Tensor) -> Tensor:
        result: Tensor = self.model.final_norm(x)
        return result

    def fill(self, states: Tensor) -> Tensor:
        logits: Tensor = self.decoder(self.head(states))
        return logits

    def classify(self, states: Tensor, mask: Tensor | None) -> Tensor:
        if self.config.pooling == "cls":
            x = first(states, mask)
        else:
            weights = (torch.ones_like(states[..., 0]) if mask is None else mask.to(states.dtype))[..., None]
            x = (states * weights).sum(1) / weights.sum(1)
        logits: Tensor = self.classifier(self.head(x))
        return logits

    def rename(self, name: str) -> str | None:
        if name.startswith(("embeddings.", "layers.", "final_norm.")):  # files of a bare encoder
            name = f"model.{name}"
        unused: tuple[str, ...] = ()
        unused += () if self.config.use == "classify" else ("classifier.",)
        unused += () if self.config.use == "fill" else ("decoder.",)
        unused += () if self.config.use != "embed" else ("head.",)
        return None if name.startswith(unused) else name
