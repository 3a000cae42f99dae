"""The OLMo 2 architecture: norms behind attention and feed-forward, and norms over all queries and all keys.

Nothing is normed before a part, only what it returns. Parameter names are the checkpoint's. Source: transformers'
modeling_olmo2.py, whose logits the tests compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor, nn

from engine.models.base import Reader, Remember
from engine.models.layers import GatedMLP, LayerTap, Mask, Table, heads, project
from engine.models.trunk import GroupedAttention, TrunkConfig, TrunkDecoder, read_trunk


@dataclass(frozen=True, slots=True)
class Config(TrunkConfig):
    attention_bias: bool

    @classmethod
    def read(cls, reader: Reader) -> Self:
        trunk = read_trunk(reader, "Olmo2ForCausalLM", epsilon=1e-5)
        return cls(**trunk, attention_bias=reader.take("attention_bias", bool, False))


class Attention(GroupedAttention):
    def __init__(self, config: Config) -> None:
        super().__init__(config, config.attention_bias, config.attention_bias)
        self.q_norm = nn.RMSNorm(config.heads * config.head_dim, config.epsilon)
        self.k_norm = nn.RMSNorm(config.kv_heads * config.head_dim, config.epsilon)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = project(x, self.q_proj, self.k_proj, self.v_proj)
        return heads(self.q_norm(q), self._D), heads(self.k_norm(k), self._D), heads(v, self._D)


class Block(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.width, config.epsilon)
        self.mlp = GatedMLP(config.width, config.hidden, False, config.activation)
        self.post_feedforward_layernorm = nn.RMSNorm(config.width, config.epsilon)

    def forward(self, x: Tensor, table: Table, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        x = x + self.post_attention_layernorm(self.self_attn(x, table, mask, remember, tap))
        result: Tensor = x + self.post_feedforward_layernorm(self.mlp(x))
        return result


class Model(TrunkDecoder):
    def __init__(self, config: Config) -> None:
        super().__init__(config, (Block(config) for _ in range(config.layers)))
