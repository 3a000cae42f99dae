"""The GGUF container: a file's header read within bounds, before anything it announces is believed.

Here are metadata and where each tensor lies; what they mean is for those who read vocabularies (engine/text) and
weights (engine/loading), and both stand above this file. The `gguf` library's own reader trusts the counts in a file,
so it hangs on a hundred bytes that claim 2^40 entries; from it come only the number formats' names and sizes, and it is
imported with the first such file: that takes as long as reading a small model.
Source: ggml's docs/gguf.md.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from engine.errors import BadModelFiles, UnsupportedModel
from engine.gguf_parts import parts

T = TypeVar("T")

AGAIN = "Download the file again."
MOST_KEYS = 2**16
MOST_TENSORS = 2**17
MOST_ITEMS = 2**22
"""Items of one array; vocabularies and their merges have up to half a million."""
LONGEST_NAME = 2**16 - 1

SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9


@dataclass(frozen=True, slots=True)
class Strings:
    """An array of texts, each with its length before it, decoded only when asked for."""

    packed: bytes
    count: int

    def texts(self) -> list[str]:
        """All of them; bytes that are no UTF-8 become U+FFFD."""
        found, at = [], 0
        for _ in range(self.count):
            (length,) = struct.unpack_from("<Q", self.packed, at)
            at += 8 + length
            found.append(self.packed[at - length : at].decode("utf-8", "replace"))
        return found


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor: file; shape with the longest stride first, as in torch; number format; place there in bytes."""

    name: str
    file: Path
    shape: tuple[int, ...]
    kind: str
    offset: int
    nbytes: int


class GGUF:
    """What a GGUF file's header says. Raises BadModelFiles where it is damaged, UnsupportedModel where it is newer.

    metadata: key to bool, int, float, str, numpy array or Strings. A file that is a part of a model stands for all of
    them, with the metadata of the first; alone: for itself.
    """

    def __init__(self, path: Path, alone: bool = False) -> None:
        self.path = path
        self.name = path.name
        self.metadata: dict[str, Any] = {}
        self.tensors: dict[str, TensorInfo] = {}
        try:
            with open(path, "rb") as file:
                self.size = file.seek(0, 2)
                if self.size < 24:
                    raise self.damaged("it is too short")
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    self._read(_Cursor(data, self))
        except OSError as error:
            raise BadModelFiles(f"{self.name} cannot be read: {error.strerror or error}.", "Check the file.") from error
        count = self.take("split.count", int, 1)
        if count > 1 and not alone:
            self._join(count)

    def take(self, key: str, kind: type[T], default: T) -> T:
        """The value of key where it is of that type, else the default; BadModelFiles where it is of another."""
        value = self.metadata.get(key, default)
        if kind is float and type(value) is int:
            value = float(value)
        if value is not default and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
            raise self.damaged(f"its {key} is of the wrong type")
        return value

    def texts(self, key: str) -> list[str]:
        """The array of texts under key; BadModelFiles where there is none."""
        value = self.metadata.get(key)
        if not isinstance(value, Strings):
            raise self.damaged(f"it has no {key}")
        return value.texts()

    def numbers(self, key: str) -> np.ndarray | None:
        """The array of numbers under key, None where there is none."""
        value = self.metadata.get(key)
        if value is not None and not isinstance(value, np.ndarray):
            raise self.damaged(f"its {key} is of the wrong type")
        return value

    def raw(self, info: TensorInfo) -> np.ndarray:
        """A tensor's bytes, uint8 [..., bytes of a row], mapped from disk; what is written to them stays in memory."""
        try:
            found = np.memmap(info.file, np.uint8, "c", info.offset, (info.nbytes,))
        except (OSError, ValueError) as error:
            raise self.damaged("it changed while it was read") from error
        return found.reshape(*info.shape[:-1], info.nbytes // math.prod(info.shape[:-1]))

    def floats(self, name: str) -> np.ndarray:
        """A tensor in float32, whatever its number format."""
        info = self.tensors[name]
        return floats(self.raw(info), info.kind)

    def damaged(self, why: str) -> BadModelFiles:
        return BadModelFiles(f"{self.name} is damaged or was not downloaded completely: {why}.", AGAIN)

    def _read(self, cursor: _Cursor) -> None:
        if cursor.raw(4) != b"GGUF":
            raise BadModelFiles(f"{self.name} is not a GGUF file.", AGAIN)
        version = cursor.number("<I")
        if version not in (2, 3):
            raise UnsupportedModel(
                f"{self.name} is GGUF version {version}, which Vitrine cannot read.",
                "Versions 2 and 3 can be read, in little-endian order; convert the model again.",
            )
        tensors, keys = cursor.number("<Q"), cursor.number("<Q")
        if keys > MOST_KEYS or tensors > MOST_TENSORS:
            raise self.damaged(f"it claims {keys} keys and {tensors} tensors")
        for _ in range(keys):
            key = cursor.name()
            if key in self.metadata:
                raise self.damaged(f"it holds {key:.60} twice")
            self.metadata[key] = cursor.value(cursor.number("<I"))
        listed = [self._tensor(cursor) for _ in range(tensors)]
        self._place(listed, cursor.at)

    def _join(self, count: int) -> None:
        """Take in the other parts of the model, of which there are count in all."""
        paths = parts(self.path)
        if len(paths) != count:
            raise BadModelFiles(
                f"{self.name} is one of {count} parts of a model, but its name does not say which.",
                f"The parts belong into one folder, named ...-00001-of-{count:05}.gguf and so on.",
            )
        missing = [path.name for path in paths if not path.is_file()]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise BadModelFiles(
                f"{self.name} is one of {count} parts of a model, of which {', '.join(missing[:3])}{more} "
                f"{'is' if len(missing) == 1 else 'are'} missing.",
                "Download all parts into the same folder.",
            )
        found = [GGUF(path, alone=True) for path in paths]
        for number, part in enumerate(found):
            if (part.take("split.no", int, -1), part.take("split.count", int, 1)) != (number, count):
                raise part.damaged("it is not the part that its name says")
        self.path, self.name, self.metadata = found[0].path, found[0].name, found[0].metadata
        self.tensors = {name: info for part in found for name, info in part.tensors.items()}
        claimed = self.take("split.tensors.count", int, len(self.tensors))
        if not claimed == len(self.tensors) == sum(len(part.tensors) for part in found):
            raise self.damaged(f"its parts do not hold {claimed} tensors")

    def _tensor(self, cursor: _Cursor) -> TensorInfo:
        """A tensor as the header tells of it, its offset not yet the file's."""
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

        name = cursor.name()
        dimensions = cursor.number("<I")
        if not 1 <= dimensions <= 4:
            raise self.damaged(f"{name:.60} has {dimensions} dimensions")
        shape = tuple(cursor.number("<Q") for _ in range(dimensions))[::-1]
        number, offset = cursor.number("<I"), cursor.number("<Q")
        try:
            kind = GGMLQuantizationType(number)
        except ValueError:
            raise UnsupportedModel(
                f"{self.name} holds {name:.60} in number format {number}, which is not known here.",
                "Look for a version of the model in an older format, such as Q8_0.",
            ) from None
        block, size = GGML_QUANT_SIZES[kind]
        count = math.prod(shape)
        if not 0 < count <= 2**48 or shape[-1] % block:
            raise self.damaged(f"{name:.60} has the impossible size {' × '.join(map(str, shape))}")
        return TensorInfo(name, self.path, shape, kind.name, offset, count // block * size)

    def _place(self, listed: list[TensorInfo], end: int) -> None:
        """Move offsets to the file's start, and see that every tensor lies in the file and on no other."""
        alignment = self.take("general.alignment", int, 32)
        if not 8 <= alignment <= 2**20 or alignment % 8:
            raise self.damaged(f"its alignment is {alignment}")
        start = -(-end // alignment) * alignment
        done = 0
        for info in sorted(listed, key=lambda info: info.offset):
            if info.name in self.tensors:
                raise self.damaged(f"it holds {info.name:.60} twice")
            if info.offset % alignment or info.offset < done or start + info.offset + info.nbytes > self.size:
                raise self.damaged(f"{info.name:.60} lies outside its place")
            done = info.offset + info.nbytes
            self.tensors[info.name] = replace(info, offset=start + info.offset)


def floats(raw: np.ndarray, kind: str) -> np.ndarray:
    """Rows of bytes in a number format, as float32; a damaged scale gives infinities, not warnings."""
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import dequantize

    with np.errstate(all="ignore"):
        return dequantize(raw, GGMLQuantizationType[kind]).astype(np.float32, copy=False)


class _Cursor:
    """A place in the file that never moves past its end."""

    def __init__(self, data: mmap.mmap, file: GGUF) -> None:
        self._data = data
        self._file = file
        self.at = 0

    def number(self, code: str) -> Any:
        return struct.unpack(code, self.raw(struct.calcsize(code)))[0]

    def raw(self, length: int) -> bytes:
        if length > self._file.size - self.at:
            raise self._file.damaged("it ends too early")
        self.at += length
        return self._data[self.at - length : self.at]

    def text(self) -> str:
        return self.raw(self.number("<Q")).decode("utf-8", "replace")

    def name(self) -> str:
        """A text short and plain enough to stand in a message."""
        length = self.number("<Q")
        if length > LONGEST_NAME:
            raise self._file.damaged(f"it claims a name of {length} bytes")
        name = self.raw(length).decode("utf-8", "replace")
        if not name.isprintable():
            raise self._file.damaged("a name in it is no text")
        return name

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.text()
        if kind in SCALARS:
            return self.number(SCALARS[kind])
        if kind != ARRAY:
            raise self._file.damaged(f"it has a value of the unknown type {kind}")
        inner, count = self.number("<I"), self.number("<Q")
        if count > MOST_ITEMS:
            raise self._file.damaged(f"it claims an array of {count} items")
        if inner in SCALARS:
            code = SCALARS[inner].replace("?", "B")  # a byte that is neither 0 nor 1 is true as well
            return np.frombuffer(self.raw(count * struct.calcsize(code)), code)
        if inner != STRING:
            raise self._file.damaged(f"it has an array of the type {inner}")
        return self._strings(count)

    def _strings(self, count: int) -> Strings:
        """Walk over count texts: their lengths alone are read, for a vocabulary has half a million of them."""
        begin, at, size = self.at, self.at, self._file.size
        length_at = struct.Struct("<Q").unpack_from
        for _ in range(count):
            if at + 8 > size:
                raise self._file.damaged("it ends too early")
            at += 8 + length_at(self._data, at)[0]
        if at > size:
            raise self._file.damaged("it ends too early")
        self.at = begin
        return Strings(self.raw(at - begin), count)
