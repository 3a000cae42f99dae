"""The Qwen3 mixture-of-experts architecture: Qwen3's, with experts for the feed-forward part of most or all layers.

Parameter names are the checkpoint's. Source: transformers' modeling_qwen3_moe.py, whose logits the tests compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import nn

from engine.models.base import Reader
from engine.models.layers import GatedMLP, Mixture
from engine.models.trunk import (
    NormedAttention,
    PreNormBlock,
    TrunkConfig,
    TrunkDecoder,
    read_chosen,
    read_trunk,
    read_window,
)


@dataclass(frozen=True, slots=True)
class Config(TrunkConfig):
    """chosen: how many of the experts each position takes. normed: whether their weights are made to add up to 1.

    expert_hidden: an expert's hidden width. sparse: for each layer, whether it has experts.
    """

    attention_bias: bool
    window: int | None
    experts: int
    chosen: int
    normed: bool
    expert_hidden: int
    sparse: tuple[bool, ...]

    @classmethod
    def read(cls, reader: Reader) -> Self:
        trunk = read_trunk(reader, "Qwen3MoeForCausalLM", context=32768)
        experts = reader.count(reader.named("num_experts", "num_local_experts"), 128)
        return cls(
            **trunk,
            attention_bias=reader.take("attention_bias", bool, False),
            window=read_window(reader, 4096) if reader.take("use_sliding_window", bool, False) else None,
            experts=experts,
            chosen=read_chosen(reader, experts, 8),
            normed=reader.take("norm_topk_prob", bool, False),
            expert_hidden=reader.count("moe_intermediate_size", 768),
            sparse=_read_sparse(reader, trunk["layers"]),
        )


def _read_sparse(reader: Reader, layers: int) -> tuple[bool, ...]:
    """Every decoder_sparse_step-th layer, but for those that mlp_only_layers names."""
    step, dense = reader.count("decoder_sparse_step", 1), reader.take("mlp_only_layers", list, [])
    return tuple(index not in dense and (index + 1) % step == 0 for index in range(layers))


class Block(PreNormBlock):
    def __init__(self, config: Config, sparse: bool) -> None:
        mlp: nn.Module = GatedMLP(config.width, config.hidden, False, config.activation)
        if sparse:
            mlp = Mixture(
                config.width, config.expert_hidden, config.experts, config.chosen, config.normed, config.activation
            )
        super().__init__(config, NormedAttention(config, config.attention_bias), mlp)


class Model(TrunkDecoder):
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config, (Block(config, sparse) for sparse in config.sparse))

    def window(self, layer: int) -> int | None:
        return self.config.window
