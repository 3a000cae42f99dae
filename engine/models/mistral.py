"""The Mistral architecture: Llama's, with an optional window that all layers share.

Parameter names are the checkpoint's. Source: transformers' modeling_mistral.py, whose logits the tests compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from engine.models.base import Reader
from engine.models.layers import GatedMLP
from engine.models.trunk import (
    GroupedAttention,
    PreNormBlock,
    TrunkConfig,
    TrunkDecoder,
    read_trunk,
    read_window,
)


@dataclass(frozen=True, slots=True)
class Config(TrunkConfig):
    window: int | None

    @classmethod
    def read(cls, reader: Reader) -> Self:
        reader.choice("layer_types", (None,), None)
        trunk = read_trunk(reader, "MistralForCausalLM", context=131072)
        return cls(**trunk, window=read_window(reader, 4096))


class Block(PreNormBlock):
    def __init__(self, config: Config) -> None:
        mlp = GatedMLP(config.width, config.hidden, False, config.activation)
        super().__init__(config, GroupedAttention(config), mlp)


class Model(TrunkDecoder):
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config, (Block(config) for _ in range(config.layers)))

    def window(self, layer: int) -> int | None:
        return self.config.window
