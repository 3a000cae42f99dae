"""The Blenderbot architecture: pre-norm blocks, learned positions, a norm at the end of both sides.

Source: transformers' modeling_blenderbot.py, whose logits the tests compare with.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.models import seq2seq
from engine.models.base import Remember, Source
from engine.models.layers import Embedding, LayerTap, Mask
from engine.models.seq2seq import Config, Side, TwoSided

__all__ = ["Config", "Model"]

LARGEST = torch.finfo(torch.float16).max - 1000
"""What the encoder's states are held to in fp16, which they outgrow. Source: the reference."""


class EncoderBlock(seq2seq.EncoderBlock):
    """Pre-norm: what goes into every part is normed."""

    def forward(self, x: Tensor, positions: object, mask: Mask, tap: LayerTap | None) -> Tensor:
        y = self.self_attn_layer_norm(x)
        x = x + self.self_attn(y, *self.self_attn.read(y), mask, tap)
        x = x + self.feed(self.final_layer_norm(x))
        return x.clamp(-LARGEST, LARGEST) if x.dtype == torch.float16 else x


class DecoderBlock(seq2seq.DecoderBlock):
    def forward(
        self,
        x: Tensor,
        positions: object,
        mask: Mask,
        remember: Remember,
        source: Source,
        tap: LayerTap | None,
        cross_tap: LayerTap | None,
    ) -> Tensor:
        y = self.self_attn_layer_norm(x)
        x = x + self.self_attn(y, *remember(*self.self_attn.read(y)), mask, tap)
        x = x + self.encoder_attn(self.encoder_attn_layer_norm(x), *source, cross_tap)
        return x + self.feed(self.final_layer_norm(x))


class Half(Side):
    def __init__(self, config: Config, block: type[EncoderBlock | DecoderBlock]) -> None:
        super().__init__(config, block)
        self.embed_positions = Embedding(config.context, config.width)
        self.layer_norm = nn.LayerNorm(config.width)

    def table(self, where: Tensor) -> Tensor:
        return self.embed_positions.weight[where]

    def enter(self, x: Tensor, start: int) -> Tensor:
        return x + self.embed_positions.weight[start : start + x.shape[1]]

    def leave(self, x: Tensor) -> Tensor:
        result: Tensor = self.layer_norm(x)
        return result


class Model(TwoSided):
    def __init__(self, config: Config) -> None:
        super().__init__(config, Half(config, EncoderBlock), Half(config, DecoderBlock))
