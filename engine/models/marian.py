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
    def __init__(self, config: Config, block: type[EncoderBlock | DecoderBlock]) -> None:
        super().__init__(config, block)
        self._C = config.width

    def table(self, where: Tensor) -> Tensor:
        pairs = torch.arange(0, self._C, 2, device=where.device, dtype=torch.float64)
        angles = torch.outer(where, 10000.0 ** (-pairs / self._C))
        # All sines, then all cosines; of an odd width the last pair has no cosine.
        return torch.cat((angles.sin(), angles[:, : self._C // 2].cos()), -1)

    def enter(self, x: Tensor, start: int) -> Tensor:
        return x + self.table(torch.arange(start, start + x.shape[1], device=x.device)).to(x.dtype)


class Model(TwoSided):
    places = "sinusoidal"

    def __init__(self, config: Config) -> None:
        super().__init__(config, Half(config, EncoderBlock), Half(config, DecoderBlock))

    def rename(self, name: str) -> str | None:
        return None if name.endswith("embed_positions.weight") else super().rename(name)
