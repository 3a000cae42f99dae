"""The BERT architecture with its masked-language and sequence-classification heads, or as a bare encoder.

Source: transformers' modeling_bert.py, whose states and logits the tests compare with.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.models.base import Encoder, Signal
from engine.models.encoder import Config, Embeddings, Layers, first, places
from engine.models.layers import ACTIVATIONS

__all__ = ["Config", "Model"]

OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
"""How the files of 2018 call a norm's parameters."""


class Pooler(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.width)


class Trunk(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embeddings = Embeddings(config, config.context)
        self.encoder = Layers(config)
        if config.use == "classify":
            self.pooler = Pooler(config)


class Transform(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, config.epsilon)
        self._activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.LayerNorm(self._activation(self.dense(x)))
        return result


class Predictions(nn.Module):
    """bias: what the decoder's is where the file does not hold it twice."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.transform = Transform(config)
        self.decoder = nn.Linear(config.width, config.vocabulary)
        self.bias = nn.Parameter(torch.empty(config.vocabulary))


class Heads(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.predictions = Predictions(config)


class Model(Encoder):
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.bert = Trunk(config)
        if config.use == "fill":
            self.cls = Heads(config)
            self.optional = {"cls.predictions.bias": "", "cls.predictions.decoder.bias": "cls.predictions.bias"}
            if config.tied:
                self.optional["cls.predictions.decoder.weight"] = "bert.embeddings.word_embeddings.weight"
        if config.use == "classify":
            self.classifier = nn.Linear(config.width, len(config.labels))

    def embed(self, ids: Tensor, mask: Tensor | None, segments: Tensor | None) -> Tensor:
        x: Tensor = self.bert.embeddings(ids, places(ids, mask), segments)
        return x

    def signals(self, where: Tensor) -> list[Signal]:
        return [Signal("learned", self.bert.embeddings.position_embeddings.weight[where])]

    def blocks(self) -> nn.ModuleList:
        return self.bert.encoder.layer

    def fill(self, states: Tensor) -> Tensor:
        logits: Tensor = self.cls.predictions.decoder(self.cls.predictions.transform(states))
        return logits

    def classify(self, states: Tensor, mask: Tensor | None) -> Tensor:
        logits: Tensor = self.classifier(torch.tanh(self.bert.pooler.dense(first(states, mask))))
        return logits

    def rename(self, name: str) -> str | None:
        for old, new in OLD_NAMES.items():
            name = name.replace(old, new)
        if name.startswith(("embeddings.", "encoder.", "pooler.")):  # files of a bare encoder
            name = f"bert.{name}"
        unused: tuple[str, ...] = ("bert.embeddings.position_ids", "cls.seq_relationship.")
        if self.config.use != "classify":
            unused += ("bert.pooler.", "classifier.")
        if self.config.use != "fill":
            unused += ("cls.",)
        return None if name.startswith(unused) else name
