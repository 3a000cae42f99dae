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

CROSS, ENCODER = ("layers", "cross"), ("encoder", "self")
"""The parts whose columns are a source's tokens, and whose rows are too."""


class Thumbnails:
    """A small map of every head that grows with the context: side x side cells, each of cell x cell tokens.

    When the tokens outgrow the map, the cells double and neighbours are added up. Sums are exact; means are taken when
    the map is read. columns: how many tokens are looked at, where those are others than the rows' and do not grow (a
    source); then only the rows' cells double.
    """

    def __init__(self, side: int, columns: int | None = None) -> None:
        self.side = side
        self.columns = columns
        self.cell = 1
        self.tokens = 0
        self._sums: dict[str, Tensor] = {}  # [H, side, side] float32
        self._rows: dict[str, Tensor] = {}  # [side] rows captured in each row of cells

    @property
    def across(self) -> int:
        """Tokens in a column of cells."""
        return self.cell if self.columns is None else max(1, -(-self.columns // self.side))

    @torch.inference_mode()
    def add(self, name: str, weights: Tensor, start: int) -> None:
        """Add the attention rows of positions start, start + 1, ...: weights [H, T, S], S = columns where set."""
        heads, count, keys = weights.shape
        self._grow(start + count)
        if name not in self._sums:
            self._sums[name] = torch.zeros(heads, self.side, self.side)
            self._rows[name] = torch.zeros(self.side)
        pooled = weights.float()
        if self.across > 1:
            pooled = F.pad(pooled, (0, -keys % self.across)).unflatten(-1, (-1, self.across)).sum(-1)
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
        """Names of the L layers and mean weights float32 [L, H, n, m], n x m cells used; NaN rows were not captured."""
        keys = self.tokens if self.columns is None else self.columns
        n, m = -(-self.tokens // self.cell), -(-keys // self.across)
        names = tuple(self._sums)
        if not names:
            return (), np.empty((0, 0, 0, 0), np.float32)
        widths = torch.clamp(keys - torch.arange(m) * self.across, max=self.across)
        maps = []
        for name in names:
            rows = self._rows[name][:n]
            means = self._sums[name][:, :n, :m] / (rows[:, None] * widths[None, :])
            maps.append(means.masked_fill(rows[:, None] == 0, torch.nan))
        return names, torch.stack(maps).numpy()

    def _grow(self, tokens: int) -> None:
        self.tokens = max(self.tokens, tokens)
        while self.tokens > self.side * self.cell:
            half = -(-self.side // 2)
            odd = self.side % 2
            for name, sums in self._sums.items():
                low = F.pad(sums, (0, 0, 0, odd)).unflatten(1, (half, 2)).sum(2)
                low = F.pad(low, (0, 0, 0, self.side - half))
                if self.columns is None:
                    low = F.pad(low, (0, odd)).unflatten(2, (half, 2)).sum(3)
                    low = F.pad(low, (0, self.side - half))
                self._sums[name] = low
                rows = F.pad(self._rows[name], (0, odd)).unflatten(0, (half, 2)).sum(1)
                self._rows[name] = F.pad(rows, (0, self.side - half))
            self.cell *= 2


class Tap:
    """What one context captures, over all its forward passes. `params` may change between passes."""

    def __init__(self, params: CaptureParams, layers: int) -> None:
        self.params = params
        self._thumbnails: dict[tuple[str, str], Thumbnails] = {}  # by the side that looks, and what at: _part()
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

    def layer(self, name: str) -> Callable[[Tensor], None] | None:
        """Where the attention `name` ("layers.3.self") delivers its weights [B, H, T, S]; None: not wanted."""
        index, part = name.split(".")[1], _part(name)
        keep = self.params.attention == "all" or (self.params.attention == "layer" and index == str(self.params.layer))
        pool = self.params.thumbnails > 0
        if not keep and not pool:
            return None

        def take(weights: Tensor) -> None:
            rows = weights[0].detach()
            start = 0 if part == ENCODER else self._start  # a source is read in one pass
            if pool:
                self._small(part, rows.shape[2]).add(name, rows, start)
            if keep:
                kept = self._affordable(rows)
                self._rows[name] = rows[:, -kept:].to(torch.float32 if self.params.exact else torch.float16).cpu()
                self._first[name] = start + rows.shape[1] - kept

        return take

    def truncate(self, tokens: int) -> None:
        for part, thumbnails in self._thumbnails.items():
            if part != ENCODER:
                thumbnails.truncate(tokens)

    def events(self, run: int, last: bool = False) -> list[Event]:
        """What the pass just ended captured; thumbnails at most every THUMBNAIL_INTERVAL unless it is the last.

        Layers whose rows are of one shape come together: a decoder's, those that look at a source, an encoder's.
        """
        result: list[Event] = []
        alike: dict[tuple[str, str], list[str]] = {}
        for name in self._rows:
            alike.setdefault(_part(name), []).append(name)
        for group in alike.values():
            weights = torch.stack([self._rows[name] for name in group]).numpy()
            result.append(AttentionRows(run, self._first[group[0]], tuple(group), weights))
        self._rows.clear()
        now = time.monotonic()
        if self.params.thumbnails and (last or now - self._shown > THUMBNAIL_INTERVAL):
            self._shown = now
            for thumbnails in self._thumbnails.values():
                names, cells = thumbnails.read()
                result.append(AttentionThumbnails(run, thumbnails.tokens, thumbnails.cell, names, cells))
        return result

    def _small(self, part: tuple[str, str], keys: int) -> Thumbnails:
        """The thumbnails of this part; anew where another size is wanted."""
        found = self._thumbnails.get(part)
        if found is None or found.side != self.params.thumbnails:
            found = Thumbnails(self.params.thumbnails, keys if part == CROSS else None)
            self._thumbnails[part] = found
        return found

    def _affordable(self, rows: Tensor) -> int:
        """How many of the latest rows of one pass fit into half the budget, over all layers captured."""
        heads, count, keys = rows.shape
        layers = self._layers if self.params.attention == "all" else 1
        size = 4 if self.params.exact else 2
        return max(1, min(count, self.params.budget_mb * 2**19 // (size * layers * heads * keys)))


def _part(name: str) -> tuple[str, str]:
    """Which side looks and what at: ("layers", "self") of "layers.3.self"."""
    side, _, part = name.split(".")
    return side, part
