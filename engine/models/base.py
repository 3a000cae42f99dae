"""What every model is to the rest of the engine, in three kinds: decoder, encoder-decoder and encoder.

Ids in, logits or states out, with a cache, a tap and a way to stop. A model holds weights only: whose cache it writes
to, who looks at its attention and who may interrupt it are arguments. The loops over the blocks live here, so that
every family can be stopped between two layers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.errors import ContextOverflow
from engine.models.layers import LayerTap, Mask, Remember, Signal, Span, causal
from engine.models.reader import REQUIRED, Reader

__all__ = [
    "REQUIRED",
    "Cache",
    "Decoder",
    "DecoderConfig",
    "Encoder",
    "EncoderConfig",
    "LanguageModel",
    "Memory",
    "Reader",
    "Remember",
    "Seq2Seq",
    "Seq2SeqConfig",
    "Signal",
    "Source",
    "Span",
    "Tap",
]

FUSED_TOKENS = 16
"""Tokens that fused blocks take at once: drafts and what was drawn. A prompt's many go block by block."""

Source = tuple[Tensor, Tensor, Mask]
"""What a layer of a decoder sees of the source: its keys and values [B, K, S, D], and which of them count."""


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

    def seen(self, layer: int) -> int:
        """How many of the positions read before a layer's next query sees, the latest: all, or as its window says."""
        ...

    def update(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Put k and v [B, K, T, D] behind what the layer has; those that can be seen, [B, K, seen + T, D]."""
        ...

    def direct(self, count: int) -> Any:
        """Where keys and values lie, for native code that writes so many positions itself; None where it cannot."""
        ...

    def advance(self, T: int) -> None:
        """Called once all layers are updated: only now do T more positions count."""
        ...


class Tap(Protocol):
    """Who looks at attention while the model runs (engine/inside/capture.py)."""

    def layer(self, name: str) -> LayerTap | None:
        """The receiver of a layer's weights ("layers.3.self"), or None: that layer then runs fused."""
        ...


class Fused(Protocol):
    """All blocks as one native call for a few tokens (engine/quantize/fused.py)."""

    def adapted(self, additions: Any) -> Fused:
        """The same with low-rank additions to some of its products."""
        ...

    def __call__(self, x: Tensor, positions: Any, rows: Any, position: int, shown: Mapping[int, Tensor]) -> Tensor:
        """The states x [1, T, C] behind all blocks; rows: as the cache's `direct` gives them.

        shown: by layer, where its attention goes: zeros of float32 [H, T, position + T].
        """
        ...


class Seq2SeqConfig(DecoderConfig, Protocol):
    """An encoder-decoder's; layers, heads and so on are its decoder's, context is the shorter of the two sides'."""

    @property
    def encoder_layers(self) -> int: ...
    @property
    def source_vocabulary(self) -> int: ...


class EncoderConfig(DecoderConfig, Protocol):
    """An encoder's. use: what its checkpoint was trained for; labels: the classes, in order, or none.

    exclusive: whether a text is of exactly one class.
    """

    @property
    def use(self) -> str: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def exclusive(self) -> bool: ...


class LanguageModel(nn.Module):
    """What loading asks of every model, whatever its kind.

    optional: parameters that a checkpoint may leave out, each with the one that it then is (a tied head), or "" where
    it is zeros. exact: how the names of parameters end that are held in fp32 where the others are in fp16. adapted: the
    adapters that are in place now (engine/adapters/lora.py), by which what it reads with others is told apart.
    """

    kind: ClassVar[str]
    optional: Mapping[str, str] = {}
    exact: tuple[str, ...] = ()
    adapted: Hashable = ()
    config: DecoderConfig

    @classmethod
    def outline(cls, config: DecoderConfig) -> Self:
        """A model without its parts, which can only say how tensors are named: to build it whole may take seconds."""
        model = cls.__new__(cls)
        nn.Module.__init__(model)
        model.config = config
        return model

    @property
    def note(self) -> str:
        """What of the checkpoint is not run, one sentence; empty where all of it is."""
        return ""

    def signals(self, where: Tensor) -> list[Signal]:
        """How it tells these positions, int64 [R], apart; where distances count, those so far apart."""
        raise NotImplementedError

    def rename(self, name: str) -> str | None:
        """The parameter that a tensor of the checkpoint belongs to; None for one that is not needed.

        It asks nothing of the model but its config.
        """
        return name


class Decoder(LanguageModel):
    """Base of the decoder families. A family gives `embed`, `positions`, `blocks` and `head`.

    boundary: a text longer than this is read with other positions from its first token on; None for most families.
    fused: the blocks as one call, for one token; it holds the weights that were there when it was made, so whoever puts
    another layer in the place of one sets it to None.
    """

    kind = "decoder"
    boundary: int | None = None
    fused: Fused | None = None

    def embed(self, ids: Tensor, span: Span) -> Tensor:
        """Ids [B, T] at the positions of the span to [B, T, C]."""
        raise NotImplementedError

    def positions(self, span: Span, x: Tensor) -> object:
        """What every block needs to know of x's positions, computed once a pass and handed to each."""
        raise NotImplementedError

    def blocks(self) -> Iterable[nn.Module]:
        """In order; each is called with (x, positions, mask, remember, tap) and returns the new x."""
        raise NotImplementedError

    def is_far(self, length: int) -> bool:
        """Whether a text of that length is read with the positions of one beyond the boundary."""
        return self.boundary is not None and length > self.boundary

    def window(self, layer: int) -> int | None:
        """How many positions a layer sees, the query's own included; None is all."""
        return None

    def head(self, x: Tensor) -> Tensor:
        """The last norm and the output projection: [B, T, C] to [B, T, V]."""
        raise NotImplementedError

    def forward(
        self,
        ids: Tensor,
        cache: Cache | None = None,
        tap: Tap | None = None,
        check: Callable[[], None] | None = None,
        last: bool = False,
        reach: int = 0,
        padding: Tensor | None = None,
    ) -> Tensor:
        """Logits, float32 [B, T, V], or [B, 1, V] if only the last position's are asked for; ids [B, T].

        The ids come after what the cache holds, and are added to it. check is called before every block and may raise
        (Cancelled): the cache then counts nothing of this pass. reach: how long the text will be, where it is read in
        parts; parts of a text beyond the boundary have to know it from the first one on. padding: texts of different
        lengths are read together, filled up on the left with any id; so many of a row's first positions, the cache's
        included, are that, int64 [B]. The other logits are then those of each text alone.
        """
        T = ids.shape[1]
        start = cache.length if cache is not None else 0
        _check_length(start + T, self.config)
        span = Span(start, T, max(start + T, reach), padding)
        self._check_side(span, max(start, reach))
        x = self.embed(ids, span)
        positions = self.positions(span, x)
        masks: dict[int | None, Mask] = {}
        rows = self._fused_rows(ids, cache, padding)
        if rows is not None and self.fused is not None:
            if check is not None:
                check()
            x = self._through_fused(self.fused, x, positions, rows, start, tap)
        for index, block in enumerate(self.blocks() if rows is None else ()):
            if check is not None:
                check()
            window = self.window(index)
            seen = cache.seen(index) if cache is not None else 0
            if window not in masks:
                left_out = None if padding is None else padding - (start - seen)
                masks[window] = causal(T, seen + T, x.device, window, left_out)
            remember = partial(cache.update, index) if cache is not None else _forget
            layer_tap = tap.layer(f"layers.{index}.self") if tap is not None else None
            if layer_tap is not None and seen < start:
                layer_tap = partial(_widened, layer_tap, start - seen)
            x = block(x, positions, masks[window], remember, layer_tap)
        if cache is not None:
            cache.advance(T)
        return self.head(x[:, -1:] if last else x).float()

    def _through_fused(
        self, fused: Fused, x: Tensor, positions: object, rows: object, start: int, tap: Tap | None
    ) -> Tensor:
        """The states behind all blocks in one call, and to the tap the attention that it wants."""
        layers, end = range(self.config.layers), start + x.shape[1]
        named = {index: tap.layer(f"layers.{index}.self") for index in layers} if tap is not None else {}
        wanted = {index: layer_tap for index, layer_tap in named.items() if layer_tap is not None}
        shown = {index: torch.zeros(self.config.heads, x.shape[1], end) for index in wanted}
        x = fused(x, positions, rows, start, shown)
        for index, layer_tap in wanted.items():
            layer_tap(shown[index][None])
        return x

    def _fused_rows(self, ids: Tensor, cache: Cache | None, padding: Tensor | None) -> Any:
        """Where the fused blocks find this pass's keys and values; None where the blocks go one by one."""
        few = ids.shape[0] == 1 and ids.shape[1] <= FUSED_TOKENS
        if self.fused is None or cache is None or not few or padding is not None or torch.is_grad_enabled():
            return None
        return cache.direct(ids.shape[1])

    def _check_side(self, span: Span, before: int) -> None:
        """Refuse to go on across the boundary from what was read for texts of that length."""
        if not span.start or self.boundary is None:
            return
        edge = torch.as_tensor(self.boundary if span.padding is None else self.boundary + span.padding)
        if bool(((before > edge) != (span.length > edge)).any()):
            raise ValueError(f"the cache was not filled for a text beyond {self.boundary}")


@dataclass(frozen=True, slots=True)
class Memory:
    """A source that was read: its states [B, S, C] and what each layer of the decoder sees of it."""

    states: Tensor
    layers: tuple[Source, ...]

    def repeated(self, times: int) -> Memory:
        """The same source of one row for so many targets, without a copy."""

        def wide(x: Tensor) -> Tensor:
            return x.expand(times, *x.shape[1:])

        layers = tuple((wide(k), wide(v), wide(m) if isinstance(m, Tensor) else m) for k, v, m in self.layers)
        return Memory(wide(self.states), layers)


class Seq2Seq(LanguageModel):
    """Base of the encoder-decoder families: `encode` a source once, then `decode` a target as a decoder does.

    A family gives `embed_source`, `source_blocks`, `embed`, `blocks` and `head`, and where it has them
    `source_positions`, `source_end` and `positions`.
    """

    kind = "encoder-decoder"
    config: Seq2SeqConfig

    def embed_source(self, ids: Tensor) -> Tensor:
        """The source's ids [B, S] to [B, S, C]."""
        raise NotImplementedError

    def source_positions(self, x: Tensor) -> object:
        """What every block of the encoder needs to know of x's positions, handed to each."""
        return None

    def source_blocks(self) -> Iterable[nn.Module]:
        """In order; each is called with (x, positions, mask, tap) and returns the new x."""
        raise NotImplementedError

    def source_end(self, x: Tensor) -> Tensor:
        """The encoder's last norm, where it has one."""
        return x

    def embed(self, ids: Tensor, start: int) -> Tensor:
        """The target's ids [B, T] at positions start, start + 1, ... to [B, T, C]."""
        raise NotImplementedError

    def positions(self, start: int, x: Tensor) -> object:
        """What every block of the decoder needs to know of x's positions, handed to each."""
        return None

    def blocks(self) -> Iterable[Any]:
        """In order; each is called with (x, positions, mask, remember, source, tap, cross_tap) and returns the new x.

        `read(states)` of each gives its keys and values of a source.
        """
        raise NotImplementedError

    def head(self, x: Tensor) -> Tensor:
        """The last norm and the output projection: [B, T, C] to [B, T, V]."""
        raise NotImplementedError

    def encode(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        tap: Tap | None = None,
        check: Callable[[], None] | None = None,
    ) -> Memory:
        """Read a source, ids [B, S]; mask: bool [B, S], False where a row is filled up. The tap sees encoder.N.self."""
        _check_length(ids.shape[1], self.config)
        x = self.embed_source(ids)
        positions = self.source_positions(x)
        seen: Mask = None if mask is None else mask[:, None, None]
        for index, block in enumerate(self.source_blocks()):
            if check is not None:
                check()
            x = block(x, positions, seen, tap.layer(f"encoder.{index}.self") if tap is not None else None)
        states = self.source_end(x)
        return Memory(states, tuple((*block.read(states), seen) for block in self.blocks()))

    def decode(
        self,
        ids: Tensor,
        memory: Memory,
        cache: Cache | None = None,
        tap: Tap | None = None,
        check: Callable[[], None] | None = None,
        last: bool = False,
    ) -> Tensor:
        """Logits of a target, float32 [B, T, V] or [B, 1, V], as Decoder.forward.

        The tap sees layers.N.self and layers.N.cross.
        """
        T = ids.shape[1]
        start = cache.length if cache is not None else 0
        _check_length(start + T, self.config)
        x = self.embed(ids, start)
        positions = self.positions(start, x)
        mask: Mask = causal(T, start + T, x.device)
        for index, (block, source) in enumerate(zip(self.blocks(), memory.layers)):
            if check is not None:
                check()
            remember = partial(cache.update, index) if cache is not None else _forget
            taps = [tap.layer(f"layers.{index}.{part}") if tap is not None else None for part in ("self", "cross")]
            x = block(x, positions, mask, remember, source, *taps)
        if cache is not None:
            cache.advance(T)
        return self.head(x[:, -1:] if last else x).float()


class Encoder(LanguageModel):
    """Base of the encoder families. A family gives `embed` and `blocks`, and the heads that its checkpoints have."""

    kind = "encoder"
    config: EncoderConfig

    def embed(self, ids: Tensor, mask: Tensor | None, segments: Tensor | None) -> Tensor:
        """Ids [B, T] to [B, T, C]; positions count what the mask, bool [B, T], leaves. segments: as in forward."""
        raise NotImplementedError

    def positions(self, x: Tensor) -> object:
        """What every block needs to know of x's positions, handed to each."""
        return None

    def window(self, layer: int) -> int | None:
        """How many positions to either side a layer sees, besides the query's own; None is all."""
        return None

    def blocks(self) -> Iterable[nn.Module]:
        """In order; each is called with (x, positions, mask, tap) and returns the new x."""
        raise NotImplementedError

    def end(self, x: Tensor) -> Tensor:
        """The last norm, where it has one."""
        return x

    def fill(self, states: Tensor) -> Tensor:
        """The masked-language head: states [B, T, C] to logits [B, T, V]."""
        raise NotImplementedError

    def classify(self, states: Tensor, mask: Tensor | None) -> Tensor:
        """The classification head: states [B, T, C] to logits [B, labels]."""
        raise NotImplementedError

    def forward(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        tap: Tap | None = None,
        check: Callable[[], None] | None = None,
        segments: Tensor | None = None,
    ) -> Tensor:
        """The last states [B, T, C] of ids [B, T]; mask: bool [B, T], False where a row is filled up, at either end.

        segments: of which of two texts each id is, 0 or 1, [B, T]; None where there is one. Not all families look.
        """
        _check_length(ids.shape[1], self.config)
        x = self.embed(ids, mask, segments)
        positions = self.positions(x)
        seen: Mask = None if mask is None else mask[:, None, None]
        for index, block in enumerate(self.blocks()):
            if check is not None:
                check()
            x = block(x, positions, seen, tap.layer(f"layers.{index}.self") if tap is not None else None)
        return self.end(x)


def _check_length(length: int, config: DecoderConfig) -> None:
    if length > config.context:
        raise ContextOverflow(
            f"The text is {length} tokens long, the model can read {config.context}.",
            "Shorten it, or start a new chat.",
        )


def _widened(tap: LayerTap, before: int, weights: Tensor) -> None:
    """Show weights [B, H, T, S] with those of the positions before the window, which are 0."""
    tap(functional.pad(weights, (before, 0)))


def _forget(k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    return k, v
