"""The Qwen3 architecture: Llama's, with a norm on every head's queries and keys before they are turned.

Its later layers can have a window. Parameter names are the checkpoint's. Source: transformers' modeling_qwen3.py, whose
logits the tests compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from engine.models.base import Reader
from engine.models.layers import GatedMLP
from engine.models.trunk import (
    NormedAttention,
    PreNormBlock,
    TrunkConfig,
    TrunkDecoder,
    read_late_windows,
    read_trunk,
)


@dataclass(frozen=True, slots=True)
class Config(TrunkConfig):
    attention_bias: bool
    windows: tuple[int | None, ...]

    @classmethod
    def read(cls, reader: Reader) -> Self:
        trunk = read_trunk(reader, "Qwen3ForCausalLM", head_dim=128, context=32768)
        return cls(
            **trunk,
            attention_bias=reader.take("attention_bias", bool, False),
            windows=read_late_windows(reader, trunk["layers"]),
        )


class Block(PreNormBlock):
    def __init__(self, config: Config) -> None:
        mlp = GatedMLP(config.width, config.hidden, False, config.activation)
        super().__init__(config, NormedAttention(config, config.attention_bias), mlp)


class Model(TrunkDecoder):
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config, (Block(config) for _ in range(config.layers)))

    def window(self, layer: int) -> int | None:
        return self.config.windows[layer]
