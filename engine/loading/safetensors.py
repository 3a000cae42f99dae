"""The tensors of a model folder: one model.safetensors, or the shards that its index names.

Names, shapes and sizes come from the headers, before a weight is read. Pickled files are never opened: loading one runs
whatever it contains. Torch is imported only where tensors are read, so that the catalog can do without.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from engine.errors import BadModelFiles, UnsupportedModel
from engine.loading.files import DOWNLOAD_AGAIN, read_json

if TYPE_CHECKING:
    from torch import Tensor, dtype

    from engine.models.base import LanguageModel
    from engine.quantize import Grouped

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PRECISIONS = {"F32": ("fp32", 4), "F16": ("fp16", 2), "BF16": ("bf16", 2)}
"""The number formats read from disk: Vitrine's word and bytes a number."""

BESIDE = ("BOOL", "I8", "U8", "I64")
"""Formats of the masks and position numbers that older files hold beside the weights, and of codes, which mean nothing
by themselves. No weight is in one."""

STACKED = re.compile(r"(.+\.experts)\.(gate_up_proj|down_proj)")
PARTS = {"gate_up_proj": ("gate_proj", "up_proj"), "down_proj": ("down_proj",)}
MOST_EXPERTS = 2**10


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor: where it lies and what its header says. whole: the tensor in the file that it is the part of."""

    name: str
    file: Path
    shape: tuple[int, ...]
    precision: str
    nbytes: int
    whole: str = ""
    part: tuple[int, slice] = (0, slice(None))


class Weights:
    """All tensors of a folder by name. computed: whether what is read is nobody else's, and not the file's memory.

    keepable: whether it takes work to quantise what is read, so that it is done once.
    """

    computed = False
    keepable = True

    def __init__(self, folder: Path) -> None:
        self.files = _files(folder)
        self.entries: dict[str, Entry] = {}
        self._beside: dict[str, Entry] = {}
        for file in self.files:
            for entry in _entries(file):
                if entry.name in self.entries or entry.name in self._beside:
                    raise BadModelFiles(f"{folder.name} holds {entry.name} twice, in two files.", DOWNLOAD_AGAIN)
                (self._beside if entry.precision in BESIDE else self.entries)[entry.name] = entry
        if not self.entries:
            raise BadModelFiles(f"{folder.name}/{SINGLE} holds no weights.", DOWNLOAD_AGAIN)

    @property
    def parameters(self) -> int:
        return sum(math.prod(entry.shape) for entry in self.entries.values())

    @property
    def nbytes(self) -> int:
        return sum(entry.nbytes for entry in self.entries.values())

    @property
    def precision(self) -> str:
        """The number format that most of the bytes are in."""
        sizes: dict[str, int] = {}
        for entry in self.entries.values():
            sizes[entry.precision] = sizes.get(entry.precision, 0) + entry.nbytes
        return max(sizes, key=lambda precision: sizes[precision])

    def places(self, model: LanguageModel) -> dict[str, str | None]:
        """Tensor name -> the model's parameter it belongs to, None for one that is not needed.

        Raises UnsupportedModel where the model needs a tensor that is in no format of weights.
        """
        for entry in self._beside.values():
            if model.rename(entry.name) is not None:
                raise _unreadable(entry.file, entry.name, entry.precision)
        return {name: model.rename(name) for name in self.entries}

    def read(
        self, names: list[str], dtype: dtype | None = None, bits: Mapping[str, int] | None = None
    ) -> Iterator[tuple[Entry, Tensor | Grouped]]:
        """The tensors of these names, file by file, mapped from disk: in the file's dtype, whatever is wanted."""
        wanted = set(names)
        for file in self.files:
            here = [entry for entry in self.entries.values() if entry.file == file and entry.name in wanted]
            if here:
                with opened(file, "pt") as tensors:
                    for entry in here:
                        try:
                            tensor = tensors.get_tensor(entry.whole or entry.name)
                            yield entry, tensor[entry.part] if entry.whole else tensor
                        except SafetensorError as error:
                            raise broken(file) from error


def _files(folder: Path) -> list[Path]:
    if (folder / INDEX).is_file():
        shards = read_json(folder / INDEX).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise BadModelFiles(f"{folder.name}/{INDEX} does not say which files hold the weights.", DOWNLOAD_AGAIN)
        names = sorted({str(name) for name in shards.values()})
        for name in names:
            if Path(name).name != name or "\\" in name or not name.endswith(".safetensors"):
                raise BadModelFiles(f"{folder.name}/{INDEX} names {name!r}, which is no file here.", DOWNLOAD_AGAIN)
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise BadModelFiles(f"{folder.name} lacks {listed(missing)}.", DOWNLOAD_AGAIN)
        return [folder / name for name in names]
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    pickled = next((file.name for kind in ("*.bin", "*.pt", "*.pth") for file in sorted(folder.glob(kind))), None)
    if pickled is not None:
        raise BadModelFiles(
            f"{folder.name} has only {pickled}, a pickle: opening one can run any program, so Vitrine never does.",
            "Download its safetensors version, or convert it elsewhere with transformers' save_pretrained.",
        )
    raise BadModelFiles(f"{folder.name} has no {SINGLE}.", "Download the model's weights too.")


def _entries(file: Path) -> Iterator[Entry]:
    # The numpy door reads headers without torch. safetensors itself refuses headers above 100 MB, ranges that overlap
    # and files whose length is not what the header says.
    with opened(file, "np") as tensors:
        for name in tensors.keys():  # noqa: SIM118, not a mapping
            part = tensors.get_slice(name)
            shape, kind = tuple(part.get_shape()), part.get_dtype()
            if kind not in PRECISIONS and kind not in BESIDE:
                raise _unreadable(file, name, kind)
            precision, size = PRECISIONS.get(kind, (kind, 0))
            yield from _experts(Entry(name, file, shape, precision, size * math.prod(shape)))


def _experts(entry: Entry) -> list[Entry]:
    """The matrices of the experts that transformers 5 may keep in one tensor, named as apart; else the entry itself."""
    found = STACKED.fullmatch(entry.name)
    if found is None or len(entry.shape) != 3 or not 0 < entry.shape[0] <= MOST_EXPERTS:
        return [entry]
    (experts, rows, columns), names = entry.shape, PARTS[found[2]]
    height = rows // len(names)
    if rows != height * len(names):
        return [entry]
    return [
        Entry(
            f"{found[1]}.{expert}.{name}.weight", entry.file, (height, columns), entry.precision,
            entry.nbytes // (experts * len(names)), entry.name, (expert, slice(height * n, height * (n + 1))),
        )
        for expert in range(experts)
        for n, name in enumerate(names)
    ]  # fmt: skip


def opened(file: Path, framework: str) -> Any:
    """The tensors of a file; BadModelFiles where it is none."""
    try:
        return safe_open(file, framework=framework)
    except SafetensorError as error:
        raise broken(file) from error
    except OSError as error:
        raise BadModelFiles(f"{file.parent.name}/{file.name} cannot be read: {error}.", "Check the file.") from error


def _unreadable(file: Path, name: str, kind: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"{file.parent.name}/{file.name} holds {name} as {kind}, which Vitrine cannot read yet.",
        "Weights can be F32, F16 or BF16.",
    )


def broken(file: Path) -> BadModelFiles:
    """What to raise where a file is not what its header says."""
    return BadModelFiles(
        f"{file.parent.name}/{file.name} is damaged or was not downloaded completely.", "Download this file again."
    )


def listed(names: list[str], shown: int = 3) -> str:
    """The first few names in words."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
