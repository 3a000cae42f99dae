"""The SmolLM3 architecture: Llama's, with layers that have no positions.

Parameter names are the checkpoint's. Source: transformers' modeling_smollm3.py, whose logits the tests compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor

from engine.models.base import Reader, Remember, Signal
from engine.models.layers import GatedMLP, LayerTap, Mask, Table
from engine.models.trunk import (
    GroupedAttention,
    PreNormBlock,
    TrunkConfig,
    TrunkDecoder,
    read_layer_types,
    read_trunk,
    read_window,
)


@dataclass(frozen=True, slots=True)
class Config(TrunkConfig):
    """turned: for each layer, whether it has rotary positions."""

    attention_bias: bool
    mlp_bias: bool
    turned: tuple[bool, ...]
    windows: tuple[int | None, ...]

    @classmethod
    def read(cls, reader: Reader) -> Self:
        trunk = read_trunk(reader, "SmolLM3ForCausalLM", context=32768, tied=True, theta=2000000.0)
        turned = _read_turned(reader, trunk["layers"])
        return cls(
            **trunk,
            attention_bias=reader.take("attention_bias", bool, False),
            mlp_bias=reader.take("mlp_bias", bool, False),
            turned=turned,
            windows=_read_windows(reader, turned),
        )


def _read_turned(reader: Reader, layers: int) -> tuple[bool, ...]:
    """no_rope_layers says 1 for a layer that has positions, whatever its name."""
    if not reader.has("no_rope_layers"):
        interval = reader.count("no_rope_layer_interval", 4)
        return tuple((index + 1) % interval != 0 for index in range(layers))
    marks = reader.take("no_rope_layers", list)
    if len(marks) < layers or any(mark not in (0, 1) for mark in marks):
        raise reader.refusal("no_rope_layers", marks, f"It has to hold a 0 or 1 for each of {layers} layers.")
    return tuple(mark == 1 for mark in marks[:layers])


def _read_windows(reader: Reader, turned: tuple[bool, ...]) -> tuple[int | None, ...]:
    """The layers without positions are those with a window, unless layer_types says so."""
    window = read_window(reader) if reader.take("use_sliding_window", bool, False) else None
    types = read_layer_types(reader, len(turned))
    if types is None:
        return tuple(None if has_positions else window for has_positions in turned)
    return tuple(window if name == "sliding_attention" else None for name in types)


class Block(PreNormBlock):
    def __init__(self, config: Config, turned: bool) -> None:
        bias = config.attention_bias
        mlp = GatedMLP(config.width, config.hidden, config.mlp_bias, config.activation)
        super().__init__(config, GroupedAttention(config, bias, bias), mlp)
        self._turned = turned

    def forward(self, x: Tensor, table: Table | None, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        return super().forward(x, table if self._turned else None, mask, remember, tap)


class Model(TrunkDecoder):
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config, (Block(config, turned) for turned in config.turned))

    def signals(self, where: Tensor) -> list[Signal]:
        turned = tuple(index for index, turns in enumerate(self.config.turned) if turns)
        return [Signal("rotary", self._rotary.angles(where), layers=turned)] if turned else []

    def window(self, layer: int) -> int | None:
        return self.config.windows[layer]
