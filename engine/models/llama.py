"""The Llama architecture, as in Llama 1, 2 and 3 and the many models that share it.

Pre-norm blocks, rotary positions, grouped heads, a gated feed-forward, tied or untied head. Parameter names are the
checkpoint's. Source: transformers' modeling_llama.py, whose logits the tests compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor, nn
from torch.nn import functional

from engine.models.base import Decoder, Reader, Remember, read_rotary
from engine.models.layers import ACTIVATIONS, GatedMLP, LayerTap, Mask, Rotary, RotaryConfig, attention, rotate

Table = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Config:
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    width: int
    hidden: int
    vocabulary: int
    context: int
    rotary: RotaryConfig
    epsilon: float
    activation: str
    attention_bias: bool
    mlp_bias: bool
    tied: bool

    @classmethod
    def read(cls, reader: Reader) -> Self:
        reader.choice("pretraining_tp", (1,), 1)
        reader.choice("is_encoder_decoder", (False,), False)
        for key in ("quantization_config", "sliding_window", "num_experts", "num_local_experts"):
            reader.choice(key, (None,), None)
        for name in reader.take("architectures", list, []):
            if name not in ("LlamaForCausalLM", "LLaMAForCausalLM"):
                raise reader.refusal("architectures", name, "Vitrine runs LlamaForCausalLM.")
        width, heads = reader.count("hidden_size"), reader.count("num_attention_heads")
        kv_heads = reader.count("num_key_value_heads", heads)
        if heads % kv_heads:
            raise reader.refusal("num_key_value_heads", kv_heads, f"It has to divide the {heads} attention heads.")
        if not reader.has("head_dim") and width % heads:
            raise reader.refusal("hidden_size", width, f"It has to be a multiple of the {heads} attention heads.")
        head_dim = reader.count("head_dim", width // heads)
        if head_dim % 2:
            raise reader.refusal("head_dim", head_dim, "Rotary positions need an even width.")
        context = reader.count("max_position_embeddings", 2048, most=2**31 - 1)
        return cls(
            layers=reader.count("num_hidden_layers", most=1024),
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            width=width,
            hidden=reader.count("intermediate_size"),
            vocabulary=reader.count("vocab_size", most=2**24),
            context=context,
            rotary=read_rotary(reader, context),
            epsilon=reader.positive("rms_norm_eps", 1e-6),
            activation=reader.choice("hidden_act", tuple(ACTIVATIONS), "silu"),
            attention_bias=reader.take("attention_bias", bool, False),
            mlp_bias=reader.take("mlp_bias", bool, False),
            tied=reader.take("tie_word_embeddings", bool, False),
        )


class Attention(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        C, D, bias = config.width, config.head_dim, config.attention_bias
        self._D = D
        self.q_proj = nn.Linear(C, config.heads * D, bias=bias)
        self.k_proj = nn.Linear(C, config.kv_heads * D, bias=bias)
        self.v_proj = nn.Linear(C, config.kv_heads * D, bias=bias)
        self.o_proj = nn.Linear(config.heads * D, C, bias=bias)

    def forward(self, x: Tensor, table: Table, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        B, T, _ = x.shape
        q = rotate(self.q_proj(x).view(B, T, -1, self._D), table).transpose(1, 2)  # [B, H, T, D]
        k = rotate(self.k_proj(x).view(B, T, -1, self._D), table).transpose(1, 2)  # [B, K, T, D]
        v = self.v_proj(x).view(B, T, -1, self._D).transpose(1, 2)
        k, v = remember(k, v)  # [B, K, S, D]
        y = attention(q, k, v, mask, self._D**-0.5, tap)
        result: Tensor = self.o_proj(y.transpose(1, 2).reshape(B, T, -1))
        return result


class Block(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.width, config.epsilon)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.width, config.epsilon)
        self.mlp = GatedMLP(config.width, config.hidden, config.mlp_bias, config.activation)

    def forward(self, x: Tensor, table: Table, mask: Mask, remember: Remember, tap: LayerTap | None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), table, mask, remember, tap)
        result: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return result


class Trunk(nn.Module):
    """What the checkpoint's names begin with "model." for."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocabulary, config.width)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, config.epsilon)


class Model(Decoder):
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        self.lm_head = None if config.tied else nn.Linear(config.width, config.vocabulary, bias=False)
        self._rotary = Rotary(config.rotary, config.head_dim)

    def embed(self, ids: Tensor, start: int) -> Tensor:
        x: Tensor = self.model.embed_tokens(ids)
        return x

    def positions(self, start: int, x: Tensor) -> Table:
        return self._rotary.at(start, x.shape[1], x)

    def blocks(self) -> nn.ModuleList:
        return self.model.layers

    def head(self, x: Tensor) -> Tensor:
        x = self.model.norm(x)
        if self.lm_head is None:
            return functional.linear(x, self.model.embed_tokens.weight)
        logits: Tensor = self.lm_head(x)
        return logits

    def rename(self, name: str) -> str | None:
        if name.endswith(".rotary_emb.inv_freq"):  # computed from the config; files of 2023 carry it
            return None
        return None if name == "lm_head.weight" and self.config.tied else name
