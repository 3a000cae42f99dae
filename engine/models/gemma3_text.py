"""The text part of the Gemma 3 architecture: five layers with a window and fast rotary positions, then a full one.

Norms around every part, and on every head's queries and keys. Parameter names are the checkpoint's; norm weights are
what is added to 1. Of a model that also sees (gemma3) the text part is run, which without a picture computes the same
alone. Source: transformers' modeling_gemma3.py, whose logits the tests compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor

from engine.models.base import Reader, Remember, Signal, Span
from engine.models.layers import LayerTap, Mask, Rotary, RotaryConfig, ShiftedRMSNorm, Table, soft_capped
from engine.models.reading import plain_decoder, read_rotary, read_scaling
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

THETA, LOCAL_THETA = 1_000_000.0, 10_000.0

UNSAID = {"num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 262208}
"""What the released configs leave out of their text parts."""

SIGHT = ("vision_tower.", "multi_modal_projector.")
"""How the names begin of what a picture would go through."""


@dataclass(frozen=True, slots=True)
class Config(TrunkConfig):
    """query_scale: queries are divided by its root. local_rotary: that of the layers with a window.

    sees: whether the checkpoint is of a model that also sees.
    """

    local_rotary: RotaryConfig
    attention_bias: bool
    query_scale: float
    logit_cap: float | None
    windows: tuple[int | None, ...]
    sees: bool

    @classmethod
    def read(cls, reader: Reader) -> Self:
        sees = reader.take("model_type", str, "gemma3_text") == "gemma3"
        if sees:
            plain_decoder(reader, "Gemma3ForConditionalGeneration")
            reader = reader.within("text_config", UNSAID)
        reader.choice("use_bidirectional_attention", (None, False), False)
        reader.choice("attn_logit_softcapping", (None,), None)
        rotary, local_rotary = _read_rotaries(reader)
        trunk = read_trunk(
            reader,
            "Gemma3ForCausalLM",
            head_dim=256,
            context=131072,
            tied=True,
            activation_key="hidden_activation",
            activation="gelu_pytorch_tanh",
            rotary=rotary,
        )
        layers = trunk["layers"]
        every = reader.count("sliding_window_pattern", 6)
        types = read_layer_types(reader, layers) or [
            "full_attention" if (index + 1) % every == 0 else "sliding_attention" for index in range(layers)
        ]
        window = reader.count("sliding_window", 4096, most=LARGEST_CONTEXT)
        return cls(
            **trunk,
            local_rotary=local_rotary,
            attention_bias=reader.take("attention_bias", bool, False),
            query_scale=reader.positive("query_pre_attn_scalar", 256.0),
            logit_cap=reader.positive("final_logit_softcapping") if reader.has("final_logit_softcapping") else None,
            windows=tuple(window if name == "sliding_attention" else None for name in types),
            sees=sees,
        )


def _read_rotaries(reader: Reader) -> tuple[RotaryConfig, RotaryConfig]:
    """Of the full layers and of those with a window: by kind of layer, or in the older dialect by two bases."""
    context = reader.count("max_position_embeddings", 131072, most=LARGEST_CONTEXT)
    both = reader.inner("rope_parameters")
    local = reader.positive("rope_local_base_freq", LOCAL_THETA)
    if both is None or not (both.has("full_attention") or both.has("sliding_attention")):
        return read_rotary(reader, context, THETA), RotaryConfig(local)
    theta = reader.positive("rope_theta", THETA)
    return (
        read_scaling(both.inner("full_attention"), theta, context),
        read_scaling(both.inner("sliding_attention"), local, context),
    )


class Attention(GroupedAttention):
    def __init__(self, config: Config) -> None:
        super().__init__(config, config.attention_bias, config.attention_bias, config.query_scale**-0.5)
        self.q_norm = ShiftedRMSNorm(config.head_dim, config.epsilon)
        self.k_norm = ShiftedRMSNorm(config.head_dim, config.epsilon)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = super().project(x)
        return self.q_norm(q), self.k_norm(k), v


class Block(SandwichBlock):
    def __init__(self, config: Config, local: bool) -> None:
        super().__init__(config, Attention(config))
        self._local = local

    def forward(
        self, x: Tensor, tables: tuple[Table, Table], mask: Mask, remember: Remember, tap: LayerTap | None
    ) -> Tensor:
        """tables: that of full layers, and that of layers with a window."""
        return super().forward(x, tables[self._local], mask, remember, tap)


class Model(TrunkDecoder):
    config: Config

    def __init__(self, config: Config) -> None:
        blocks = (Block(config, window is not None) for window in config.windows)
        super().__init__(config, blocks, ShiftedRMSNorm(config.width, config.epsilon))
        self._local_rotary = Rotary(config.local_rotary, config.head_dim)

    def embed(self, ids: Tensor, span: Span) -> Tensor:
        return scaled(super().embed(ids, span))

    def positions(self, span: Span, x: Tensor) -> object:
        return super().positions(span, x), self._local_rotary.over(span, x)

    def signals(self, where: Tensor) -> list[Signal]:
        kinds = ((self._rotary, False), (self._local_rotary, True))
        served = [
            (r, tuple(i for i, w in enumerate(self.config.windows) if (w is not None) == local)) for r, local in kinds
        ]
        return [Signal("rotary", rotary.angles(where), layers=layers) for rotary, layers in served if layers]

    def head(self, x: Tensor) -> Tensor:
        logits, cap = super().head(x), self.config.logit_cap
        return logits if cap is None else soft_capped(logits, cap)

    def window(self, layer: int) -> int | None:
        return self.config.windows[layer]

    @property
    def note(self) -> str:
        return "It reads text only: its vision part is not loaded." if self.config.sees else ""

    def rename(self, name: str) -> str | None:
        if self.config.sees:
            name = name.removeprefix("model.")  # outermost in some files, behind the part's name in others
            if name.startswith(SIGHT):
                return None
            name = name.removeprefix("language_model.").removeprefix("model.")
            name = name if name.startswith("lm_head.") else f"model.{name}"
        return super().rename(name)
