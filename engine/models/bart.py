"""The BART architecture: post-norm blocks, learned positions, a norm right after the embeddings.

Source: transformers' modeling_bart.py, whose logits the tests compare with.
"""

from __future__ import annotations

from torch import Tensor, nn

from engine.models.layers import Embedding
from engine.models.seq2seq import Config, DecoderBlock, EncoderBlock, Side, TwoSided

__all__ = ["Config", "Model"]

OFFSET = 2
"""The first rows of the positions are left over from fairseq's padding."""


class Half(Side):
    def __init__(self, config: Config, block: type[EncoderBlock | DecoderBlock]) -> None:
        super().__init__(config, block)
        self.embed_positions = Embedding(config.context + OFFSET, config.width)
        self.layernorm_embedding = nn.LayerNorm(config.width)

    def table(self, where: Tensor) -> Tensor:
        return self.embed_positions.weight[where + OFFSET]

    def enter(self, x: Tensor, start: int) -> Tensor:
        begin = start + OFFSET
        result: Tensor = self.layernorm_embedding(x + self.embed_positions.weight[begin : begin + x.shape[1]])
        return result


class Model(TwoSided):
    def __init__(self, config: Config) -> None:
        super().__init__(config, Half(config, EncoderBlock), Half(config, DecoderBlock))
