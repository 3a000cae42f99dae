"""The Mixtral architecture: Mistral's, with a mixture of experts for its feed-forward part.

Its checkpoints call the parts of an expert w1, w3 and w2; here they are gate, up and down as everywhere. Source:
transformers' modeling_mixtral.py, whose logits the tests compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from engine.models.base import Reader
from engine.models.layers import Mixture
from engine.models.trunk import (
    GroupedAttention,
    PreNormBlock,
    TrunkConfig,
    TrunkDecoder,
    read_chosen,
    read_trunk,
    read_window,
)

PARTS = {"w1": "gate_proj", "w3": "up_proj", "w2": "down_proj"}


@dataclass(frozen=True, slots=True)
class Config(TrunkConfig):
    """chosen: how many of the experts each position takes."""

    window: int | None
    experts: int
    chosen: int

    @classmethod
    def read(cls, reader: Reader) -> Self:
        experts = reader.count("num_local_experts", 8)
        return cls(
            **read_trunk(reader, "MixtralForCausalLM", epsilon=1e-5, context=131072, theta=1000000.0),
            window=read_window(reader),
            experts=experts,
            chosen=read_chosen(reader, experts, 2),
        )


class Block(PreNormBlock):
    def __init__(self, config: Config) -> None:
        mlp = Mixture(config.width, config.hidden, config.experts, config.chosen, True, config.activation)
        super().__init__(config, GroupedAttention(config), mlp)


class Model(TrunkDecoder):
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config, (Block(config) for _ in range(config.layers)))

    def window(self, layer: int) -> int | None:
        return self.config.window

    def rename(self, name: str) -> str | None:
        name = name.replace(".block_sparse_moe.", ".mlp.")
        for theirs, ours in PARTS.items():
            name = name.replace(f".{theirs}.weight", f".{ours}.weight")
        return super().rename(name)
