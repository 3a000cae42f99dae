"""The tap: what a forward pass hands to the attention pane, reduced on the spot.

A model asks `tap.layer(name)` for every attention; None means that nobody looks, and the fused kernel runs. What is
wanted is copied out at once as half-precision rows within a byte budget, and pooled into thumbnails of a fixed size,
so that memory does not grow with the square of the context. What was not captured stays NaN, never zero.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.messages import AttentionRows, AttentionThumbnails, Event, Floats
from engine.params import CaptureParams

THUMBNAIL_INTERVAL = 0.1
"""Seconds between two thumbnails of a run: the eye does not need more, and large models have hundreds of heads."""


class Thumbnails:
    """A small map of every head that grows with the context: side x side cells, each of cell x cell tokens.

    When the tokens outgrow the map, the cells double and neighbours are added up. Sums are exact; means are taken when
    the map is read.
    """

    def __init__(self, side: int) -> None:
        self.side = side
        self.cell = 1
        self.tokens = 0
        self._sums: dict[str, Tensor] = {}  # [H, side, side] float32
        self._rows: dict[str, Tensor] = {}  # [side] rows captured in each row of cells

    @torch.inference_mode()
    def add(self, name: str, weights: Tensor, start: int) -> None:
        """Add the attention rows of positions start, start + 1, ...: weights [H, T, S]."""
        heads, count, keys = weights.shape
        self._grow(start + count)
        if name not in self._sums:
            self._sums[name] = torch.zeros(heads, self.side, self.side)
            self._rows[name] = torch.zeros(self.side)
        pooled = weights.float()
        if self.cell > 1:
            pooled = F.pad(pooled, (0, -keys % self.cell)).unflatten(-1, (-1, self.cell)).sum(-1)
        where = torch.arange(start, start + count) // self.cell
        columns = pooled.shape[-1]
        self._sums[name][:, :, :columns].index_add_(1, where, pooled.cpu())
        self._rows[name].index_add_(0, where, torch.ones(count))

    @torch.inference_mode()
    def truncate(self, tokens: int) -> None:
        """Forget positions from `tokens` on. A row of cells with both kept and dropped rows is forgotten whole."""
        if tokens >= self.tokens:
            return
        self.tokens = tokens
        for name, sums in self._sums.items():
            sums[:, tokens // self.cell :] = 0
            self._rows[name][tokens // self.cell :] = 0

    @torch.inference_mode()
    def read(self) -> tuple[tuple[str, ...], Floats]:
        """Names of the L layers and mean weights float32 [L, H, n, n], n cells used; NaN rows were not captured."""
        n = -(-self.tokens // self.cell)
        names = tuple(self._sums)
        if not names:
            return (), np.empty((0, 0, 0, 0), np.float32)
        widths = torch.clamp(self.tokens - torch.arange(n) * self.cell, max=self.cell)
        maps = []
        for name in names:
            rows = self._rows[name][:n]
            means = self._sums[name][:, :n, :n] / (rows[:, None] * widths[None, :])
            maps.append(means.masked_fill(rows[:, None] == 0, torch.nan))
        return names, torch.stack(maps).numpy()

    def _grow(self, tokens: int) -> None:
        self.tokens = max(self.tokens, tokens)
        while self.tokens > self.side * self.cell:
            half = -(-self.side // 2)
            odd = self.side % 2
            for name, sums in self._sums.items():
                wide = F.pad(sums, (0, odd, 0, odd)).unflatten(2, (half, 2)).sum(3).unflatten(1, (half, 2)).sum(2)
                self._sums[name] = F.pad(wide, (0, self.side - half, 0, self.side - half))
                rows = F.pad(self._rows[name], (0, odd)).unflatten(0, (half, 2)).sum(1)
                self._rows[name] = F.pad(rows, (0, self.side - half))
            self.cell *= 2


class Tap:
    """What one context captures, over all its forward passes. `params` may change between passes."""

    def __init__(self, params: CaptureParams, layers: int) -> None:
        self.params = params
        self.thumbnails: Thumbnails | None = None
        self._layers = layers
        self._start = 0
        self._rows: dict[str, Tensor] = {}
        self._first: dict[str, int] = {}  # the position of each one's first row
        self._shown = 0.0

    @property
    def wanted(self) -> bool:
        return self.params.attention != "none" or self.params.thumbnails > 0

    def begin(self, start: int) -> None:
        """A forward pass over positions from start begins."""
        self._start = start
        self._rows.clear()
        side = self.params.thumbnails
        if side and (self.thumbnails is None or self.thumbnails.side != side):
            self.thumbnails = Thumbnails(side)

    def layer(self, name: str) -> Callable[[Tensor], None] | None:
        """Where the attention `name` ("layers.3.self") delivers its weights [B, H, T, S]; None: not wanted.

        Thumbnails are of the context with itself alone: not of "layers.3.cross" nor of "encoder.3.self".
        """
        side, index, part = name.split(".")
        keep = self.params.attention == "all" or (self.params.attention == "layer" and index == str(self.params.layer))
        pool = self.params.thumbnails > 0 and (side, part) == ("layers", "self")
        if not keep and not pool:
            return None

        def take(weights: Tensor) -> None:
            rows = weights[0].detach()
            if pool and self.thumbnails is not None:
                self.thumbnails.add(name, rows, self._start)
            if keep:
                kept = self._affordable(rows)
                self._rows[name] = rows[:, -kept:].to(torch.float16).cpu()
                self._first[name] = self._start + rows.shape[1] - kept

        return take

    def truncate(self, tokens: int) -> None:
        if self.thumbnails is not None:
            self.thumbnails.truncate(tokens)

    def events(self, run: int, last: bool = False) -> list[Event]:
        """What the pass just ended captured; thumbnails at most every THUMBNAIL_INTERVAL unless it is the last.

        Layers whose rows are of one shape come together: a decoder's, those that look at a source, an encoder's.
        """
        result: list[Event] = []
        alike: dict[tuple[str, str], list[str]] = {}
        for name in self._rows:
            side, _, part = name.split(".")
            alike.setdefault((side, part), []).append(name)
        for group in alike.values():
            weights = torch.stack([self._rows[name] for name in group]).numpy()
            result.append(AttentionRows(run, self._first[group[0]], tuple(group), weights))
        self._rows.clear()
        now = time.monotonic()
        if self.params.thumbnails and self.thumbnails is not None and (last or now - self._shown > THUMBNAIL_INTERVAL):
            self._shown = now
            names, cells = self.thumbnails.read()
            if names:
                result.append(AttentionThumbnails(run, self.thumbnails.tokens, self.thumbnails.cell, names, cells))
        return result

    def _affordable(self, rows: Tensor) -> int:
        """How many of the latest rows of one pass fit into half the budget, over all layers captured."""
        heads, count, keys = rows.shape
        layers = self._layers if self.params.attention == "all" else 1
        return max(1, min(count, self.params.budget_mb * 2**19 // (2 * layers * heads * keys)))
