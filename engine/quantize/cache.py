"""Quantised once: the groups of a model's matrices, kept beside the person's data in safetensors form.

A file here is named by the hash of the whole model and of how it was quantised. That hash is taken once; from then on a
model is known by its files' paths, sizes, times and first bytes, which stand in a small file beside. Packed forms
depend on the processor and are never kept. What is damaged is removed and made again; what was not used for longest
goes when the folder is full.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine.errors import EngineError
from engine.home import data_folder
from engine.quantize.groups import Grouped
from engine.quantize.scheme import Scheme

VERSION = "1"
"""Counts up when the same scheme gives other codes."""

MOST_BYTES = 16 * 2**30
HEAD = 2**20
"""The first bytes of a file that tell it from another of the same size and time; a header lies there."""

PIECE = 2**24

Plan = Mapping[str, tuple[Scheme, tuple[int, int]]]
"""Parameter -> how it is held and what its shape is, [outputs, inputs]."""


def folder() -> Path:
    return data_folder() / "quantised"


def usable() -> bool:
    """Whether there is a place to keep things at all: a model loads without one."""
    try:
        folder()
    except EngineError:
        return False
    return True


def count() -> tuple[int, int]:
    """How many models are kept, each as often as it was quantised differently, and their bytes."""
    files = _kept()
    return len(files), sum(file.stat().st_size for file in files)


def clear() -> tuple[int, int]:
    """Remove all that is kept; the same of what was there."""
    found = count()
    shutil.rmtree(folder(), ignore_errors=True)
    return found


def identify(files: Sequence[Path], plan: Plan) -> Generator[tuple[int, int], None, Path]:
    """Where the groups of these files are kept, whether or not they are yet; yields bytes read and bytes in all.

    It yields only where the files are not known and have to be read whole.
    """
    known = folder() / f"{_quick(files)}.known"
    try:
        whole = known.read_text("ascii").strip()
    except OSError:
        whole = yield from _whole(files)
        with contextlib.suppress(OSError):
            folder().mkdir(parents=True, exist_ok=True)
            known.write_text(whole, "ascii")
    form = json.dumps([VERSION, [(name, scheme.bits, scheme.group) for name, (scheme, _) in sorted(plan.items())]])
    return folder() / f"{whole[:40]}-{hashlib.sha256(form.encode()).hexdigest()[:16]}.safetensors"


class Kept:
    """A file of groups that is complete. read gives None where it is damaged."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self._path, self._plan = path, plan
        self._file = safe_open(path, "pt").__enter__()
        names = {f"{name}.{part}" for name in plan for part in _parts(plan[name])}
        if set(self._file.keys()) != names | {"sums", "errors"}:
            raise SafetensorError("it does not hold what it should")
        self.errors = dict(zip(plan, self._file.get_tensor("errors").tolist(), strict=True))
        self._sums = dict(zip(plan, self._file.get_tensor("sums").tolist(), strict=True))
        os.utime(path)

    def read(self, name: str) -> Grouped | None:
        scheme, shape = self._plan[name]
        parts = {}
        for part, (dtype, wanted) in _parts(self._plan[name]).items():
            parts[part] = self._file.get_tensor(f"{name}.{part}")
            if (parts[part].dtype, tuple(parts[part].shape)) != (dtype, wanted):
                return None
        grouped = Grouped(scheme.bits, scheme.group, shape, parts["codes"], parts["scale"], parts.get("zero"))
        return grouped if _sum(grouped) == self._sums[name] else None


def kept(path: Path, plan: Plan) -> Kept | None:
    """What is kept there, None where it is nothing that can be used."""
    if not path.is_file():
        return None
    try:
        return Kept(path, plan)
    except (SafetensorError, OSError, ValueError):
        remove(path)
        return None


def remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


class Keeping:
    """Writes groups as they are made, each to its place, so that they never lie in memory together.

    Nothing is there under its name before `finish`; a full disk only means that nothing is kept.
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        self._path, self._plan = path, plan
        self._part = path.with_suffix(f".{os.getpid()}.part")
        self._sums, self._errors = dict.fromkeys(plan, 0), dict.fromkeys(plan, 0.0)
        header, self._places = _header(plan)
        self._start = 8 + len(header)
        self._file: Any = None
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            if _make_room(self._start + max(end for _, end in self._places.values())):
                self._file = open(self._part, "wb")  # noqa: SIM115, closed by finish or discard
                self._write(0, len(header).to_bytes(8, "little") + header)

    def add(self, name: str, grouped: Grouped, error: float) -> None:
        self._sums[name], self._errors[name] = _sum(grouped), error
        for part in _parts(self._plan[name]):
            self._add(f"{name}.{part}", getattr(grouped, part))

    def finish(self) -> None:
        """Give the file its name."""
        self._add("sums", torch.tensor(list(self._sums.values()), dtype=torch.int64))
        self._add("errors", torch.tensor(list(self._errors.values()), dtype=torch.float32))
        if self._file is not None:
            try:
                self._file.close()
                os.replace(self._part, self._path)
            except OSError:
                self.discard()
            self._file = None

    def discard(self) -> None:
        """Leave nothing behind, unless it was finished."""
        if self._file is not None:
            self._file.close()
            self._file = None
            remove(self._part)

    def _add(self, name: str, tensor: Tensor) -> None:
        self._write(self._start + self._places[name][0], tensor.contiguous().view(torch.uint8).numpy())

    def _write(self, place: int, values: Any) -> None:
        if self._file is None:
            return
        try:
            self._file.seek(place)
            self._file.write(values)
        except OSError:
            self.discard()


def _parts(held: tuple[Scheme, tuple[int, int]]) -> dict[str, tuple[torch.dtype, tuple[int, int]]]:
    """The tensors of a matrix in groups: part -> dtype and shape."""
    scheme, (N, K) = held
    G = -(-K // scheme.group)
    if scheme.bits == 8:
        return {"codes": (torch.int8, (N, G * scheme.group)), "scale": (torch.float16, (N, G))}
    codes = (torch.uint8, (N, G * scheme.group // 2))
    return {"codes": codes, "scale": (torch.float16, (N, G)), "zero": (torch.float16, (N, G))}


def _header(plan: Plan) -> tuple[bytes, dict[str, tuple[int, int]]]:
    """The header of a safetensors file, and where each tensor begins and ends behind it."""
    words = {torch.int8: "I8", torch.uint8: "U8", torch.float16: "F16", torch.int64: "I64", torch.float32: "F32"}
    tensors = {f"{name}.{part}": form for name, held in plan.items() for part, form in _parts(held).items()}
    one_each: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {
        "sums": (torch.int64, (len(plan),)),
        "errors": (torch.float32, (len(plan),)),
    }
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    places, end = {}, 0
    for name, (dtype, shape) in (one_each | tensors).items():
        begin, end = end, end + torch.Size(shape).numel() * dtype.itemsize
        places[name] = begin, end
        entries[name] = {"dtype": words[dtype], "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(entries).encode()
    return text + b" " * (-len(text) % 64), places


def _sum(grouped: Grouped) -> int:
    """A number that a changed byte changes, taken at the memory's speed."""
    total = 0
    for tensor in (grouped.codes, grouped.scale, grouped.zero):
        if tensor is not None:
            values = tensor.contiguous().view(-1).view(torch.uint8)
            whole = len(values) // 8 * 8
            total += int(values[:whole].view(torch.int64).sum()) + int(values[whole:].sum())
    return (total + 2**63) % 2**64 - 2**63


def _quick(files: Sequence[Path]) -> str:
    """What a model is known by without reading it whole."""
    digest = hashlib.sha256()
    for file in files:
        found = file.stat()
        digest.update(f"{file.resolve()}\n{found.st_size}\n{found.st_mtime_ns}\n".encode())
        with open(file, "rb") as opened:
            digest.update(opened.read(HEAD))
    return digest.hexdigest()[:40]


def _whole(files: Sequence[Path]) -> Generator[tuple[int, int], None, str]:
    """The hash of all bytes of the files."""
    digest, done, total = hashlib.sha256(), 0, sum(file.stat().st_size for file in files)
    for file in files:
        digest.update(f"{file.stat().st_size}\n".encode())
        with open(file, "rb") as opened:
            while piece := opened.read(PIECE):
                digest.update(piece)
                done += len(piece)
                yield done, total
    return digest.hexdigest()


def _kept() -> list[Path]:
    """The files of groups, the one not used for longest first."""
    return sorted(folder().glob("*.safetensors"), key=lambda file: file.stat().st_mtime)


def _make_room(wanted: int) -> bool:
    """Remove the oldest until so many bytes fit; whether they do."""
    files = _kept()
    used = sum(file.stat().st_size for file in files)
    free = shutil.disk_usage(folder()).free
    for file in files:
        if used + wanted <= MOST_BYTES and wanted <= free // 2:
            break
        found = file.stat().st_size
        remove(file)
        used, free = used - found, free + found
    return used + wanted <= MOST_BYTES and wanted <= free // 2
