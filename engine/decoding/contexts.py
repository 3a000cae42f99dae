"""What a model has read: one text's cache and ids, and a shelf of them for texts that begin alike.

A chat's next turn, an edited message and another chat with the same beginning all find their prefix here. It knows
decoders and caches, no tokenizer and no prompt; how much memory is free it is told.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine.decoding.cache import KVCache
from engine.inside.capture import Tap
from engine.models.base import Decoder
from engine.params import CaptureParams

SHARE = 0.25
"""How much of the free memory texts that nobody reads now may take."""

UNKNOWN = 2**30
"""Bytes they may take where the system does not say how much is free."""


@dataclass(slots=True)
class Context:
    """What a model has read: its cache, the ids that lie in it, and the tap that watched.

    reach: the length of the text that they are the beginning of. adapted: the adapters that the model read with.
    """

    model: Decoder
    cache: KVCache
    tap: Tap
    ids: list[int] = field(default_factory=list)
    reach: int = 0
    adapted: Hashable = ()

    @classmethod
    def fresh(cls, model: Decoder, capture: CaptureParams, eight_bit: bool = False) -> Context:
        """One that has read nothing; eight_bit: what it will have read is kept in 8 bits."""
        cache = KVCache.for_model(model, eight_bit=eight_bit)
        return cls(model, cache, Tap(capture, model.config.layers), adapted=model.adapted)

    def serves(self, model: Decoder) -> bool:
        """Whether the model, with the adapters that are in place now, would have read the same."""
        return self.model is model and self.adapted == model.adapted

    def fork(self, count: int) -> Context:
        """Another context that has read the first count ids; this one stays as it is."""
        tap = copy.deepcopy(self.tap)
        tap.truncate(count)
        cache = self.cache.copy(count)
        return Context(self.model, cache, tap, self.ids[: cache.length], self.reach, self.adapted)

    def prepare(self, length: int) -> None:
        """Make ready for a text of that length: what was read is dropped where the model would read it otherwise."""
        if self.model.is_far(length) != self.model.is_far(self.reach):
            self.truncate(0)
        self.reach = length

    def keep(self, ids: Sequence[int]) -> int:
        """Drop what is not a prefix of ids, and its last id too, whose logits are needed; returns what is left."""
        self.prepare(len(ids))
        self.truncate(min(shared(self.ids, ids), len(ids) - 1))
        return len(self.ids)

    def truncate(self, count: int) -> None:
        """Forget all but the first count ids; all, where a window has dropped what the next one would see."""
        left = self.cache.truncate(count)
        self.tap.truncate(left)
        del self.ids[left:]

    @torch.inference_mode()
    def feed(self, ids: Sequence[int], check: Callable[[], None], last: bool = True) -> Tensor:
        """One forward pass over the ids that follow; logits float32 [V] of the last, or [T, V] of all.

        check is called between layers and may raise Cancelled; the cache is then what it was before.
        """
        self.tap.begin(len(self.ids))
        rows = torch.tensor([list(ids)], device=self.cache.device)
        try:
            logits = self.model(rows, self.cache, self.tap if self.tap.wanted else None, check, last, self.reach)
        except BaseException:
            self.truncate(len(self.ids))
            raise
        self.ids.extend(ids)
        result: Tensor = logits[0, -1].float() if last else logits[0].float()
        return result


class Contexts:
    """Contexts to go on from: taken out for a run and put back after it; those used least lately go first.

    free: the bytes of memory that are free, None where nobody knows.
    """

    def __init__(self, free: Callable[[], int | None]) -> None:
        self._free = free
        self._kept: list[Context] = []  # the one used last stands last

    @property
    def nbytes(self) -> int:
        return sum(context.cache.nbytes for context in self._kept)

    def take(self, model: Decoder, ids: Sequence[int], capture: CaptureParams, eight_bit: bool = False) -> Context:
        """The context with the longest common prefix, or a copy of that prefix, or a fresh one.

        It is copied where more would be cut off than is shared: the rest is then another chat's, or another branch's.
        """
        mine = [
            (context.cache.back_to(shared(context.ids, ids[:-1])), context)
            for context in self._kept
            if context.serves(model)
        ]
        same, best = max(mine, key=lambda pair: pair[0], default=(0, None))
        if best is None or not same:
            return Context.fresh(model, capture, eight_bit)
        if len(best.ids) - same > same:
            best = best.fork(same)
        else:
            self._kept.remove(best)
        best.tap.params = capture
        return best

    def put(self, context: Context) -> None:
        """Keep a context, and drop others until all fit; those that are its own beginning are of no more use."""
        self._kept = [
            other
            for other in self._kept
            if other.model is not context.model
            or other.adapted != context.adapted
            or other.ids != context.ids[: len(other.ids)]
        ]
        self._kept.append(context)
        held, free = self.nbytes, self._free()
        room = UNKNOWN if free is None else int(SHARE * (free + held))
        while held > room and len(self._kept) > 1:
            held -= self._kept.pop(0).cache.nbytes

    def forget(self, model: object) -> None:
        """Drop what this model has read."""
        self._kept = [context for context in self._kept if context.model is not model]

    def clear(self) -> None:
        self._kept.clear()


def shared(a: Sequence[int], b: Sequence[int]) -> int:
    """The length of the common prefix, found by halving: whole slices are compared at once."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if list(a[low:middle]) == list(b[low:middle]):
            low = middle
        else:
            high = middle - 1
    return low
