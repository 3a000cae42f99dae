"""What the encoder families share: their use, their labels, positions under a mask, and BERT's config and blocks.

Parameter names are the checkpoint's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from engine.models.base import Reader
from engine.models.layers import ACTIVATIONS, Embedding, LayerTap, Mask, attention, project

USES = {"ForMaskedLM": "fill", "ForPreTraining": "fill", "ForSequenceClassification": "classify", "Model": "embed"}
"""How an architecture's name ends, and what its checkpoint is good for."""


def use_of(reader: Reader) -> str:
    """What the checkpoint was trained for: fill, classify or embed; others are refused by name."""
    reader.choice("quantization_config", (None,), None)
    for key in ("is_decoder", "add_cross_attention"):
        reader.choice(key, (False,), False)
    for name in reader.take("architectures", list, []):
        use = next((use for end, use in USES.items() if str(name).endswith(end)), None)
        if use is None:
            raise reader.refusal("architectures", name, f"Vitrine runs those that end with {', '.join(USES)}.")
        return use
    return "embed"


def labels_of(reader: Reader, use: str) -> tuple[str, ...]:
    """The classes in the order of the head's rows; none where it does not classify."""
    if use != "classify":
        return ()
    named = reader.take("id2label", dict, {})
    count = len(named) or reader.count("num_labels", 2)
    return tuple(str(named.get(str(index), f"LABEL_{index}")) for index in range(count))


def excludes(reader: Reader, labels: tuple[str, ...]) -> bool:
    """Whether a text is of exactly one class, so that the probabilities add up to 1."""
    return len(labels) != 1 and reader.take("problem_type", str, "") != "multi_label_classification"


def places(ids: Tensor, real: Tensor | None) -> Tensor:
    """Which position each id has, [B, T] or [1, T]: those that the mask, bool [B, T], leaves are counted from 0."""
    if real is None:
        return torch.arange(ids.shape[1], device=ids.device)[None]
    return (real.cumsum(1) - 1).clamp(min=0)


def first(states: Tensor, mask: Tensor | None) -> Tensor:
    """The state of each row's first real token: [B, T, C] to [B, C]."""
    if mask is None:
        return states[:, 0]
    return states[torch.arange(len(states), device=states.device), mask.int().argmax(1)]


@dataclass(frozen=True, slots=True)
class Config:
    """BERT's and RoBERTa's. padding: the id that fills rows up; types: how many kinds of segments there are."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    width: int
    hidden: int
    vocabulary: int
    context: int
    types: int
    epsilon: float
    activation: str
    padding: int
    tied: bool
    use: str
    labels: tuple[str, ...]
    exclusive: bool

    @classmethod
    def read(cls, reader: Reader) -> Self:
        reader.choice("position_embedding_type", ("absolute",), "absolute")
        use = use_of(reader)
        labels = labels_of(reader, use)
        width, heads = reader.count("hidden_size"), reader.count("num_attention_heads")
        if width % heads:
            raise reader.refusal("hidden_size", width, f"It has to be a multiple of the {heads} attention heads.")
        return cls(
            layers=reader.count("num_hidden_layers", most=1024),
            heads=heads,
            kv_heads=heads,
            head_dim=width // heads,
            width=width,
            hidden=reader.count("intermediate_size"),
            vocabulary=reader.count("vocab_size", most=2**24),
            context=reader.count("max_position_embeddings", 512),
            types=reader.count("type_vocab_size", 2),
            epsilon=reader.positive("layer_norm_eps", 1e-12),
            activation=reader.choice("hidden_act", tuple(ACTIVATIONS), "gelu"),
            padding=reader.take("pad_token_id", int, 0),
            tied=reader.take("tie_word_embeddings", bool, True),
            use=use,
            labels=labels,
            exclusive=excludes(reader, labels),
        )


class Embeddings(nn.Module):
    """Tokens, positions and segments added up; without segments all are of the first."""

    def __init__(self, config: Config, positions: int) -> None:
        super().__init__()
        self.word_embeddings = Embedding(config.vocabulary, config.width)
        self.position_embeddings = Embedding(positions, config.width)
        self.token_type_embeddings = Embedding(config.types, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, config.epsilon)

    def forward(self, ids: Tensor, where: Tensor, segments: Tensor | None) -> Tensor:
        kinds = self.token_type_embeddings
        x = self.word_embeddings(ids) + self.position_embeddings(where)
        # A tokenizer may tell two segments apart that the model, as RoBERTa, does not.
        x = x + (kinds.weight[0] if segments is None else kinds(segments.clamp(max=kinds.num_embeddings - 1)))
        result: Tensor = self.LayerNorm(x)
        return result


class SelfAttention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self._D = config.head_dim
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.value = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, mask: Mask, tap: LayerTap | None) -> Tensor:
        parts = project(x, self.query, self.key, self.value)
        q, k, v = (part.unflatten(-1, (-1, self._D)).transpose(1, 2) for part in parts)
        return attention(q, k, v, mask, self._D**-0.5, tap).transpose(1, 2).flatten(2)


class Output(nn.Module):
    """A projection whose result is added to what it began with, then normed."""

    def __init__(self, config: Config, inputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, config.epsilon)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        result: Tensor = self.LayerNorm(self.dense(y) + x)
        return result


class Attention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.self = SelfAttention(config)
        self.output = Output(config, config.width)

    def forward(self, x: Tensor, mask: Mask, tap: LayerTap | None) -> Tensor:
        result: Tensor = self.output(self.self(x, mask, tap), x)
        return result


class Intermediate(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.hidden)
        self._activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        return self._activation(self.dense(x))


class Block(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.intermediate = Intermediate(config)
        self.output = Output(config, config.hidden)

    def forward(self, x: Tensor, positions: object, mask: Mask, tap: LayerTap | None) -> Tensor:
        x = self.attention(x, mask, tap)
        result: Tensor = self.output(self.intermediate(x), x)
        return result


class Layers(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Block(config) for _ in range(config.layers))
