"""The Phi-3 architecture, as in Phi-3, 3.5 and the Phi-4 language models: Llama's, with fused projections.

A part of each head can stay unturned, all layers can share a window, and a long text is read with other rotary
positions than a short one. Parameter names are the checkpoint's. Source: transformers' modeling_phi3.py, whose logits
the tests compare with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn

from engine.models.base import Reader, Remember, Signal, Span
from engine.models.layers import ACTIVATIONS, LayerTap, Mask, Rotary, RotaryConfig, Table, attend, heads
from engine.models.reading import read_scaling
from engine.models.trunk import LARGEST_CONTEXT, PreNormBlock, TrunkConfig, TrunkDecoder, read_trunk, read_window

LONGROPE = ("longrope", "su", "yarn")
"""One kind under three names: the files of 2024 say su, a few say yarn."""


@dataclass(frozen=True, slots=True)
class Config(TrunkConfig):
    """far_rotary: that of a text of more than boundary tokens; both are None where there is one kind only."""

    window: int | None
    boundary: int | None
    far_rotary: RotaryConfig | None

    @classmethod
    def read(cls, reader: Reader) -> Self:
        context = reader.count("max_position_embeddings", 4096, most=LARGEST_CONTEXT)
        rotary, far_rotary = _read_rotaries(reader, context)
        trunk = read_trunk(reader, "Phi3ForCausalLM", epsilon=1e-5, context=context, rotary=rotary)
        pairs = int(trunk["head_dim"] * rotary.fraction) // 2
        for factors in (rotary.factors, far_rotary.factors if far_rotary else ()):
            if len(factors) not in (0, pairs):
                raise reader.refusal("rope_scaling", f"{len(factors)} factors", f"There have to be {pairs}.")
        boundary = rotary.original if far_rotary else None
        return cls(**trunk, window=read_window(reader), boundary=boundary, far_rotary=far_rotary)


def _read_rotaries(reader: Reader, context: int) -> tuple[RotaryConfig, RotaryConfig | None]:
    """Of a text up to the original context, and of a longer one where the model can read it."""
    theta = reader.positive("rope_theta", 10000.0)
    fraction = reader.positive("partial_rotary_factor", 1.0)
    scaling = reader.inner("rope_parameters") or reader.inner("rope_scaling")
    if scaling is None:
        return RotaryConfig(theta, fraction=fraction), None
    fraction = scaling.positive("partial_rotary_factor", fraction)
    kind = scaling.choice(scaling.named("rope_type", "type"), ("default", *LONGROPE), "default")
    if kind == "default":
        return read_scaling(scaling, theta, context, fraction), None
    theta = scaling.positive("rope_theta", theta)
    original = reader.count("original_max_position_embeddings", 4096, most=LARGEST_CONTEXT)
    growth = scaling.positive("factor", context / original)
    scale = math.sqrt(1 + math.log(growth) / math.log(original)) if growth > 1 else 1.0
    near = RotaryConfig(
        theta,
        "factors",
        original=original,
        scale=scaling.positive("attention_factor", scale),
        fraction=fraction,
        factors=_read_factors(scaling, "short_factor"),
    )
    far = replace(near, factors=_read_factors(scaling, "long_factor"))
    return near, far if context > original else None


def _read_factors(scaling: Reader, key: str) -> tuple[float, ...]:
    values = scaling.take(key, list)
    if not all(isinstance(value, int | float) and value > 0 for value in values):
        raise scaling.refusal(key, values, "It has to hold numbers above 0.")
    return tuple(float(value) for value in values)


class Attention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self._D = config.head_dim
        self._parts = [config.heads * self._D, config.kv_heads * self._D, config.kv_heads * self._D]
        self.qkv_proj = nn.Linear(config.width, sum(self._parts), bias=False)
        self.o_proj = nn.Linear(config.heads * self._D, config.width, bias=False)

    def forward(self, x: Tensor, table: Table, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        q, k, v = (heads(part, self._D) for part in self.qkv_proj(x).split(self._parts, -1))
        result: Tensor = self.o_proj(attend(q, k, v, table, mask, remember, self._D**-0.5, tap))
        return result


class MLP(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.gate_up_proj = nn.Linear(config.width, 2 * config.hidden, bias=False)
        self.down_proj = nn.Linear(config.hidden, config.width, bias=False)
        self._activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(x).chunk(2, -1)
        result: Tensor = self.down_proj(self._activation(gate) * up)
        return result


class Block(PreNormBlock):
    def __init__(self, config: Config) -> None:
        super().__init__(config, Attention(config), MLP(config))


class Model(TrunkDecoder):
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config, (Block(config) for _ in range(config.layers)))
        self.boundary = config.boundary
        self._far_rotary = Rotary(config.far_rotary or config.rotary, config.head_dim)

    def positions(self, span: Span, x: Tensor) -> object:
        if span.padding is None or self.boundary is None:
            return (self._far_rotary if self.is_far(span.length) else self._rotary).over(span, x)
        far = (span.length - span.padding > self.boundary)[:, None, None, None]
        tables = zip(self._far_rotary.over(span, x), self._rotary.over(span, x))
        return tuple(torch.where(far, *pair) for pair in tables)

    def signals(self, where: Tensor) -> list[Signal]:
        far = self.is_far(int(where.max()) + 1)
        return [Signal("rotary", (self._far_rotary if far else self._rotary).angles(where))]

    def window(self, layer: int) -> int | None:
        return self.config.window
