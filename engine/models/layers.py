"""What families share, as functions: attention, rotary positions, the gated feed-forward block.

Letters for shapes, everywhere in the engine: B batch, T query length, S key length, H heads, K kv heads, D head width,
C model width, V vocabulary, L layers. Nothing here knows a checkpoint, a cache or a family.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Mask = Tensor | Literal["causal"] | None
"""Which keys a query sees: bool, broadcast to [B, H, T, S], True where it does; "causal" is the lower triangle where
T = S; None is all."""

LayerTap = Callable[[Tensor], None]
"""Receives one layer's attention weights, float32 [B, H, T, S]."""

Remember = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Takes a layer's new keys and values [B, K, T, D], gives all of them up to now [B, K, S, D]."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": functional.silu,
    "gelu": functional.gelu,
    "relu": functional.relu,
    "gelu_new": partial(functional.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(functional.gelu, approximate="tanh"),
    "gelu_fast": partial(functional.gelu, approximate="tanh"),
}


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Mask,
    scale: float,
    tap: LayerTap | None = None,
    bias: Tensor | None = None,
    softcap: float | None = None,
) -> Tensor:
    """Softmax attention with grouped heads: q [B, H, T, D], k and v [B, K, S, D], H a multiple of K -> [B, H, T, D].

    bias, of a shape that broadcasts to [B, H, T, S], is added to the scaled scores. Without a tap a fused kernel runs
    and the weights never exist; with one they are computed in float32 and shown. softcap: the scaled scores are
    squeezed into -softcap to softcap, which no fused kernel does.
    """
    if tap is not None or softcap is not None:
        return _explicit_attention(q, k, v, mask, scale, tap, bias, softcap)
    B, H, T, D = q.shape
    K = k.shape[1]
    if bias is not None:
        return functional.scaled_dot_product_attention(
            q, k, v, attn_mask=_biased(bias.to(q.dtype), mask, T, k.shape[2]), scale=scale, enable_gqa=H != K
        )
    if T == 1 and H != K and not isinstance(mask, str):
        # The heads of a group as if they were queries: on a CPU 8 times faster in bf16 than enable_gqa at 512 keys.
        grouped = functional.scaled_dot_product_attention(q.reshape(B, K, H // K, D), k, v, attn_mask=mask, scale=scale)
        return grouped.view(B, H, T, D)
    return functional.scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=mask if isinstance(mask, Tensor) else None,
        is_causal=isinstance(mask, str),
        scale=scale,
        enable_gqa=H != K,
    )


def _explicit_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Mask,
    scale: float,
    tap: LayerTap | None,
    bias: Tensor | None,
    softcap: float | None,
) -> Tensor:
    B, H, T, D = q.shape
    K, S = k.shape[1:3]
    grouped = q.float().reshape(B, K, H // K * T, D)
    scores = (grouped @ k.float().transpose(-1, -2) * scale).view(B, H, T, S)
    if softcap is not None:
        scores = soft_capped(scores, softcap)
    if bias is not None:
        scores = scores + bias
    scores = _biased(scores, mask, T, S)
    weights = scores.softmax(-1)
    if tap is not None:
        tap(weights)
    return (weights.view(B, K, H // K * T, S) @ v.float()).view(B, H, T, D).to(q.dtype)


def _biased(bias: Tensor, mask: Mask, T: int, S: int) -> Tensor:
    """The bias, minus infinity where the mask hides a key."""
    if isinstance(mask, str):
        mask = causal_mask(T, S, bias.device)
    return bias if mask is None else bias.masked_fill(~mask, -math.inf)


def soft_capped(x: Tensor, most: float) -> Tensor:
    """Squeezed into -most to most, nearly unchanged near 0."""
    return torch.tanh(x / most) * most


@dataclass(frozen=True, slots=True)
class Span:
    """Which positions of a text one pass reads: T of them from start on.

    length: of the whole text, as far as it is known. padding: where texts of different lengths lie in one batch, how
    many of each row's first positions only fill it up, int64 [B]; None where no row is.
    """

    start: int
    T: int
    length: int
    padding: Tensor | None = None

    @property
    def end(self) -> int:
        return self.start + self.T

    @property
    def rows(self) -> slice | Tensor:
        """The places in a table of positions: a slice that serves every row, or [B, T], 0 for what fills up."""
        if self.padding is None:
            return slice(self.start, self.end)
        return self._counted(self.start, self.padding)

    def keys(self, device: torch.device) -> Tensor:
        """The positions up to the end, [S], or [B, 1, S], 0 for what fills up."""
        if self.padding is None:
            return torch.arange(self.end, device=device)
        return self._counted(0, self.padding)[:, None]

    def _counted(self, start: int, padding: Tensor) -> Tensor:
        return (torch.arange(start, self.end, device=padding.device) - padding[:, None]).clamp(min=0)


def causal_mask(T: int, S: int, device: torch.device, window: int | None = None) -> Tensor:
    """Bool [T, S]: the queries are the last T of S positions and see what is not after them.

    window: how many positions a query sees, itself included; None is all before it.
    """
    mask = torch.ones(T, S, dtype=torch.bool, device=device).tril(S - T)
    return mask if window is None else mask.triu(S - T - window + 1)


def padded_mask(T: int, S: int, padding: Tensor, window: int | None = None) -> Tensor:
    """The same, bool [B, 1, T, S], where nothing sees a row's first positions, padding [B] of them.

    But those see themselves: the softmax of no score at all would be no number, and spread.
    """
    keys = torch.arange(S, device=padding.device)
    seen = (keys >= padding[:, None])[:, None] | (keys == keys[S - T :, None])  # [B, T, S]
    return (seen & causal_mask(T, S, padding.device, window))[:, None]


def causal(T: int, S: int, device: torch.device, window: int | None = None, padding: Tensor | None = None) -> Mask:
    """The cheapest Mask that says the same as causal_mask, or padded_mask, with these arguments."""
    if padding is not None:
        return padded_mask(T, S, padding, window)
    if window is not None and window < S:
        return causal_mask(T, S, device, window)
    if T == 1:
        return None
    return "causal" if T == S else causal_mask(T, S, device)


def alibi_slopes(H: int) -> Tensor:
    """How much each head minds a step of distance, float32 [H]. Source: ALiBi (Press et al., 2022).

    The powers of 2^(-8/n), n the largest power of two up to H; the heads beyond n take those between, of 2n.
    """
    n = 1 << (H.bit_length() - 1)
    whole, between = torch.arange(1, n + 1), torch.arange(2 * (H - n))[1::2]
    return torch.cat((2.0 ** (-8.0 / n * whole), 2.0 ** (-4.0 / n * between)))


def alibi(penalties: Tensor, T: int, like: Tensor, padding: Tensor | None = None) -> Tensor:
    """The bias of the last T positions for attention(), causal mask included: [B, H, T, S] of like's dtype and device.

    penalties: what each head adds to a key at each position, float32 [H, S] for B = 1, or [B, H, S] where rows begin
    with padding. They are taken relative to the query's own, which changes no softmax and keeps the near keys exact in
    16 bits.
    """
    S = penalties.shape[-1]
    penalties = penalties.to(like.device).view(-1, *penalties.shape[-2:])
    bias = penalties[:, :, None] - penalties[:, :, S - T :, None]
    seen = causal_mask(T, S, bias.device) if padding is None else padded_mask(T, S, padding)
    return bias.masked_fill_(~seen, -math.inf).to(like.dtype)


def distant(bias: Callable[[Span, Tensor], Tensor | None], where: Tensor) -> Tensor:
    """What a bias of scores, [1, H, T, S] for a span, adds for keys so far back, int64 [R]: float32 [H, R]."""
    length = int(where.max()) + 1
    row = bias(Span(length - 1, 1, length), torch.empty(0))
    assert row is not None
    return row[0, :, 0].flip(-1)[:, where]


@dataclass(frozen=True, slots=True)
class RotaryConfig:
    """Rotary positions. kind: default, linear (all wavelengths times factor), llama3 or yarn (only the long ones), or
    factors (each wavelength times its own).

    low, high: for llama3 and yarn, how often the longest wavelength that is scaled in part, and the shortest, fit into
    original, the context of the training before. scale: what cosines and sines are multiplied by. truncate: for yarn,
    whether the bounds are moved outwards to whole channels. fraction: how much of a head's width is turned.
    """

    theta: float
    kind: str = "default"
    factor: float = 1.0
    low: float = 1.0
    high: float = 4.0
    original: int = 8192
    scale: float = 1.0
    truncate: bool = True
    fraction: float = 1.0
    factors: tuple[float, ...] = ()

    def frequencies(self, D: int) -> Tensor:
        """Radians a position for each pair of the D channels that are turned, float32 [D / 2]."""
        plain = 1.0 / (self.theta ** (torch.arange(0, D, 2, dtype=torch.float32) / D))
        if self.kind == "default":
            return plain
        if self.kind == "linear":
            return plain / self.factor
        if self.kind == "factors":
            return plain / torch.tensor(self.factors)
        if self.kind == "yarn":
            blend = self._yarn_blend(D)
        else:
            # Source: Llama 3.1's scaling; a wavelength between the two bounds is blended.
            turns = self.original * plain / (2 * math.pi)
            blend = ((turns - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
        return plain * (blend + (1 - blend) / self.factor)

    def _yarn_blend(self, D: int) -> Tensor:
        """1 for the pairs that stay, 0 for those that are scaled, and a straight line in between, float32 [D / 2].

        Source: YaRN, arXiv 2309.00071; the bounds as in transformers, whose upper one is a channel, not a pair.
        """

        def pair(turns: float) -> float:
            return D * math.log(self.original / (turns * 2 * math.pi)) / (2 * math.log(self.theta))

        first, last = pair(self.high), pair(self.low)
        if self.truncate:
            first, last = math.floor(first), math.ceil(last)
        first, last = max(first, 0), min(last, D - 1)
        width = last - first or 0.001
        return 1 - ((torch.arange(D // 2, dtype=torch.float32) - first) / width).clamp(0.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """One way in which a model tells positions apart, at some of them: values [R, N].

    kind: "learned" or "sinusoidal" (added to a token: R positions, N channels), "rotary" (radians by which queries and
    keys are turned: R positions, N pairs of channels), "alibi" or "relative" (added to a score: R heads, N distances).
    side: "layers", or "encoder" of a model that has both. layers: those that it serves; None is all. ahead: whether
    the distances are those of keys behind the query as well as before it, farthest back first.
    """

    kind: str
    values: Tensor
    side: str = "layers"
    layers: tuple[int, ...] | None = None
    ahead: bool = False


class Rotary:
    """Tables of cosines and sines, made when first needed and grown by doubling.

    No module and no buffer: a model is built on the meta device, where a buffer would come to life empty.
    """

    def __init__(self, config: RotaryConfig, D: int) -> None:
        self._config = config
        self._D = int(D * config.fraction)
        self._table: tuple[Tensor, Tensor] | None = None

    def at(self, start: int, T: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and signed sines of positions start to start + T, each [T, 1, D], of like's dtype and device."""
        if self._table is None or not self._fits(self._table[0], start + T, like):
            self._table = self._computed(1 << max(8, (start + T - 1).bit_length()), like)
        cosines, sines = self._table
        return cosines[start : start + T], sines[start : start + T]

    def over(self, span: Span, like: Tensor) -> tuple[Tensor, Tensor]:
        """The same for the positions of a pass; each [B, T, 1, D] where rows are filled up."""
        if span.padding is None:
            return self.at(span.start, span.T, like)
        cosines, sines = self.at(0, span.end, like)
        return cosines[span.rows], sines[span.rows]

    def angles(self, where: Tensor) -> Tensor:
        """By how much each pair of channels is turned at these positions [R], radians [R, D / 2]."""
        return torch.outer(where.float(), self._config.frequencies(self._D))

    @staticmethod
    def _fits(table: Tensor, length: int, like: Tensor) -> bool:
        return len(table) >= length and table.dtype == like.dtype and table.device == like.device

    def _computed(self, length: int, like: Tensor) -> tuple[Tensor, Tensor]:
        # Outside inference mode: a table born inside could never serve a backward pass.
        with torch.inference_mode(False), torch.no_grad(), torch.device("cpu"):
            angles = self.angles(torch.arange(length))
            cosines = torch.cat((angles.cos(), angles.cos()), -1)
            sines = torch.cat((-angles.sin(), angles.sin()), -1)
            cosines, sines = (cosines * self._config.scale)[:, None], (sines * self._config.scale)[:, None]
            return cosines.to(like.device, like.dtype), sines.to(like.device, like.dtype)


Table = tuple[Tensor, Tensor]
"""Cosines and signed sines of the positions of a pass, each [T, 1, D] or [B, T, 1, D]."""


def rotate(x: Tensor, table: Table) -> Tensor:
    """Turn each pair (i, i + D/2) of x [B, T, heads, D] by its position's angle.

    Where the table is narrower than x, D is the table's width and the channels behind it stay as they are.
    """
    cosines, signed_sines = table
    D = cosines.shape[-1]
    if x.shape[-1] > D:
        return torch.cat((rotate(x[..., :D], table), x[..., D:]), -1)
    return torch.addcmul(x * cosines, x.roll(D // 2, -1), signed_sines)


def heads(x: Tensor, D: int) -> Tensor:
    """The channels of [B, T, C] as heads of width D: [B, T, C / D, D]."""
    return x.view(*x.shape[:2], -1, D)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    table: Table | None,
    mask: Mask,
    remember: Remember,
    scale: float,
    tap: LayerTap | None = None,
    softcap: float | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Rotate, remember and attend: q [B, T, H, D], k and v [B, T, K, D] -> [B, T, H * D]. No table: no positions."""
    if table is not None:
        q, k = rotate(q, table), rotate(k, table)
    k, v = remember(k.transpose(1, 2), v.transpose(1, 2))  # [B, K, S, D]
    y = attention(q.transpose(1, 2), k, v, mask, scale, tap, bias, softcap)
    return y.transpose(1, 2).flatten(2)


class ShiftedRMSNorm(nn.Module):
    """An RMS norm whose weight is what is added to 1, all of it in float32, as in Gemma's checkpoints."""

    def __init__(self, C: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(C))
        self._epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        weight = 1.0 + self.weight.float()
        return functional.rms_norm(x.float(), weight.shape, weight, self._epsilon).type_as(x)


class Embedding(nn.Embedding):
    """An embedding whose weights come from a checkpoint: on the meta device it draws no first numbers.

    Drawing them there would import a second's worth, and 70 MB, of torch's reference operators.
    """

    def reset_parameters(self) -> None:
        if not self.weight.is_meta:
            super().reset_parameters()

    def scores(self, x: Tensor) -> Tensor:
        """How well each of them fits x [..., C], [..., V]: where the head is tied to them, its logits."""
        return functional.linear(x, self.weight)


def project(x: Tensor, *linears: nn.Module) -> tuple[Tensor, ...]:
    """What each of several linear layers makes of the same x.

    Layers of a kind that has `together(x, linears)` are then read in one go, which saves packed ones most of the cost
    of a call.
    """
    kind = type(linears[0])
    together = getattr(kind, "together", None)
    if together is not None and all(type(linear) is kind for linear in linears):
        results: tuple[Tensor, ...] = together(x, linears)
        return results
    return tuple(linear(x) for linear in linears)


class GatedMLP(nn.Module):
    """down(activation(gate(x)) * up(x)), x [B, T, C]."""

    def __init__(self, C: int, hidden: int, bias: bool, activation: str) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(C, hidden, bias=bias)
        self.up_proj = nn.Linear(C, hidden, bias=bias)
        self.down_proj = nn.Linear(hidden, C, bias=bias)
        self._activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        gate, up = project(x, self.gate_proj, self.up_proj)
        result: Tensor = self.down_proj(self._activation(gate) * up)
        return result


class Mixture(nn.Module):
    """Gated feed-forward experts, of which each position takes the `chosen` that its gate finds likeliest.

    normed: whether the weights of those that were chosen are made to add up to 1.
    """

    def __init__(self, C: int, hidden: int, experts: int, chosen: int, normed: bool, activation: str) -> None:
        super().__init__()
        self.gate = nn.Linear(C, experts, bias=False)
        self.experts = nn.ModuleList(GatedMLP(C, hidden, False, activation) for _ in range(experts))
        self._chosen = chosen
        self._normed = normed

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(0, 1)
        weights, chosen = self.gate(rows).float().softmax(-1).topk(self._chosen)  # [B * T, chosen] each
        if self._normed:
            weights = weights / weights.sum(-1, keepdim=True)
        y = torch.zeros_like(rows)
        for index in chosen.unique().tolist():
            row, place = (chosen == index).nonzero(as_tuple=True)
            part = self.experts[index](rows[row]) * weights[row, place, None]
            y = y.index_add(0, row, part.to(y.dtype))
        return y.view_as(x)


class DenseMLP(nn.Module):
    """dense_4h_to_h(activation(dense_h_to_4h(x))), x [B, T, C]; named as in the checkpoints that share it."""

    def __init__(self, C: int, hidden: int, bias: bool, activation: str) -> None:
        super().__init__()
        self.dense_h_to_4h = nn.Linear(C, hidden, bias=bias)
        self.dense_4h_to_h = nn.Linear(hidden, C, bias=bias)
        self._activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.dense_4h_to_h(self._activation(self.dense_h_to_4h(x)))
        return result


class Conv1D(nn.Module):
    """A linear layer whose weight lies transposed, [in, out], as in GPT-2's checkpoints."""

    transposed = True

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.in_features, self.out_features = inputs, outputs
        # In memory it lies as a Linear's: 16 bits are read 10 times faster so on a CPU without their instructions.
        self.weight = nn.Parameter(torch.empty(outputs, inputs).t())
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight.t(), self.bias)


def vocabulary_scores(x: Tensor, head: nn.Linear | None, embeddings: Embedding) -> Tensor:
    """[B, T, C] to logits [B, T, V]: by the head, or where it is tied to them, by the embeddings."""
    if head is None:
        return embeddings.scores(x)
    logits: Tensor = head(x)
    return logits


def fused_heads(qkv: Tensor, K: int, D: int) -> tuple[Tensor, Tensor, Tensor]:
    """Take a fused projection [B, T, (H + 2K) D] apart: q [B, T, H, D], k and v [B, T, K, D].

    Its rows lie group by group: the group's query heads, then its key, then its value.
    """
    groups = qkv.unflatten(-1, (K, -1, D))  # [B, T, K, H / K + 2, D]
    return groups[..., :-2, :].flatten(2, 3), groups[..., -2, :], groups[..., -1, :]
