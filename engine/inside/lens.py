"""The logit lens: what the model would say if it had to speak after each layer (nostalgebraist 2020, "interpreting GPT:
the logit lens"): the state that leaves a block goes through the model's own last norm and output projection.

It hangs hooks on the blocks for one reading and takes them off again; no family knows of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from engine.messages import LensRows

ROWS = 64
"""Positions whose scores over the vocabulary are held at a time, of one layer."""


class Lens:
    """Collects the states of the positions from `first` on, layer by layer, over the passes of one reading."""

    def __init__(self, blocks: list[nn.Module], first: int) -> None:
        self.blocks = blocks
        self.first = first
        self.states: list[list[Tensor]] = [[] for _ in range(len(blocks) + 1)]  # of each layer, [T, C] a pass
        self._start = 0

    @property
    def names(self) -> tuple[str, ...]:
        """What enters the first block, then what leaves each: the last is what the model says."""
        return ("embedding", *(f"layers.{index}" for index in range(len(self.blocks))))

    @contextmanager
    def watching(self, start: int) -> Iterator[None]:
        """During this, one pass over the positions from start on is read."""
        self._start = start
        handles = [self.blocks[0].register_forward_pre_hook(lambda _, given: self._keep(0, given[0]))]
        for index, block in enumerate(self.blocks):
            handles.append(
                block.register_forward_hook(lambda _, given, state, layer=index + 1: self._keep(layer, state))
            )
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _keep(self, layer: int, state: Tensor) -> None:
        self.states[layer].append(state[0, max(0, self.first - self._start) :].detach().clone())

    @torch.inference_mode()
    def read(
        self,
        run: int,
        ids: tuple[int, ...],
        head: Callable[[Tensor], Tensor],
        piece: Callable[[int], str],
        best: int,
        check: Callable[[], None],
    ) -> LensRows:
        """The likeliest `best` tokens of every layer and position. head: states [1, T, C] to logits [1, T, V]."""
        layers = [torch.cat(states) for states in self.states]
        rows = len(layers[-1])
        shape = len(layers), rows
        tops = np.zeros((*shape, best), np.int32)
        probabilities = np.zeros((*shape, best), np.float32)
        entropies, said = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for begin in range(0, rows, ROWS):
            at = slice(begin, begin + ROWS)
            final: Tensor | None = None
            for layer in reversed(range(len(layers))):  # the last first: the others are asked about its choice too
                check()
                logp = head(layers[layer][None, at])[0].float().log_softmax(-1)
                p = logp.exp()
                top = p.topk(best, dim=-1)
                final = top.indices[:, :1] if final is None else final
                tops[layer, at], probabilities[layer, at] = top.indices.cpu().numpy(), top.values.cpu().numpy()
                entropies[layer, at] = -(p * logp).nan_to_num(0.0).sum(-1).cpu().numpy()
                said[layer, at] = p.gather(1, final)[:, 0].cpu().numpy()
        pieces = {int(id): piece(int(id)) for id in np.unique(tops)}
        return LensRows(run, ids, self.first, self.names, tops, probabilities, entropies, said, pieces)
