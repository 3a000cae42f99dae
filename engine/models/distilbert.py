"""The DistilBERT architecture: BERT's blocks under other names, without segments.

Source: transformers' modeling_distilbert.py, whose states and logits the tests compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor, nn
from torch.nn import functional

from engine.models.base import Encoder, Reader, Signal
from engine.models.encoder import excludes, first, labels_of, places, use_of
from engine.models.layers import ACTIVATIONS, Embedding, LayerTap, Mask, attention, project

EPSILON = 1e-12


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
    activation: str
    tied: bool
    use: str
    labels: tuple[str, ...]
    exclusive: bool

    @classmethod
    def read(cls, reader: Reader) -> Self:
        # Sinusoidal positions too are read from the file: they were written there once.
        use = use_of(reader)
        labels = labels_of(reader, use)
        width, heads = reader.count("dim"), reader.count("n_heads")
        if width % heads:
            raise reader.refusal("dim", width, f"It has to be a multiple of the {heads} attention heads.")
        return cls(
            layers=reader.count("n_layers", most=1024),
            heads=heads,
            kv_heads=heads,
            head_dim=width // heads,
            width=width,
            hidden=reader.count("hidden_dim"),
            vocabulary=reader.count("vocab_size", most=2**24),
            context=reader.count("max_position_embeddings", 512),
            activation=reader.choice("activation", tuple(ACTIVATIONS), "gelu"),
            tied=reader.take("tie_word_embeddings", bool, True),
            use=use,
            labels=labels,
            exclusive=excludes(reader, labels),
        )


class Embeddings(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.word_embeddings = Embedding(config.vocabulary, config.width)
        self.position_embeddings = Embedding(config.context, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, EPSILON)

    def forward(self, ids: Tensor, where: Tensor) -> Tensor:
        result: Tensor = self.LayerNorm(self.word_embeddings(ids) + self.position_embeddings(where))
        return result


class Attention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self._D = config.head_dim
        self.q_lin = nn.Linear(config.width, config.width)
        self.k_lin = nn.Linear(config.width, config.width)
        self.v_lin = nn.Linear(config.width, config.width)
        self.out_lin = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, mask: Mask, tap: LayerTap | None) -> Tensor:
        parts = project(x, self.q_lin, self.k_lin, self.v_lin)
        q, k, v = (part.unflatten(-1, (-1, self._D)).transpose(1, 2) for part in parts)
        y = attention(q, k, v, mask, self._D**-0.5, tap)
        result: Tensor = self.out_lin(y.transpose(1, 2).flatten(2))
        return result


class FeedForward(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.lin1 = nn.Linear(config.width, config.hidden)
        self.lin2 = nn.Linear(config.hidden, config.width)
        self._activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.lin2(self._activation(self.lin1(x)))
        return result


class Block(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.sa_layer_norm = nn.LayerNorm(config.width, EPSILON)
        self.ffn = FeedForward(config)
        self.output_layer_norm = nn.LayerNorm(config.width, EPSILON)

    def forward(self, x: Tensor, positions: object, mask: Mask, tap: LayerTap | None) -> Tensor:
        x = self.sa_layer_norm(x + self.attention(x, mask, tap))
        result: Tensor = self.output_layer_norm(x + self.ffn(x))
        return result


class Layers(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Block(config) for _ in range(config.layers))


class Trunk(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.transformer = Layers(config)


class Model(Encoder):
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.distilbert = Trunk(config)
        if config.use == "fill":
            self.vocab_transform = nn.Linear(config.width, config.width)
            self.vocab_layer_norm = nn.LayerNorm(config.width, EPSILON)
            self.vocab_projector = nn.Linear(config.width, config.vocabulary)
            if config.tied:
                self.optional = {"vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight"}
        if config.use == "classify":
            self.pre_classifier = nn.Linear(config.width, config.width)
            self.classifier = nn.Linear(config.width, len(config.labels))

    def embed(self, ids: Tensor, mask: Tensor | None, segments: Tensor | None) -> Tensor:
        x: Tensor = self.distilbert.embeddings(ids, places(ids, mask))
        return x

    def signals(self, where: Tensor) -> list[Signal]:
        return [Signal("learned", self.distilbert.embeddings.position_embeddings.weight[where])]

    def blocks(self) -> nn.ModuleList:
        return self.distilbert.transformer.layer

    def fill(self, states: Tensor) -> Tensor:
        x = self.vocab_layer_norm(ACTIVATIONS[self.config.activation](self.vocab_transform(states)))
        logits: Tensor = self.vocab_projector(x)
        return logits

    def classify(self, states: Tensor, mask: Tensor | None) -> Tensor:
        logits: Tensor = self.classifier(functional.relu(self.pre_classifier(first(states, mask))))
        return logits

    def rename(self, name: str) -> str | None:
        if name.startswith(("embeddings.", "transformer.")):  # files of a bare encoder
            name = f"distilbert.{name}"
        unused: tuple[str, ...] = ("distilbert.embeddings.position_ids",)
        unused += () if self.config.use == "classify" else ("pre_classifier.", "classifier.")
        unused += () if self.config.use == "fill" else ("vocab_",)
        return None if name.startswith(unused) else name
