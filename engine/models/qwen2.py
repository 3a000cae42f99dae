"""The Qwen2 architecture, as in Qwen1.5, 2 and 2.5: Llama's, with biases on queries, keys and values.

Its later layers can have a window. Parameter names are the checkpoint's. Source: transformers' modeling_qwen2.py, whose
logits the tests compare with.
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
    read_late_windows,
    read_trunk,
)


@dataclass(frozen=True, slots=True)
class Config(TrunkConfig):
    windows: tuple[int | None, ...]

    @classmethod
    def read(cls, reader: Reader) -> Self:
        trunk = read_trunk(reader, "Qwen2ForCausalLM", context=32768)
        return cls(**trunk, windows=read_late_windows(reader, trunk["layers"]))


class Block(PreNormBlock):
    def __init__(self, config: Config) -> None:
        mlp = GatedMLP(config.width, config.hidden, False, config.activation)
        super().__init__(config, GroupedAttention(config, bias=True), mlp)


class Model(TrunkDecoder):
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config, (Block(config) for _ in range(config.layers)))

    def window(self, layer: int) -> int | None:
        return self.config.windows[layer]
