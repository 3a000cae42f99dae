"""The T5 architecture: T5 1.0, the gated 1.1 with Flan-T5, and mT5.

Pre-norm blocks without biases or scaled scores; positions are a bias of the scores that depends on the distance only,
learned by the first layer of each side and shared by the others. Parameter names are the checkpoint's.
Source: transformers' modeling_t5.py, whose logits the tests compare with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.models.base import Reader, Remember, Seq2Seq, Signal, Source
from engine.models.layers import ACTIVATIONS, Embedding, LayerTap, Mask, attention, project

CONTEXT = 2**14
"""Distances have no largest one; this only keeps a mistake from asking for more memory than there is."""


@dataclass(frozen=True, slots=True)
class Config:
    encoder_layers: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    width: int
    hidden: int
    vocabulary: int
    source_vocabulary: int
    context: int
    buckets: int
    farthest: int
    epsilon: float
    activation: str
    gated: bool
    scaled: bool

    @classmethod
    def read(cls, reader: Reader) -> Self:
        reader.choice("is_encoder_decoder", (True,), True)
        reader.choice("quantization_config", (None,), None)
        for name in reader.take("architectures", list, []):
            if name not in ("T5ForConditionalGeneration", "MT5ForConditionalGeneration", "T5WithLMHeadModel"):
                raise reader.refusal("architectures", name, "Vitrine runs T5ForConditionalGeneration.")
        mt5 = reader.take("model_type", str, "t5") == "mt5"
        layers, heads = reader.count("num_layers", most=1024), reader.count("num_heads")
        kinds = ("relu", "gated-gelu", "gated-silu", "gelu", "silu")
        feed_forward = reader.choice("feed_forward_proj", kinds, "gated-gelu" if mt5 else "relu")
        activation = feed_forward.removeprefix("gated-")
        # An untied head is not scaled; a file that transformers 5 wrote says so apart, and always calls it tied.
        tied = reader.take("tie_word_embeddings", bool, True)
        vocabulary = reader.count("vocab_size", most=2**24)
        return cls(
            encoder_layers=layers,
            layers=reader.count("num_decoder_layers", layers, most=1024),
            heads=heads,
            kv_heads=heads,
            head_dim=reader.count("d_kv"),
            width=reader.count("d_model"),
            hidden=reader.count("d_ff"),
            vocabulary=vocabulary,
            source_vocabulary=vocabulary,
            context=CONTEXT,
            buckets=reader.count("relative_attention_num_buckets", 32),
            farthest=reader.count("relative_attention_max_distance", 128),
            epsilon=reader.positive("layer_norm_epsilon", 1e-6),
            activation="gelu_new" if feed_forward == "gated-gelu" else activation,
            gated=feed_forward.startswith("gated-"),
            scaled=reader.take("scale_decoder_outputs", bool, tied) and not mt5,
        )


def bucket(distance: Tensor, buckets: int, farthest: int) -> Tensor:
    """The bucket of each distance, 0 or more: one each for the near half of them, then logarithmically wider ones.

    The largest distance in float32, as the checkpoints were trained with. Source: Mesh TensorFlow's transformer_layers.
    """
    exact = buckets // 2
    wider = torch.log(distance.float() / exact) / math.log(farthest / exact) * (buckets - exact)
    far = (exact + wider.clamp(min=0).long()).clamp(max=buckets - 1)
    return torch.where(distance < exact, distance, far)


class Norm(nn.RMSNorm):
    """An RMS norm whose result is of its weight's precision, whatever that of the states."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == self.weight.dtype:
            return super().forward(x)
        return functional.rms_norm(x, self.weight.shape, None, self.eps).to(self.weight.dtype) * self.weight


class Wide(nn.Linear):
    """A projection whose weight may be of a higher precision than what comes in."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype))


class Attention(nn.Module):
    def __init__(self, config: Config, first: bool = False) -> None:
        super().__init__()
        C, D, H = config.width, config.head_dim, config.heads
        self._D = D
        self.q = nn.Linear(C, H * D, bias=False)
        self.k = nn.Linear(C, H * D, bias=False)
        self.v = nn.Linear(C, H * D, bias=False)
        self.o = nn.Linear(H * D, C, bias=False)
        if first:
            self.relative_attention_bias = Embedding(config.buckets, H)

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of x [B, S, C], each [B, H, S, D]."""
        k, v = project(x, self.k, self.v)
        return self._heads(k), self._heads(v)

    def forward(self, x: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, mask: Mask, tap: LayerTap | None) -> Tensor:
        y = attention(self._heads(self.q(x)), k, v, mask, 1.0, tap, bias)
        result: Tensor = self.o(y.transpose(1, 2).flatten(2))
        return result

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], -1, self._D).transpose(1, 2)


class FeedForward(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.wi = nn.Linear(config.width, config.hidden, bias=False)
        self.wo = Wide(config.hidden, config.width, bias=False)
        self._activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.wo(self._activation(self.wi(x)))
        return result


class GatedFeedForward(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.wi_0 = nn.Linear(config.width, config.hidden, bias=False)
        self.wi_1 = nn.Linear(config.width, config.hidden, bias=False)
        self.wo = Wide(config.hidden, config.width, bias=False)
        self._activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        gate, up = project(x, self.wi_0, self.wi_1)
        result: Tensor = self.wo(self._activation(gate) * up)
        return result


class SelfLayer(nn.Module):
    def __init__(self, config: Config, first: bool) -> None:
        super().__init__()
        self.SelfAttention = Attention(config, first)
        self.layer_norm = Norm(config.width, config.epsilon)

    def forward(self, x: Tensor, bias: Tensor, mask: Mask, remember: Remember | None, tap: LayerTap | None) -> Tensor:
        y = self.layer_norm(x)
        k, v = self.SelfAttention.read(y)
        if remember is not None:
            k, v = remember(k, v)
        result: Tensor = x + self.SelfAttention(y, k, v, bias, mask, tap)
        return result


class CrossLayer(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.EncDecAttention = Attention(config)
        self.layer_norm = Norm(config.width, config.epsilon)

    def forward(self, x: Tensor, source: Source, tap: LayerTap | None) -> Tensor:
        k, v, mask = source
        result: Tensor = x + self.EncDecAttention(self.layer_norm(x), k, v, None, mask, tap)
        return result


class FeedLayer(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.DenseReluDense = GatedFeedForward(config) if config.gated else FeedForward(config)
        self.layer_norm = Norm(config.width, config.epsilon)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.DenseReluDense(self.layer_norm(x))
        return result


class EncoderBlock(nn.Module):
    def __init__(self, config: Config, first: bool) -> None:
        super().__init__()
        self.layer = nn.ModuleList((SelfLayer(config, first), FeedLayer(config)))

    def forward(self, x: Tensor, bias: Tensor, mask: Mask, tap: LayerTap | None) -> Tensor:
        x = self.layer[0](x, bias, mask, None, tap)
        result: Tensor = self.layer[1](x)
        return result


class DecoderBlock(nn.Module):
    def __init__(self, config: Config, first: bool) -> None:
        super().__init__()
        self.layer = nn.ModuleList((SelfLayer(config, first), CrossLayer(config), FeedLayer(config)))

    def read(self, states: Tensor) -> tuple[Tensor, Tensor]:
        cross = self.layer[1]
        assert isinstance(cross, CrossLayer)
        return cross.EncDecAttention.read(states)

    def forward(
        self,
        x: Tensor,
        bias: Tensor,
        mask: Mask,
        remember: Remember,
        source: Source,
        tap: LayerTap | None,
        cross_tap: LayerTap | None,
    ) -> Tensor:
        x = self.layer[0](x, bias, mask, remember, tap)
        x = self.layer[1](x, source, cross_tap)
        result: Tensor = self.layer[2](x)
        return result


class Stack(nn.Module):
    """One side: its blocks, the bias that they share, and its last norm."""

    def __init__(self, config: Config, block: type[EncoderBlock | DecoderBlock], layers: int) -> None:
        super().__init__()
        self._config = config
        self._both_ways = block is EncoderBlock
        self.block = nn.ModuleList(block(config, first=index == 0) for index in range(layers))
        self.final_layer_norm = Norm(config.width, config.epsilon)

    @property
    def _table(self) -> nn.Embedding:
        return self.get_submodule("block.0.layer.0.SelfAttention.relative_attention_bias")  # type: ignore

    def bias(self, T: int, S: int) -> Tensor:
        """What the last T of S positions add to their scores, [1, H, T, S]."""
        keys = torch.arange(S, device=self._table.weight.device)
        return self.added(keys - keys[S - T :, None])[None]

    def added(self, ahead: Tensor) -> Tensor:
        """What each head adds to the score of a key so far ahead of its query, int64 [T, S]: [H, T, S]."""
        ahead = ahead.to(self._table.weight.device)
        buckets, farthest = self._config.buckets, self._config.farthest
        if self._both_ways:
            which = bucket(ahead.abs(), buckets // 2, farthest) + (ahead > 0) * (buckets // 2)
        else:
            which = bucket((-ahead).clamp(min=0), buckets, farthest)
        result: Tensor = self._table(which).permute(2, 0, 1)
        return result


class Model(Seq2Seq):
    """The states between the blocks outgrow 16-bit floats of the IEEE kind, so with such weights they are 32 bits wide,
    and the projections that make them large too, as in transformers.
    """

    config: Config
    optional: Mapping[str, str] = {"lm_head.weight": "shared.weight"}
    exact = (".wo.weight",)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.shared = Embedding(config.vocabulary, config.width)
        self.encoder = Stack(config, EncoderBlock, config.encoder_layers)
        self.decoder = Stack(config, DecoderBlock, config.layers)
        self.lm_head = nn.Linear(config.width, config.vocabulary, bias=False)

    def embed_source(self, ids: Tensor) -> Tensor:
        x: Tensor = self.shared(ids)
        return x.float() if x.dtype == torch.float16 else x

    def source_positions(self, x: Tensor) -> Tensor:
        return self.encoder.bias(x.shape[1], x.shape[1])

    def signals(self, where: Tensor) -> list[Signal]:
        both = torch.cat((-where.flip(0), where[where > 0]))
        return [
            Signal("relative", self.encoder.added(both[None])[:, 0], "encoder", ahead=True),
            Signal("relative", self.decoder.added(-where[None])[:, 0]),
        ]

    def source_blocks(self) -> nn.ModuleList:
        return self.encoder.block

    def source_end(self, x: Tensor) -> Tensor:
        x = self.encoder.final_layer_norm(x)
        return x

    def embed(self, ids: Tensor, start: int) -> Tensor:
        return self.embed_source(ids)

    def positions(self, start: int, x: Tensor) -> Tensor:
        return self.decoder.bias(x.shape[1], start + x.shape[1])

    def blocks(self) -> nn.ModuleList:
        return self.decoder.block

    def head(self, x: Tensor) -> Tensor:
        x = self.decoder.final_layer_norm(x)
        if self.config.scaled:
            x = x * self.config.width**-0.5
        logits: Tensor = self.lm_head(x)
        return logits

    def rename(self, name: str) -> str | None:
        if name in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight"):  # copies of the shared one
            return None
        # Files of 2020 carry one that nothing reads.
        return None if name.endswith("EncDecAttention.relative_attention_bias.weight") else name
