"""The Llama architecture, as in Llama 1, 2 and 3 and the many models that share it.

Pre-norm blocks, rotary positions, grouped heads, a gated feed-forward, tied or untied head. Parameter names are the
checkpoint's. Source: transformers' modeling_llama.py, whose logits the tests compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from engine.models.base import Reader
from engine.models.layers import GatedMLP
from engine.models.trunk import GroupedAttention, PreNormBlock, TrunkConfig, TrunkDecoder, read_trunk


@dataclass(frozen=True, slots=True)
class Config(TrunkConfig):
    attention_bias: bool
    mlp_bias: bool

    @classmethod
    def read(cls, reader: Reader) -> Self:
        reader.choice("pretraining_tp", (1,), 1)
        for key in ("sliding_window", "num_experts", "num_local_experts"):
            reader.choice(key, (None,), None)
        return cls(
            **read_trunk(reader, "LlamaForCausalLM", "LLaMAForCausalLM"),
            attention_bias=reader.take("attention_bias", bool, False),
            mlp_bias=reader.take("mlp_bias", bool, False),
        )


class Block(PreNormBlock):
    def __init__(self, config: Config) -> None:
        bias = config.attention_bias
        mlp = GatedMLP(config.width, config.hidden, config.mlp_bias, config.activation)
        super().__init__(config, GroupedAttention(config, bias, bias), mlp)


class Model(TrunkDecoder):
    def __init__(self, config: Config) -> None:
        super().__init__(config, (Block(config) for _ in range(config.layers)))
