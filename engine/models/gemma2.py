"""The Gemma 2 architecture: norms around every part, soft caps on scores and logits, a window in every other layer.

Parameter names are the checkpoint's; norm weights are what is added to 1. Source: transformers' modeling_gemma2.py,
whose logits the tests compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor

from engine.models.base import Reader, Span
from engine.models.layers import ShiftedRMSNorm, soft_capped
from engine.models.trunk import (
    LARGEST_CONTEXT,
    GroupedAttention,
    SandwichBlock,
    TrunkConfig,
    TrunkDecoder,
    read_layer_types,
    read_trunk,
    scaled,
)


@dataclass(frozen=True, slots=True)
class Config(TrunkConfig):
    """query_scale: queries are divided by its root. score_cap, logit_cap: None is no cap."""

    attention_bias: bool
    query_scale: float
    score_cap: float | None
    logit_cap: float | None
    windows: tuple[int | None, ...]

    @classmethod
    def read(cls, reader: Reader) -> Self:
        reader.choice("use_bidirectional_attention", (None, False), False)
        trunk = read_trunk(
            reader,
            "Gemma2ForCausalLM",
            head_dim=256,
            context=8192,
            tied=True,
            activation_key="hidden_activation",
            activation="gelu_pytorch_tanh",
        )
        layers = trunk["layers"]
        types = read_layer_types(reader, layers) or ["sliding_attention", "full_attention"] * layers
        window = reader.count("sliding_window", 4096, most=LARGEST_CONTEXT)
        return cls(
            **trunk,
            attention_bias=reader.take("attention_bias", bool, False),
            query_scale=reader.positive("query_pre_attn_scalar", 256.0),
            score_cap=_read_cap(reader, "attn_logit_softcapping", 50.0),
            logit_cap=_read_cap(reader, "final_logit_softcapping", 30.0),
            windows=tuple(window if name == "sliding_attention" else None for name in types[:layers]),
        )


def _read_cap(reader: Reader, key: str, default: float) -> float | None:
    return None if reader.nulls(key) else reader.positive(key, default)


class Block(SandwichBlock):
    def __init__(self, config: Config) -> None:
        bias, scale = config.attention_bias, config.query_scale**-0.5
        super().__init__(config, GroupedAttention(config, bias, bias, scale, config.score_cap))


class Model(TrunkDecoder):
    config: Config

    def __init__(self, config: Config) -> None:
        blocks = (Block(config) for _ in range(config.layers))
        super().__init__(config, blocks, ShiftedRMSNorm(config.width, config.epsilon))

    def embed(self, ids: Tensor, span: Span) -> Tensor:
        return scaled(super().embed(ids, span))

    def head(self, x: Tensor) -> Tensor:
        logits, cap = super().head(x), self.config.logit_cap
        return logits if cap is None else soft_capped(logits, cap)

    def window(self, layer: int) -> int | None:
        return self.config.windows[layer]
