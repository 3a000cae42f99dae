"""A checkpoint's tensors into a model, one at a time: as plain numbers, or in groups that are made, kept or found.

What is to be in groups is the plan's business; where a file has codes of as few bits, they stay what they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field

import torch

from engine.errors import Cancelled
from engine.loading.gguf import GGUFWeights
from engine.loading.safetensors import Weights
from engine.messages import Held
from engine.models.base import LanguageModel
from engine.quantize import DTYPES, Grouped, Scheme, cache, place, put, put_on_gpu
from engine.quantize.groups import fits
from engine.quantize.search import quantised

Phase = tuple[str, int, int]
"""What is done, bytes done, bytes in all."""

LOADING, MAKING, CHECKING = "Loading weights", "Quantising", "Reading the file once"


@dataclass(slots=True)
class Placing:
    """Where the tensors of a file go. names: tensor -> parameter; plan: the matrices that are quantised for the
    precision; beside: what all others are held in; importance: how much each input of a matrix counts, where that is
    known: what was kept without is then made anew.

    errors: how far each matrix that was rounded is off, root mean square, relative to its own; 0 where the file's
    codes were kept. plain: matrices of the plan that float16 scales cannot hold.
    """

    model: LanguageModel
    weights: Weights | GGUFWeights
    names: Mapping[str, str]
    precision: str
    beside: str
    device: str
    plan: Mapping[str, Scheme]
    cancelled: Callable[[], bool]
    importance: Mapping[str, torch.Tensor] | None = None
    errors: dict[str, float] = field(default_factory=dict)
    plain: set[str] = field(default_factory=set)

    def held(self) -> tuple[Held, ...]:
        """The matrices of the plan that the file has, once they are placed: alike ones together, the largest first."""
        found: dict[tuple[str, str], list[tuple[int, int, float]]] = {}
        for name in self.names.values():
            if name not in self.plan:
                continue
            layer = self.model.get_submodule(name.rpartition(".")[0])
            packed = getattr(layer, "packed", None)
            why = self.plan[name].why
            if packed is not None:
                form = f"{packed.bits} bits in groups of {packed.group}"
                count, nbytes = math.prod(packed.shape), packed.nbytes
            else:
                weight = self.model.get_parameter(name)
                form = str(getattr(layer, "form", self.beside))
                count, nbytes = getattr(layer, "size", weight.numel()), weight.nbytes
                why = "its scales outgrow 16-bit floats" if name in self.plain else why
            found.setdefault((form, why), []).append((count, nbytes, self.errors.get(name, 0.0)))
        alike = []
        for (form, why), items in found.items():
            weights = sum(count for count, _, _ in items)
            error = math.sqrt(sum(count * error**2 for count, _, error in items) / weights)
            alike.append(Held(form, len(items), weights, sum(nbytes for _, nbytes, _ in items), why, error))
        return tuple(sorted(alike, key=lambda held: -held.nbytes))

    def run(self) -> Generator[Phase, None, None]:
        """Place every tensor; raises Cancelled once `cancelled` says so."""
        grouped = {name: self.plan[name] for name in self.names.values() if name in self.plan and self.plan[name].bits}
        if not grouped or not self.weights.keepable or self.device != "cpu" or not cache.usable():
            yield from self._read(grouped, None)
            return
        plan = {name: (scheme, self._shape(name, scheme)) for name, scheme in grouped.items()}
        path = None
        identity = cache.identify(self.weights.files, plan)
        while path is None:
            try:
                phase = next(identity)
            except StopIteration as end:
                path = end.value
            else:
                self._check()
                yield CHECKING, *phase
        found = cache.kept(path, plan) if self.importance is None else None
        if found is not None:
            yield from self._find(found, list(plan))
            if missing := {name: scheme for name, scheme in grouped.items() if name not in self.errors}:
                cache.remove(path)  # damaged: the next time all of it is made anew
            yield from self._read(missing, None)
            return
        keeping = cache.Keeping(path, plan)
        try:
            yield from self._read(grouped, keeping)
            if not self.plain:
                keeping.finish()
        finally:
            keeping.discard()

    def _find(self, found: cache.Kept, names: list[str]) -> Generator[Phase, None, None]:
        """Put what was kept and is not damaged."""
        for index, name in enumerate(names):
            self._check()
            grouped = found.read(name)
            if grouped is not None:
                put(self.model, name, grouped)
                self.errors[name] = found.errors[name]
            yield LOADING, index + 1, len(names)

    def _read(self, grouped: Mapping[str, Scheme], keeping: cache.Keeping | None) -> Generator[Phase, None, None]:
        """Take every tensor that is not in place yet from the file."""
        names = {tensor: name for tensor, name in self.names.items() if name not in self.errors}
        bits = {
            tensor: grouped[name].bits for tensor, name in names.items() if name in grouped and self.device == "cpu"
        }
        done, total = 0, sum(self.weights.entries[tensor].nbytes for tensor in names)
        phase = MAKING if keeping is not None else LOADING
        yield phase, 0, total
        for entry, value in self.weights.read(list(names), DTYPES[self.beside], bits):
            self._check()
            name = names[entry.name]
            scheme = grouped.get(name)
            if isinstance(value, Grouped):
                put(self.model, name, value)
                self.errors[name] = 0.0
            elif scheme is None or not self._quantise(name, value.T if scheme.transposed else value, scheme, keeping):
                exact = self.beside == "fp16" and name.endswith(self.model.exact)
                held = "fp32" if exact else self.beside
                place(self.model, name, value, held, self.device, owned=self.weights.computed)
            done += entry.nbytes
            yield phase, done, total

    def _quantise(self, name: str, weight: torch.Tensor, scheme: Scheme, keeping: cache.Keeping | None) -> bool:
        """Whether the matrix could be quantised."""
        if self.device != "cpu":
            put_on_gpu(self.model, name, weight, self.precision, self.device)
            return True
        importance = None if self.importance is None else self.importance.get(name)
        made, error = quantised(weight, scheme.bits, scheme.group, self._check, importance)
        if not fits(made.scale) or (made.zero is not None and not fits(made.zero)):
            self.plain.add(name)
            return False
        if keeping is not None:
            keeping.add(name, made, error)
        put(self.model, name, made)
        self.errors[name] = error
        return True

    def _shape(self, name: str, scheme: Scheme) -> tuple[int, int]:
        first, second = self.model.get_parameter(name).shape
        return (second, first) if scheme.transposed else (first, second)

    def _check(self) -> None:
        if self.cancelled():
            raise Cancelled
