"""The weights of a GGUF file: named as the checkpoint's parameters, dequantised one tensor at a time.

The header was checked by engine/gguf.py; names and the arithmetic of the number formats are the `gguf` library's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from engine.errors import UnsupportedModel
from engine.gguf import GGUF, MOST_TENSORS, TensorInfo, floats
from engine.loading.architectures import Architecture, Config
from engine.loading.safetensors import PRECISIONS, Entry

if TYPE_CHECKING:
    from torch import Tensor, dtype

    from engine.models.base import LanguageModel
    from engine.quantize import Grouped

KINDS = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
"""The number formats that are read."""

BLOCK = re.compile(r"blk\.(\d+)\.")
STACKED = re.compile(r"(blk\.\d+\.ffn_)(gate|up|down|gate_up)_exps\.weight")
MOST_EXPERTS = 2**10
EXPERT = re.compile(r"\.experts\.(\d+)\.")
CHUNK = 2**18
"""Bytes of the file that are dequantised at once."""
NOT_WEIGHTS = {"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"}
"""Tensors that belong to the config."""


class GGUFWeights:
    """All tensors of a file by their names there, with the shapes of the parameters they are for.

    The experts of a layer, one tensor in newer files, have the names that they have in older ones.
    """

    computed = True

    def __init__(self, file: GGUF, architecture: Architecture, config: Config) -> None:
        self._file, self._architecture, self._config = file, architecture, config
        self.entries: dict[str, Entry] = {}
        self._infos: dict[str, TensorInfo] = {}
        for stacked in file.tensors.values():
            self._infos.update({info.name: info for info in _experts(stacked)})
            if len(self._infos) > MOST_TENSORS:
                raise file.damaged(f"it holds more than {MOST_TENSORS} tensors")
        for info in self._infos.values():
            if info.kind not in KINDS:
                raise UnsupportedModel(
                    f"{file.name} holds {info.name} as {info.kind}, which Vitrine cannot read yet.",
                    f"These number formats can be read: {', '.join(KINDS)}.",
                )
            if info.name not in NOT_WEIGHTS:
                precision = PRECISIONS[info.kind][0] if info.kind in PRECISIONS else info.kind
                self.entries[info.name] = Entry(info.name, info.file, self._shape(info), precision, info.nbytes)

    @property
    def files(self) -> list[Path]:
        return sorted({entry.file for entry in self.entries.values()})

    @property
    def keepable(self) -> bool:
        """Whether it takes work to quantise what is read, so that it is done once."""
        return all(entry.precision in dict(PRECISIONS.values()) for entry in self.entries.values())

    @property
    def parameters(self) -> int:
        return sum(math.prod(entry.shape) for entry in self.entries.values())

    @property
    def nbytes(self) -> int:
        return sum(entry.nbytes for entry in self.entries.values())

    @cached_property
    def precision(self) -> str:
        """The number format that most of the bytes are in: Vitrine's word for a plain one, GGUF's for another."""
        sizes: dict[str, int] = {}
        for entry in self.entries.values():
            sizes[entry.precision] = sizes.get(entry.precision, 0) + entry.nbytes
        return max(sizes, key=lambda precision: sizes[precision], default="")

    def places(self, model: LanguageModel) -> dict[str, str | None]:
        """Tensor name -> the model's parameter it belongs to; its own name where there is none."""
        import gguf  # with the first such file: it takes as long as reading a small model

        names = {value: key for key, value in gguf.MODEL_ARCH_NAMES.items()}
        blocks = 1 + max((int(number) for name in self.entries for number in BLOCK.findall(name)), default=0)
        table = gguf.get_tensor_name_map(names[self._file.metadata["general.architecture"]], min(blocks, 1024))
        found: dict[str, str | None] = {name: name for name in self.entries}
        for parameter, _ in model.named_parameters():
            stem, _, suffix = EXPERT.sub(".experts.", parameter).rpartition(".")
            expert = EXPERT.search(parameter)
            for candidate in (stem, stem.partition(".")[2]):  # the library knows some families without their prefix
                name = table.get_name(candidate)
                if name is not None and expert is not None:
                    name = name.replace("_exps", f".{expert[1]}")
                if name is not None and f"{name}.{suffix}" in found:
                    found[f"{name}.{suffix}"] = parameter
                    break
        return found

    def read(
        self, names: list[str], dtype: dtype | None = None, bits: Mapping[str, int] | None = None
    ) -> Iterator[tuple[Entry, Tensor | Grouped]]:
        """The tensors of these names in the file's order, in that dtype or else in float32.

        bits: how many a matrix may have that stays in groups, with the codes that the file has.
        """
        from engine.quantize.blocks import BITS  # with torch, which the catalog does without

        for info in sorted(map(self._infos.__getitem__, names), key=lambda info: (info.file, info.offset)):
            raw = self._file.raw(info).reshape(1 if len(info.shape) == 1 else info.shape[0], -1)
            rows = self._rows(info)
            kept = bits is not None and BITS.get(info.kind, 9) <= bits.get(info.name, 0)
            grouped = self._grouped(info, raw, rows) if kept else None
            yield self.entries[info.name], self._floats(info, raw, rows, dtype) if grouped is None else grouped

    def _floats(self, info: TensorInfo, raw: np.ndarray, rows: np.ndarray | None, dtype: dtype | None) -> Tensor:
        """A few rows at a time: in float32 the embeddings alone may take more than the whole model does in the end."""
        import torch

        plus_one = self._architecture.plus_one and info.name.endswith("norm.weight")
        tensor = torch.empty(info.shape, dtype=dtype or torch.float32)
        if len(info.shape) == 1:
            values = floats(raw, info.kind)[0]
            tensor.copy_(torch.from_numpy(values if rows is None else values[rows]) - int(plus_one))
        else:
            for part in _parts(raw, rows, CHUNK):
                values = floats(raw[part.where], info.kind)
                tensor[part.rows] = torch.from_numpy(values.reshape(-1, *info.shape[1:]))
        return tensor.T if info.name.endswith(self._architecture.transposed) else tensor

    def _grouped(self, info: TensorInfo, raw: np.ndarray, rows: np.ndarray | None) -> Grouped | None:
        """A matrix with the codes that the file has, as [outputs, inputs]; None where its scales are not to be used."""
        import torch

        from engine.quantize.blocks import from_blocks
        from engine.quantize.groups import stacked

        found = []
        for part in _parts(raw, rows, 64 * CHUNK):
            grouped = from_blocks(torch.from_numpy(np.ascontiguousarray(raw[part.where])), info.kind, info.shape[1])
            if grouped is None:
                return None
            found.append(grouped)
        return stacked(found)

    def _rows(self, info: TensorInfo) -> np.ndarray | None:
        try:
            return self._architecture.rows(info.name, self._config, info.shape[0])
        except ValueError as error:
            raise self._file.damaged(f"{info.name} does not fit its metadata") from error

    def _shape(self, info: TensorInfo) -> tuple[int, ...]:
        return info.shape[::-1] if info.name.endswith(self._architecture.transposed) else info.shape


class _Part(NamedTuple):
    """Some rows of a tensor, and where they lie in the file's."""

    rows: slice
    where: slice | np.ndarray


def _parts(raw: np.ndarray, rows: np.ndarray | None, size: int) -> Iterator[_Part]:
    """A tensor's rows in parts of so many bytes."""
    step = max(1, size // raw.shape[1])
    for start in range(0, len(raw), step):
        here = slice(start, start + step)
        yield _Part(here, here if rows is None else rows[here])


def _experts(info: TensorInfo) -> list[TensorInfo]:
    """The experts' matrices in a tensor [experts, rows, columns], named as apart; the tensor itself if it is no such.

    Gate and up may be one matrix, the gate's rows first.
    """
    found = STACKED.fullmatch(info.name)
    if found is None or len(info.shape) != 3 or info.shape[0] > MOST_EXPERTS:
        return [info]
    (count, rows, columns), parts = info.shape, found[2].split("_")
    shape, nbytes = (rows // len(parts), columns), info.nbytes // (count * len(parts))
    if rows % len(parts):
        return [info]
    names = [f"{found[1]}{part}.{expert}.weight" for expert in range(count) for part in parts]
    return [
        replace(info, name=name, shape=shape, offset=info.offset + index * nbytes, nbytes=nbytes)
        for index, name in enumerate(names)
    ]
