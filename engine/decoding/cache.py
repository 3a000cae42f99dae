"""Keys and values of what a model has read: buffers that grow by doubling, cut back where a text is edited.

It knows no model and no ids; who owns a cache remembers which ids it stands for.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from engine.models.base import LanguageModel

FIRST = 256
"""Positions that the buffers begin with."""


class KVCache:
    """One cache for all layers of one sequence (or of `batch` sequences of one length).

    limit: positions it never grows beyond, the model's context. A pass writes layer by layer with `update`; its
    positions count once `advance` is called, so a pass that is broken off leaves no trace.
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
    ) -> None:
        self.length = 0
        self._limit = limit
        self._shape = (batch, kv_heads, head_dim)
        empty = torch.empty(batch, kv_heads, 0, head_dim, dtype=dtype, device=device)
        self._keys = [empty] * layers
        self._values = [empty] * layers

    @classmethod
    def for_model(cls, model: LanguageModel, batch: int = 1) -> Self:
        """An empty cache with the model's shape, precision and device."""
        config, weight = model.config, next(model.parameters())
        return cls(
            config.layers, config.kv_heads, config.head_dim, weight.dtype, weight.device, batch, limit=config.context
        )

    def update(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Put k and v [B, K, T, D] behind what counts already; views of all of them, [B, K, length + T, D]."""
        end = self.length + k.shape[2]
        if end > self._keys[layer].shape[2]:
            self._keys[layer] = self._grown(self._keys[layer], end)
            self._values[layer] = self._grown(self._values[layer], end)
        keys, values = self._keys[layer], self._values[layer]
        keys[:, :, self.length : end] = k
        values[:, :, self.length : end] = v
        return keys[:, :, :end], values[:, :, :end]

    def advance(self, T: int) -> None:
        """Count T more positions; the model calls it once every layer is updated."""
        self.length += T

    def truncate(self, n: int) -> None:
        """Forget all but the first n positions. The memory is kept: what is cut is about to be written again."""
        if not 0 <= n <= self.length:
            raise ValueError(f"cannot truncate a cache of {self.length} to {n}")
        self.length = n

    def copy(self, n: int) -> KVCache:
        """Another cache of the first n positions."""
        layers, (batch, kv_heads, head_dim) = len(self._keys), self._shape
        other = KVCache(layers, kv_heads, head_dim, self._keys[0].dtype, self.device, batch, self._limit)
        for layer in range(layers):
            other.update(layer, self._keys[layer][:, :, :n], self._values[layer][:, :, :n])
        other.advance(n)
        return other

    def reorder(self, rows: Tensor) -> None:
        """Let sequence i go on from what sequence rows[i] has read; rows: whole numbers [B]."""
        for buffers in (self._keys, self._values):
            for layer in range(len(buffers)):
                kept = buffers[layer][:, :, : self.length]
                kept.copy_(kept.index_select(0, rows))

    @property
    def device(self) -> torch.device:
        return self._keys[0].device

    @property
    def nbytes(self) -> int:
        """Bytes held, room to grow included."""
        return sum(buffer.nbytes for buffer in (*self._keys, *self._values))

    def _grown(self, buffer: Tensor, end: int) -> Tensor:
        room = max(FIRST, 1 << (end - 1).bit_length())
        if self._limit is not None:
            room = max(end, min(room, self._limit))
        batch, kv_heads, head_dim = self._shape
        # Outside inference mode, so that the cache can be written to from inside and outside alike.
        with torch.inference_mode(False), torch.no_grad():
            larger = torch.empty(batch, kv_heads, room, head_dim, dtype=buffer.dtype, device=buffer.device)
            larger[:, :, : self.length] = buffer[:, :, : self.length]
        return larger
