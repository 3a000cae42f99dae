"""The architecture of the small Blenderbot: BART's blocks, but the decoder norms its embeddings before the positions.

Source: transformers' modeling_blenderbot_small.py, whose logits the tests compare with.
"""

from __future__ import annotations

from torch import Tensor, nn

from engine.models.layers import Embedding
from engine.models.seq2seq import Config, DecoderBlock, EncoderBlock, Side, TwoSided

__all__ = ["Config", "Model"]


class Half(Side):
    def __init__(self, config: Config, block: type[EncoderBlock | DecoderBlock]) -> None:
        super().__init__(config, block)
        self.embed_positions = Embedding(config.context, config.width)
        self.layernorm_embedding = nn.LayerNorm(config.width)

    def table(self, where: Tensor) -> Tensor:
        return self.embed_positions.weight[where]

    def positions(self, x: Tensor, start: int) -> Tensor:
        return self.embed_positions.weight[start : start + x.shape[1]]


class EncoderHalf(Half):
    def enter(self, x: Tensor, start: int) -> Tensor:
        result: Tensor = self.layernorm_embedding(x + self.positions(x, start))
        return result


class DecoderHalf(Half):
    def enter(self, x: Tensor, start: int) -> Tensor:
        result: Tensor = self.layernorm_embedding(x) + self.positions(x, start)
        return result


class Model(TwoSided):
    def __init__(self, config: Config) -> None:
        super().__init__(config, EncoderHalf(config, EncoderBlock), DecoderHalf(config, DecoderBlock))
