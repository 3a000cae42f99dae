"""The RoBERTa architecture: BERT's blocks, positions counted from behind the padding's, and heads of its own.

Source: transformers' modeling_roberta.py, whose states and logits the tests compare with.
"""

from __future__ import annotations

import dataclasses
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.models import encoder
from engine.models.base import Encoder, Reader, Signal
from engine.models.encoder import Embeddings, Layers, first, places


class Config(encoder.Config):
    @classmethod
    def read(cls, reader: Reader) -> Self:
        plain = super().read(reader)
        padding = reader.take("pad_token_id", int, 1)
        context = plain.context - padding - 1
        if padding < 0 or context < 1:
            raise reader.refusal("pad_token_id", padding, "It has to leave room for positions.")
        return dataclasses.replace(plain, context=context, padding=padding)


class Trunk(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embeddings = Embeddings(config, config.context + config.padding + 1)
        self.encoder = Layers(config)


class MaskedHead(nn.Module):
    """bias: what the decoder's is where the file does not hold it twice."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.width)
        self.layer_norm = nn.LayerNorm(config.width, config.epsilon)
        self.decoder = nn.Linear(config.width, config.vocabulary)
        self.bias = nn.Parameter(torch.empty(config.vocabulary))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.decoder(self.layer_norm(functional.gelu(self.dense(x))))
        return logits


class Classifier(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.width)
        self.out_proj = nn.Linear(config.width, len(config.labels))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.out_proj(torch.tanh(self.dense(x)))
        return logits


class Model(Encoder):
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.roberta = Trunk(config)
        if config.use == "fill":
            self.lm_head = MaskedHead(config)
            self.optional = {"lm_head.bias": "", "lm_head.decoder.bias": "lm_head.bias"}
            if config.tied:
                self.optional["lm_head.decoder.weight"] = "roberta.embeddings.word_embeddings.weight"
        if config.use == "classify":
            self.classifier = Classifier(config)

    def embed(self, ids: Tensor, mask: Tensor | None, segments: Tensor | None) -> Tensor:
        padding = self.config.padding
        real = ids != padding if mask is None else mask & (ids != padding)
        where = torch.where(real, places(ids, real) + padding + 1, padding)
        x: Tensor = self.roberta.embeddings(ids, where, segments)
        return x

    def signals(self, where: Tensor) -> list[Signal]:
        first = self.config.padding + 1
        return [Signal("learned", self.roberta.embeddings.position_embeddings.weight[where + first])]

    def blocks(self) -> nn.ModuleList:
        return self.roberta.encoder.layer

    def fill(self, states: Tensor) -> Tensor:
        logits: Tensor = self.lm_head(states)
        return logits

    def classify(self, states: Tensor, mask: Tensor | None) -> Tensor:
        logits: Tensor = self.classifier(first(states, mask))
        return logits

    def rename(self, name: str) -> str | None:
        if name.startswith(("embeddings.", "encoder.", "pooler.")):  # files of a bare encoder
            name = f"roberta.{name}"
        unused: tuple[str, ...] = ("roberta.embeddings.position_ids", "roberta.pooler.")
        unused += () if self.config.use == "classify" else ("classifier.",)
        unused += () if self.config.use == "fill" else ("lm_head.",)
        return None if name.startswith(unused) else name
