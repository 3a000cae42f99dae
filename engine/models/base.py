"""What every decoder is to the rest of the engine: ids in, logits out, with a cache, a tap and a way to stop.

A model holds weights only. Whose cache it writes to, who looks at its attention and who may interrupt it are arguments.
The loop over the blocks lives here, so that every family can be stopped between two layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from torch import Tensor, nn

from engine.errors import ContextOverflow
from engine.models.layers import LayerTap, Mask, RotaryConfig, causal
from engine.models.reader import REQUIRED, Reader

__all__ = ["REQUIRED", "Cache", "Decoder", "DecoderConfig", "Reader", "Remember", "Tap", "read_rotary"]

Remember = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Takes a layer's new keys and values [B, K, T, D], gives all of them up to now [B, K, S, D]."""


class DecoderConfig(Protocol):
    """What is asked of every family's frozen Config; more is the family's own business."""

    @property
    def layers(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def kv_heads(self) -> int: ...
    @property
    def head_dim(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def vocabulary(self) -> int: ...
    @property
    def context(self) -> int: ...


class Cache(Protocol):
    """Keys and values of what was read before (engine/decoding/cache.py)."""

    @property
    def length(self) -> int: ...

    def update(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Put k and v [B, K, T, D] behind what the layer has; all of them, [B, K, length + T, D]."""
        ...

    def advance(self, T: int) -> None:
        """Called once all layers are updated: only now do T more positions count."""
        ...


class Tap(Protocol):
    """Who looks at attention while the model runs (engine/inside/capture.py)."""

    def layer(self, name: str) -> LayerTap | None:
        """The receiver of a layer's weights ("layers.3.self"), or None: that layer then runs fused."""
        ...


class Decoder(nn.Module):
    """Base of the decoder families. A family gives `embed`, `positions`, `blocks` and `head`."""

    config: DecoderConfig

    def embed(self, ids: Tensor, start: int) -> Tensor:
        """Ids [B, T] at positions start, start + 1, ... to [B, T, C]."""
        raise NotImplementedError

    def positions(self, start: int, x: Tensor) -> object:
        """What every block needs to know of x's positions, computed once a pass and handed to each."""
        raise NotImplementedError

    def blocks(self) -> Iterable[nn.Module]:
        """In order; each is called with (x, positions, mask, remember, tap) and returns the new x."""
        raise NotImplementedError

    def head(self, x: Tensor) -> Tensor:
        """The last norm and the output projection: [B, T, C] to [B, T, V]."""
        raise NotImplementedError

    def rename(self, name: str) -> str | None:
        """The parameter that a tensor of the checkpoint belongs to; None for one that is not needed."""
        return name

    def forward(
        self,
        ids: Tensor,
        cache: Cache | None = None,
        tap: Tap | None = None,
        check: Callable[[], None] | None = None,
        last: bool = False,
    ) -> Tensor:
        """Logits, float32 [B, T, V], or [B, 1, V] if only the last position's are asked for; ids [B, T].

        The ids come after what the cache holds, and are added to it. check is called before every block and may raise
        (Cancelled): the cache then counts nothing of this pass.
        """
        T = ids.shape[1]
        start = cache.length if cache is not None else 0
        if start + T > self.config.context:
            raise ContextOverflow(
                f"The text is {start + T} tokens long, the model can read {self.config.context}.",
                "Shorten it, or start a new chat.",
            )
        x = self.embed(ids, start)
        positions = self.positions(start, x)
        mask: Mask = causal(T, start + T, x.device)
        for index, block in enumerate(self.blocks()):
            if check is not None:
                check()
            remember = partial(cache.update, index) if cache is not None else _forget
            x = block(x, positions, mask, remember, tap.layer(f"layers.{index}.self") if tap is not None else None)
        if cache is not None:
            cache.advance(T)
        return self.head(x[:, -1:] if last else x).float()


def _forget(k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    return k, v


def read_rotary(reader: Reader, context: int) -> RotaryConfig:
    """Rotary settings from either dialect: rope_parameters, or rope_theta beside rope_scaling.

    Scaling kinds that are not here raise UnsupportedModel with their name.
    """
    theta = reader.positive("rope_theta", 10000.0)
    scaling = reader.inner("rope_parameters") or reader.inner("rope_scaling")
    if scaling is None:
        return RotaryConfig(theta)
    kind = "rope_type" if scaling.has("rope_type") else "type"
    name = scaling.choice(kind, ("default", "linear", "llama3"), "default")
    theta = scaling.positive("rope_theta", theta)
    scaling.choice("partial_rotary_factor", (1.0,), 1.0)
    if name == "default":
        return RotaryConfig(theta)
    factor = scaling.positive("factor")
    if name == "linear":
        return RotaryConfig(theta, name, factor)
    low, high = scaling.positive("low_freq_factor"), scaling.positive("high_freq_factor")
    if not low < high:
        raise scaling.refusal("low_freq_factor", low, f"It has to be below high_freq_factor, which is {high}.")
    return RotaryConfig(theta, name, factor, low, high, scaling.count("original_max_position_embeddings", context))


def plain_decoder(reader: Reader, *architectures: str) -> None:
    """Refuse what no decoder here does: other heads than these architectures', quantised weights, cross-attention."""
    for key in ("is_encoder_decoder", "add_cross_attention"):
        reader.choice(key, (False,), False)
    reader.choice("quantization_config", (None,), None)
    for name in reader.take("architectures", list, []):
        if name not in architectures:
            raise reader.refusal("architectures", name, f"Vitrine runs {' and '.join(architectures)}.")


def heads_of(reader: Reader, width: int, heads: int) -> int:
    """The width of each of the heads that share the model's width evenly."""
    if width % heads:
        raise reader.refusal("hidden_size", width, f"It has to be a multiple of the {heads} attention heads.")
    return width // heads
