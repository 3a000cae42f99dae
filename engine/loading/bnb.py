"""Folders whose matrices bitsandbytes has quantised: NF4 and FP4, whose codes stand for 16 numbers, and int8 by rows.

Headers and the small tensors that explain the codes are read here, without torch; what the codes come to is
engine/quantize/tables.py's. Folders of other quantisers are refused by name. Source: how transformers writes
bitsandbytes's QuantState and Linear8bitLt.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from engine.errors import BadModelFiles, UnsupportedModel
from engine.loading.safetensors import Entry, Weights, broken, opened

if TYPE_CHECKING:
    from torch import Tensor, dtype

    from engine.quantize import Grouped

METHODS = {"gptq": "GPTQ", "awq": "AWQ", "fp8": "FP8", "fbgemm_fp8": "FP8", "mxfp4": "MXFP4", "hqq": "HQQ"}
STATE = ".quant_state.bitsandbytes__"
KINDS = ("nf4", "fp4")
LARGEST_BLOCK = 4096


def check_method(settings: Any, folder: Path) -> None:
    """Raise UnsupportedModel for a quantization_config that is not bitsandbytes's."""
    settings = settings if isinstance(settings, dict) else {}
    method = str(settings.get("quant_method") or ("gptq" if "bits" in settings else ""))
    if method == "bitsandbytes" or settings.get("load_in_4bit") or settings.get("load_in_8bit"):
        return
    raise UnsupportedModel(
        f"{folder.name} was quantised with {METHODS.get(method, method) or 'a method that it does not name'}, which "
        "Vitrine cannot read yet.",
        "Look for the model in full, as a GGUF file, or quantised with bitsandbytes.",
    )


@dataclass(frozen=True, slots=True)
class Table:
    """Codes of 4 bits, two a byte, the first in the high half, for blocks of `block` weights in reading order.

    A weight is values[code] * largest of its block. Where largest is in codes itself, nested names its own values, its
    blocks' largest, their length, and what is added behind.
    """

    codes: Entry
    values: Entry
    largest: Entry
    block: int
    nested: tuple[Entry, Entry, int, float] | None


class BnbWeights(Weights):
    """The tensors of such a folder, each matrix as one, whatever it is kept in."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._tables: dict[str, Table] = {}
        self._row_scales: dict[str, Entry] = {}
        for name in [name for name in self._beside if STATE in name]:
            self._take_table(name)
        for name in [name for name in self.entries if name.endswith(".SCB")]:
            self._take_rows(name)
        # Codes of 8 bits stay what they are: of such a folder there is nothing to keep.
        self.keepable = not self._row_scales

    def read(
        self, names: list[str], dtype: dtype | None = None, bits: Mapping[str, int] | None = None
    ) -> Iterator[tuple[Entry, Tensor | Grouped]]:
        """The tensors of these names; a matrix is what its codes stand for, in float32.

        bits: how many a matrix may have that stays in groups, with the codes that the folder has.
        """
        from engine.quantize.groups import fits
        from engine.quantize.tables import from_rows, from_table

        plain = [name for name in names if name not in self._tables and name not in self._row_scales]
        yield from super().read(plain, dtype, bits)
        for name in names:
            entry = self.entries[name]
            if (table := self._tables.get(name)) is not None:
                codes, values, largest = (_tensor(part) for part in (table.codes, table.values, table.largest))
                if table.nested is not None:
                    inner_values, inner_largest, block, offset = table.nested
                    nested = (_tensor(inner_values), _tensor(inner_largest), block, offset)
                    yield entry, from_table(codes, values, largest, table.block, entry.shape, nested)
                else:
                    yield entry, from_table(codes, values, largest, table.block, entry.shape)
            elif (scales := self._row_scales.get(name)) is not None:
                grouped = from_rows(_tensor(entry), _tensor(scales))
                kept = bits is not None and bits.get(name, 0) >= 8 and fits(grouped.scale)
                yield entry, grouped if kept else grouped.dense()

    def _take_table(self, state: str) -> None:
        """Make one entry of a matrix's codes and of all that explains them."""
        name, _, kind = state.partition(STATE)
        text = self._beside.pop(state)
        try:
            said = json.loads(_tensor(text, "np").tobytes())
            shape, block = (int(said["shape"][0]), int(said["shape"][1])), int(said["blocksize"])
            codes, nested = self._beside.pop(name), None
            size, blocks = math.prod(shape), -(-math.prod(shape) // block)
            inside = "nested_blocksize" in said
            largest = (self._beside if inside else self.entries).pop(f"{name}.absmax")
            values = self.entries.pop(f"{name}.quant_map")
            sound = min(shape) > 0 and kind in KINDS and 1 < block <= LARGEST_BLOCK and len(said["shape"]) == 2
            sound &= math.prod(codes.shape) == -(-size // 2) and largest.shape == (blocks,) and values.shape == (16,)
            if inside:
                length = int(said["nested_blocksize"])
                inner = self.entries.pop(f"{name}.nested_quant_map"), self.entries.pop(f"{name}.nested_absmax")
                sound &= length > 1 and inner[0].shape == (256,) and inner[1].shape == (-(-blocks // length),)
                nested = (*inner, length, float(said["nested_offset"]))
        except (ValueError, KeyError, TypeError, IndexError, ZeroDivisionError) as error:
            raise _spoilt(text, name) from error
        if not sound:
            raise _spoilt(text, name)
        self._tables[name] = Table(codes, values, largest, block, nested)
        self.entries[name] = Entry(name, codes.file, shape, kind, math.prod(codes.shape))

    def _take_rows(self, scales_name: str) -> None:
        """Make one entry of a matrix in bytes and of its rows' scales."""
        name = scales_name.removesuffix("SCB") + "weight"
        scales, codes = self.entries.pop(scales_name), self._beside.pop(name, None)
        self._beside.pop(f"{scales_name.removesuffix('SCB')}weight_format", None)
        if codes is None or codes.precision != "I8" or len(codes.shape) != 2 or scales.shape != codes.shape[:1]:
            raise _spoilt(scales, name)
        self._row_scales[name] = scales
        self.entries[name] = Entry(name, codes.file, codes.shape, "int8", math.prod(codes.shape))


def _tensor(entry: Entry, framework: str = "pt") -> Any:
    """One tensor as the file has it."""
    with opened(entry.file, framework) as tensors:
        try:
            return tensors.get_tensor(entry.name)
        except SafetensorError as error:
            raise broken(entry.file) from error


def _spoilt(entry: Entry, name: str) -> BadModelFiles:
    return BadModelFiles(
        f"{entry.file.parent.name}/{entry.file.name} does not say how {name} was quantised.",
        "Download this file again.",
    )
