"""Low-rank additions to the Linear modules of a model: y = base(x) + sum of scale * B (A x), never merged.

What the base is held in does not matter, and none of it is copied or written to. The additions stand in the modules'
places only while a run that asked for them takes a step; a run without any meets the model as it was loaded.
Source: LoRA (Hu et al., 2021).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional

from engine.adapters.files import AdapterFiles
from engine.adapters.fitting import Place
from engine.adapters.settings import AGAIN
from engine.errors import BadModelFiles, Cancelled, OutOfMemory
from engine.lanes import Job
from engine.loading import memory
from engine.loading.forecast import amount
from engine.loading.safetensors import broken, opened
from engine.models.base import Decoder, LanguageModel
from engine.models.layers import project

Addition = tuple[Tensor, Tensor, float]
"""A [r, inputs] and B as [r, outputs], float32, and what their product is multiplied by.

For one token that is up to twice as fast as the file's [outputs, r]: a few long rows are added, not many short ones
multiplied.
"""


class Adapted(nn.Module):
    """A Linear module and what is added to what it makes, in float32, of the same input."""

    def __init__(self, base: nn.Module, additions: Sequence[Addition]) -> None:
        super().__init__()
        self.base = base
        self._additions = list(additions)

    def forward(self, x: Tensor) -> Tensor:
        return self._added(x, self.base(x))

    @staticmethod
    def together(x: Tensor, linears: Sequence[Adapted]) -> tuple[Tensor, ...]:
        """What each makes of the same x; their bases read it in one go where they can."""
        results = project(x, *(linear.base for linear in linears))
        return tuple(linear._added(x, y) for linear, y in zip(linears, results))

    def _added(self, x: Tensor, y: Tensor) -> Tensor:
        x, sums = x.float(), y.float()
        for A, B, scale in self._additions:
            sums = sums.add(functional.linear(x, A) @ B, alpha=scale)
        return sums.to(y.dtype)


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """One that was read for a model. additions: by the module that they belong to. stamp: of its files."""

    stamp: Hashable
    additions: dict[str, Addition]

    @property
    def nbytes(self) -> int:
        return sum(A.nbytes + B.nbytes for A, B, _ in self.additions.values())


def read(files: AdapterFiles, places: Sequence[Place], device: torch.device) -> Adapter:
    """The matrices of an adapter that fits; BadModelFiles where they are damaged, OutOfMemory where none is free."""
    free, needed = memory.available(device.type), 4 * files.numbers
    if free is not None and needed > free:
        raise OutOfMemory(
            f"{files.name} needs {amount(needed)}, and {amount(free)} are free.", "Close other programs.", needed - free
        )
    additions = {}
    with opened(files.weights, "pt") as tensors:
        for place in places:
            sides = []
            for side in "AB":
                name = f"base_model.model.{place.name}.lora_{side}.weight"
                try:
                    sides.append(tensors.get_tensor(name).to(device, torch.float32, copy=True))
                except SafetensorError as error:
                    raise broken(files.weights) from error
                if not sides[-1].isfinite().all():
                    raise BadModelFiles(f"{files.name} holds numbers in {name} that are not finite.", AGAIN)
            additions[place.module] = (sides[0], sides[1].T.contiguous(), place.scale)
    return Adapter(files.stamp, additions)


class Adaptation:
    """What some adapters, each with a weight, make of a model while they are in place."""

    def __init__(self, model: LanguageModel, adapters: Sequence[tuple[Adapter, float]]) -> None:
        self._model = model
        self._key = tuple((adapter.stamp, weight) for adapter, weight in adapters)
        additions: dict[str, list[Addition]] = {}
        for adapter, weight in adapters:
            for module, (A, B, scale) in adapter.additions.items():
                additions.setdefault(module, []).append((A, B, weight * scale))
        self._swaps = []
        packed: dict[Any, tuple[Tensor, Tensor]] = {}
        for module, several in additions.items():
            owner, _, name = module.rpartition(".")
            base = model.get_submodule(module)
            # The dictionary itself: for some hundred modules at every token, setattr would take a millisecond.
            self._swaps.append((model.get_submodule(owner)._modules, name, base, Adapted(base, several)))
            matrix = getattr(getattr(base, "packed", None), "matrix", None)
            if matrix is not None:
                packed[matrix] = torch.cat([A for A, _, _ in several]), torch.cat([B * s for _, B, s in several])
        fused = model.fused if isinstance(model, Decoder) else None
        self._fused = fused and fused.adapted(packed)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """While it lasts, the model is the adapted one: nothing else may use it meanwhile."""
        model, before = self._model, self._model.adapted
        fused = model.fused if isinstance(model, Decoder) else None
        try:
            for modules, name, _, adapted in self._swaps:
                modules[name] = adapted
            model.adapted = self._key
            if isinstance(model, Decoder):
                model.fused = self._fused  # it multiplies by the weights without asking the modules
            yield
        finally:
            for modules, name, base, _ in self._swaps:
                modules[name] = base
            model.adapted = before
            if isinstance(model, Decoder):
                model.fused = fused

    def over(self, job: Job) -> Job:
        """The job, each of whose steps meets the adapted model; between them the model is as it was."""
        cancelled: Cancelled | None = None
        try:
            while True:
                try:
                    with self.in_place():
                        event = next(job) if cancelled is None else job.throw(cancelled)
                except StopIteration as end:
                    reason: str | None = end.value
                    return reason
                cancelled = None
                try:
                    yield event
                except Cancelled as error:
                    cancelled = error
        finally:
            job.close()
