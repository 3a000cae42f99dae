"""How a model tells positions apart, and which of them each token sees: maps of what its family says of itself.

No text is read. At most so many positions and channels are taken, evenly spaced, so that the maps of a context of a
hundred thousand tokens are as small as those of a hundred.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.messages import Floats, Integers, PositionMap
from engine.models.base import Decoder, Encoder, LanguageModel, Seq2Seq, Signal

MOST = 128
"""Rows and columns of a map, at most; of distances that go both ways, columns to either side."""

SAYS = {
    "learned": "A vector learned for each position is added to its token.",
    "sinusoidal": "A fixed vector of sines and cosines for each position is added to its token.",
    "rotary": "Queries and keys are turned by an angle that grows with the position: each pair of channels at its own "
    "speed, so that a score depends on how far apart two tokens are.",
    "alibi": "Each head lowers the score of a token by as much again for every step of distance.",
    "relative": "Each head adds to a score a number learned for the distance; all layers share them.",
}


@torch.inference_mode()
def position_maps(model: LanguageModel, length: int) -> tuple[PositionMap, ...]:
    """Signals first, then masks, of the first `length` positions."""
    where = _spread(length)
    signals = [_signal(signal, where) for signal in model.signals(torch.from_numpy(where).long())]
    return (*signals, *_masks(model, where))


def _spread(length: int) -> Integers:
    """So many positions, or MOST of them evenly spaced, from the first on."""
    step = -(-length // MOST)
    return np.arange(0, length, step, dtype=np.int32)


def _signal(signal: Signal, where: Integers) -> PositionMap:
    values = signal.values
    if signal.kind in ("alibi", "relative"):
        rows: Integers = np.arange(len(values), dtype=np.int32)
        columns: Integers = np.concatenate((-where[::-1], where[1:])) if signal.ahead else -where
    else:
        columns = _spread(values.shape[1])
        rows, values = where, values[:, torch.from_numpy(columns).long()]
    if len(rows) > MOST:  # heads
        rows = _spread(len(values))
        values = values[torch.from_numpy(rows).long()]
    return PositionMap(signal.kind, signal.side, signal.layers, rows, columns, _floats(values), SAYS[signal.kind])


def _masks(model: LanguageModel, where: Integers) -> Iterable[PositionMap]:
    ahead = where[None, :].astype(np.int64) - where[:, None]
    causal, whole = ahead <= 0, np.ones_like(ahead, bool)
    if isinstance(model, Seq2Seq):
        yield _mask("encoder", None, where, whole, "Every token of the source sees all of it.")
        yield _mask("layers", None, where, causal, "A token sees itself and those before it, and all of the source.")
    elif isinstance(model, Decoder):
        for window, layers in _windows(model):
            if window is None:
                yield _mask("layers", layers, where, causal, "A token sees itself and all before it.")
            else:
                seen = causal & (ahead > -window)
                says = f"A token sees itself and the {window - 1:,} before it."
                yield _mask("layers", layers, where, seen, says)
    elif isinstance(model, Encoder):
        for window, layers in _windows(model):
            if window is None:
                yield _mask("layers", layers, where, whole, "Every token sees all of the text.")
            else:
                says = f"A token sees itself and {window:,} to either side."
                yield _mask("layers", layers, where, np.abs(ahead) <= window, says)


def _windows(model: Decoder | Encoder) -> list[tuple[int | None, tuple[int, ...] | None]]:
    """The windows that there are, each with its layers; None for those where all are alike."""
    served: dict[int | None, list[int]] = {}
    for layer in range(model.config.layers):
        served.setdefault(model.window(layer), []).append(layer)
    return [(window, tuple(layers) if len(served) > 1 else None) for window, layers in served.items()]


def _mask(
    side: str, layers: tuple[int, ...] | None, where: Integers, seen: npt.NDArray[np.bool_], says: str
) -> PositionMap:
    return PositionMap("mask", side, layers, where, where, seen.astype(np.float32), says)


def _floats(values: Tensor) -> Floats:
    floats: Floats = values.float().cpu().numpy()
    return floats
