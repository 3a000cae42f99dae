"""Keys and values of what a model has read: buffers that grow by doubling, cut back where a text is edited.

A layer with a window keeps only that, and some more, so that the end of a text can be taken back. Numbers are kept as
the model computes them, in half precision where native blocks read them, or in 8 bits. It knows no ids; who owns a
cache remembers which ids it stands for.
"""

from __future__ import annotations

import array
import copy
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from engine.decoding.stores import EightBit, Half, Plain, Scratch, Store
from engine.models.base import Decoder, LanguageModel
from engine.quantize.rows import Rows

FIRST = 256
"""Positions that the buffers begin with."""

SPARE = 512
"""Positions that a layer keeps behind its window at least: so much can be cut off without reading all again."""


class KVCache:
    """One cache for all layers of one sequence (or of `batch` sequences of one length).

    limit: positions it never grows beyond, the model's context. windows: how many positions each layer sees, None for
    all. A pass writes layer by layer with `update`; its positions count once `advance` is called, so a pass that is
    broken off leaves no trace.
    """

    def __init__(
        self,
        layers: int,
        kv_heads: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device | str,
        batch: int = 1,
        limit: int | None = None,
        windows: Sequence[int | None] = (),
        eight_bit: bool = False,
        half: bool = False,
    ) -> None:
        self.length = 0
        self.device = torch.device(device)
        self._scratch = Scratch(), Scratch()
        self._direct_of: Tensor | None = None  # the first layer's keys when _rows was made: layers grow in order
        self._rows: Rows | None = None
        empty = torch.empty(batch, kv_heads, 0, head_dim, dtype=dtype, device=device)

        def store(scratch: Scratch) -> Store:
            return EightBit(empty, scratch) if eight_bit else Half(empty, scratch) if half else Plain(empty)

        keys, values = self._scratch
        self._layers = [_Layer(store(keys), store(values), limit, window) for window in windows or [None] * layers]

    @classmethod
    def for_model(cls, model: LanguageModel, batch: int = 1, eight_bit: bool = False) -> Self:
        """An empty cache with the model's shape, windows, precision and device."""
        config, weight = model.config, next(model.parameters())
        windows = [model.window(layer) for layer in range(config.layers)] if isinstance(model, Decoder) else ()
        return cls(
            config.layers,
            config.kv_heads,
            config.head_dim,
            weight.dtype,
            weight.device,
            batch,
            config.context,
            windows,
            eight_bit,
            isinstance(model, Decoder) and model.fused is not None,
        )

    def seen(self, layer: int) -> int:
        """How many of the positions that count the next one can see."""
        window = self._layers[layer].window
        return self.length if window is None else min(self.length, window - 1)

    def update(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Put k and v [B, K, T, D] behind what counts already; those that can be seen, [B, K, seen + T, D].

        They are good until the next layer is updated.
        """
        return self._layers[layer].update(self.length, self.length - self.seen(layer), k, v)

    def direct(self, count: int) -> Rows | None:
        """Where native code may write so many positions itself, before they are counted, and read all before them.

        None where a layer keeps its rows as the model computes them, or does not see all of them.
        """
        first = self._layers[0].keys
        if self._direct_of is None or self._direct_of is not first.rows or self.length + count > first.room:
            self._direct_of, self._rows = None, None
            if not all(layer.is_direct() for layer in self._layers):
                return None
            for layer in self._layers:
                layer.make_room(self.length, self.length + count)
            if len({layer.keys.room for layer in self._layers}) > 1:  # a layer with a window grows otherwise
                return None
            stores = [(layer.keys, layer.values) for layer in self._layers]
            parts = [
                part for pair in stores for part in (*[each.rows for each in pair], *[each.scales for each in pair])
            ]
            addresses = array.array("q", [0 if part is None else part.data_ptr() for part in parts])
            self._direct_of, self._rows = first.rows, Rows(addresses, first.room, isinstance(first, EightBit))
        if any(layer.window is not None and self.length + count > layer.window for layer in self._layers):
            return None
        return self._rows

    def advance(self, T: int) -> None:
        """Count T more positions; the model calls it once every layer is updated."""
        self.length += T

    def back_to(self, n: int) -> int:
        """How many of the first n positions would be left: n, or none where a window has dropped what comes next sees.

        Raises ValueError where there never were so many.
        """
        if not 0 <= n <= self.length:
            raise ValueError(f"cannot truncate a cache of {self.length} to {n}")
        return n if all(layer.reaches(n) for layer in self._layers) else 0

    def truncate(self, n: int) -> int:
        """Forget all but the first n positions; returns how many are left, as back_to.

        The memory is kept: what is cut is about to be written again.
        """
        self.length = self.back_to(n)
        if not self.length:
            for layer in self._layers:
                layer.first = 0
        return self.length

    def copy(self, n: int) -> KVCache:
        """Another cache of the first n positions, or an empty one as back_to says."""
        other = copy.copy(self)
        other.length = self.back_to(n)
        other._direct_of = other._rows = None
        other._layers = [layer.part(other.length) for layer in self._layers]
        return other

    def repeated(self, times: int) -> KVCache:
        """Another cache of so many sequences, each of which has read what the one here has."""
        other = self.copy(self.length)
        for layer in other._layers:
            layer.keys, layer.values = layer.keys.repeated(times), layer.values.repeated(times)
        return other

    def reorder(self, rows: Tensor) -> None:
        """Let sequence i go on from what sequence rows[i] has read; rows: whole numbers [B]."""
        for layer in self._layers:
            for store in (layer.keys, layer.values):
                store.reorder(rows, self.length - layer.first)

    @property
    def nbytes(self) -> int:
        """Bytes held, room to grow included."""
        stores = sum(store.nbytes for layer in self._layers for store in (layer.keys, layer.values))
        return stores + sum(scratch.nbytes for scratch in self._scratch)


class _Layer:
    """What one layer keeps. first: the position of the first row."""

    def __init__(self, keys: Store, values: Store, limit: int | None, window: int | None) -> None:
        self.keys, self.values = keys, values
        self.first = 0
        self.window = window
        self._limit = limit

    def update(self, length: int, begin: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """k and v follow the first length positions; keys and values from position begin on."""
        end = length + k.shape[2]
        self.make_room(length, end)
        at, first = length - self.first, self.first
        self.keys.write(at, k)
        self.values.write(at, v)
        return self.keys.read(begin - first, end - first), self.values.read(begin - first, end - first)

    def reaches(self, n: int) -> bool:
        """Whether all is there that position n sees before it."""
        return self.window is None or self.first <= max(0, n - self.window + 1)

    def is_direct(self) -> bool:
        """Whether keys and values are rows of one sequence as native code knows them, from the first position on."""
        return self.first == 0 and isinstance(self.keys, Half | EightBit) and self.keys.rows.shape[0] == 1

    def part(self, n: int) -> _Layer:
        """Another layer with a copy of what this one keeps of the first n positions."""
        first = self.first if self.window is None else max(self.first, n - self.window + 1 - SPARE)
        first = min(first, n)
        start, end = first - self.first, n - self.first
        start, end = (start, end) if n else (0, 0)
        other = _Layer(self.keys.part(start, end), self.values.part(start, end), self._limit, self.window)
        other.first = first
        return other

    def make_room(self, length: int, end: int) -> None:
        """Have rows for positions up to end, the first length of which count."""
        if end - self.first <= self.keys.room:
            return
        start, most = 0, self._limit
        if self.window is not None:
            full = self.window - 1 + SPARE + max(SPARE, end - length)
            most = full if most is None else min(most, full)
            if end - self.first > full:
                start = max(0, length - (self.window - 1) - SPARE - self.first)
        needed = end - self.first - start
        room = max(FIRST, 1 << (needed - 1).bit_length())
        room = max(needed, self.keys.room, room if most is None else min(room, most))
        for store in (self.keys, self.values):
            store.resize(room, start, length - self.first)
        self.first += start
