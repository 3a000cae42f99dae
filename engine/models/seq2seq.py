"""What the encoder-decoders of BART's kin share: the config, the parts of a block, and the way through both sides.

Learned or computed positions, where the norms stand and what the checkpoint holds beside is the families' own.
Parameter names are the checkpoint's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from engine.models.base import Reader, Remember, Seq2Seq, Signal, Source
from engine.models.layers import ACTIVATIONS, Embedding, LayerTap, Mask, attention, project

HEADS = ("ForConditionalGeneration", "MTModel", "Model")
"""How the architectures end that hold a target's logits; a bare Model has its head tied."""

SIDES = ("encoder", "decoder")


@dataclass(frozen=True, slots=True)
class Config:
    """heads, hidden, ... are the decoder's; scale is what embeddings are multiplied by."""

    encoder_layers: int
    encoder_heads: int
    encoder_hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    width: int
    hidden: int
    vocabulary: int
    source_vocabulary: int
    shared: bool
    context: int
    activation: str
    scale: float
    tied: bool

    @classmethod
    def read(cls, reader: Reader) -> Self:
        reader.choice("is_encoder_decoder", (True,), True)
        reader.choice("quantization_config", (None,), None)
        for name in reader.take("architectures", list, []):
            if not str(name).endswith(HEADS):
                raise reader.refusal("architectures", name, "Vitrine runs those that write a target for a source.")
        width, vocabulary = reader.count("d_model"), reader.count("vocab_size", most=2**24)
        encoder_heads, heads = reader.count("encoder_attention_heads"), reader.count("decoder_attention_heads")
        for key, count in (("encoder_attention_heads", encoder_heads), ("decoder_attention_heads", heads)):
            if width % count:
                raise reader.refusal(key, count, f"It has to divide the width, {width}.")
        shared = reader.take("share_encoder_decoder_embeddings", bool, True)
        activation = reader.choice("activation_function", (*ACTIVATIONS, "swish"), "gelu")
        return cls(
            encoder_layers=reader.count("encoder_layers", most=1024),
            encoder_heads=encoder_heads,
            encoder_hidden=reader.count("encoder_ffn_dim"),
            layers=reader.count("decoder_layers", most=1024),
            heads=heads,
            kv_heads=heads,
            head_dim=width // heads,
            width=width,
            hidden=reader.count("decoder_ffn_dim"),
            vocabulary=vocabulary if shared else reader.count("decoder_vocab_size", vocabulary, most=2**24),
            source_vocabulary=vocabulary,
            shared=shared,
            context=reader.count("max_position_embeddings"),
            activation="silu" if activation == "swish" else activation,
            scale=math.sqrt(width) if reader.take("scale_embedding", bool, False) else 1.0,
            tied=reader.take("tie_word_embeddings", bool, True),
        )


class Attention(nn.Module):
    def __init__(self, C: int, H: int) -> None:
        super().__init__()
        self._D = C // H
        self.k_proj = nn.Linear(C, C)
        self.v_proj = nn.Linear(C, C)
        self.q_proj = nn.Linear(C, C)
        self.out_proj = nn.Linear(C, C)

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of x [B, S, C], each [B, H, S, D]."""
        k, v = project(x, self.k_proj, self.v_proj)
        return self._heads(k), self._heads(v)

    def forward(self, x: Tensor, k: Tensor, v: Tensor, mask: Mask, tap: LayerTap | None) -> Tensor:
        y = attention(self._heads(self.q_proj(x)), k, v, mask, self._D**-0.5, tap)
        result: Tensor = self.out_proj(y.transpose(1, 2).flatten(2))
        return result

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], -1, self._D).transpose(1, 2)


class EncoderBlock(nn.Module):
    """Post-norm: every part's result is added and then normed."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        C = config.width
        self.self_attn = Attention(C, config.encoder_heads)
        self.self_attn_layer_norm = nn.LayerNorm(C)
        self.fc1 = nn.Linear(C, config.encoder_hidden)
        self.fc2 = nn.Linear(config.encoder_hidden, C)
        self.final_layer_norm = nn.LayerNorm(C)
        self._activation = ACTIVATIONS[config.activation]

    def feed(self, x: Tensor) -> Tensor:
        result: Tensor = self.fc2(self._activation(self.fc1(x)))
        return result

    def forward(self, x: Tensor, positions: object, mask: Mask, tap: LayerTap | None) -> Tensor:
        x = self.self_attn_layer_norm(x + self.self_attn(x, *self.self_attn.read(x), mask, tap))
        result: Tensor = self.final_layer_norm(x + self.feed(x))
        return result


class DecoderBlock(nn.Module):
    """The same with a look at the source in between."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        C = config.width
        self.self_attn = Attention(C, config.heads)
        self.self_attn_layer_norm = nn.LayerNorm(C)
        self.encoder_attn = Attention(C, config.heads)
        self.encoder_attn_layer_norm = nn.LayerNorm(C)
        self.fc1 = nn.Linear(C, config.hidden)
        self.fc2 = nn.Linear(config.hidden, C)
        self.final_layer_norm = nn.LayerNorm(C)
        self._activation = ACTIVATIONS[config.activation]

    def feed(self, x: Tensor) -> Tensor:
        result: Tensor = self.fc2(self._activation(self.fc1(x)))
        return result

    def read(self, states: Tensor) -> tuple[Tensor, Tensor]:
        return self.encoder_attn.read(states)

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
        x = self.self_attn_layer_norm(x + self.self_attn(x, *remember(*self.self_attn.read(x)), mask, tap))
        x = self.encoder_attn_layer_norm(x + self.encoder_attn(x, *source, cross_tap))
        result: Tensor = self.final_layer_norm(x + self.feed(x))
        return result


class Side(nn.Module):
    """The encoder or the decoder. A family says how tokens enter and how states leave."""

    def __init__(self, config: Config, block: type[EncoderBlock | DecoderBlock]) -> None:
        super().__init__()
        self.embed_tokens: nn.Embedding | None = None  # where it is not the one that both sides share
        layers = config.encoder_layers if issubclass(block, EncoderBlock) else config.layers
        self.layers = nn.ModuleList(block(config) for _ in range(layers))

    def enter(self, x: Tensor, start: int) -> Tensor:
        """Tokens [B, T, C] with their positions, the first of which is start."""
        raise NotImplementedError

    def table(self, where: Tensor) -> Tensor:
        """What is added to the tokens at these positions: int64 [R] to [R, C]."""
        raise NotImplementedError

    def leave(self, x: Tensor) -> Tensor:
        """The last norm, where it has one."""
        return x


class Trunk(nn.Module):
    """What the checkpoint's names begin with "model." for."""

    def __init__(self, config: Config, encoder: Side, decoder: Side) -> None:
        super().__init__()
        if config.shared:
            self.shared = Embedding(config.vocabulary, config.width)
        if not (config.shared and config.tied):
            encoder.embed_tokens = Embedding(config.source_vocabulary, config.width)
            decoder.embed_tokens = Embedding(config.vocabulary, config.width)
        self.encoder = encoder
        self.decoder = decoder


class TwoSided(Seq2Seq):
    """The way through both sides, which a family gives. places: the kind of their positions."""

    config: Config
    places = "learned"

    def __init__(self, config: Config, encoder: Side, decoder: Side) -> None:
        super().__init__()
        self.config = config
        self.model = Trunk(config, encoder, decoder)
        self.lm_head = nn.Linear(config.width, config.vocabulary, bias=False)
        self.final_logits_bias = nn.Parameter(torch.empty(1, config.vocabulary))
        self.optional = {"final_logits_bias": ""}
        if config.tied:
            self.optional["lm_head.weight"] = f"model.{'shared' if config.shared else 'decoder.embed_tokens'}.weight"
        elif config.shared:  # files of transformers 5 then hold three embeddings, older ones a single one
            self.optional |= {f"model.{side}.embed_tokens.weight": "model.shared.weight" for side in SIDES}

    def embed_source(self, ids: Tensor) -> Tensor:
        tokens = self.model.encoder.embed_tokens or self.model.shared
        return self.model.encoder.enter(tokens(ids) * self.config.scale, 0)

    def source_end(self, x: Tensor) -> Tensor:
        return self.model.encoder.leave(x)

    def embed(self, ids: Tensor, start: int) -> Tensor:
        tokens = self.model.decoder.embed_tokens or self.model.shared
        return self.model.decoder.enter(tokens(ids) * self.config.scale, start)

    def signals(self, where: Tensor) -> list[Signal]:
        sides = (("encoder", self.model.encoder), ("layers", self.model.decoder))
        return [Signal(self.places, half.table(where), side) for side, half in sides]

    def source_blocks(self) -> nn.ModuleList:
        return self.model.encoder.layers

    def blocks(self) -> nn.ModuleList:
        return self.model.decoder.layers

    def head(self, x: Tensor) -> Tensor:
        logits: Tensor = self.lm_head(self.model.decoder.leave(x)) + self.final_logits_bias
        return logits

    def rename(self, name: str) -> str | None:
        if name.startswith(("shared.", "encoder.", "decoder.")):  # files of a bare Model
            name = f"model.{name}"
        copies = self.config.shared and self.config.tied and name.endswith("embed_tokens.weight")
        return None if copies else name
