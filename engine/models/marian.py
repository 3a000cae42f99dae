"""The Marian architecture, as in the OPUS-MT translators: post-norm blocks, sinusoidal positions, no norm besides.

The positions are computed; the copies that files carry are not read. Source: transformers' modeling_marian.py, whose
logits the tests compare with.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.models.seq2seq import Config, DecoderBlock, EncoderBlock, Side, TwoSided

__all__ = ["Config", "Model"]


class Half(Side):
    def enter(self, x: Tensor, start: int) -> Tensor:
        _, T, C = x.shape
        pairs = torch.arange(0, C, 2, device=x.device, dtype=torch.float64)
        angles = torch.outer(torch.arange(start, start + T, device=x.device), 10000.0 ** (-pairs / C))
        # All sines, then all cosines; of an odd width the last pair has no cosine.
        return x + torch.cat((angles.sin(), angles[:, : C // 2].cos()), -1).to(x.dtype)


class Model(TwoSided):
    def __init__(self, config: Config) -> None:
        super().__init__(config, Half(config, EncoderBlock), Half(config, DecoderBlock))

    def rename(self, name: str) -> str | None:
        return None if name.endswith("embed_positions.weight") else super().rename(name)
