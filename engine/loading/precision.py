"""In what numbers a model is held: what was asked for, the file's own, or what this machine answers soonest with.

Writing a token reads every weight once, so of numbers that give the same answers the shortest are the fastest; 8 bits
do (KL to the full numbers below 0.001 nats on the bundled models). A model that lies in the processor's cache gains
nothing by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from engine.errors import EngineError
from engine.loading import memory
from engine.quantize import DTYPES

SMALL = 64 * 2**20
"""Bytes in 32 bits up to which a model is quick enough in any."""

BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "int8": 1.03, "int4": 0.66}
"""Of a weight, scales and zeros counted in, and what stays in 8 bits when the rest has 4."""

CODES = "the file holds codes of few bits, which stay as they are or fit into these"

MARGIN = 1.1
"""Memory for a model over that of its weights."""


class Numbers(Protocol):
    """What is asked of a checkpoint's weights, or of the card of a model."""

    @property
    def parameters(self) -> int: ...
    @property
    def precision(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Precision:
    """name: one of LoadParams' or, of a quantised file, int8, which leaves fewer bits as they are; why: in a clause."""

    name: str
    why: str


def choose(wanted: str, weights: Numbers, device: str) -> Precision:
    """What the weights are held in on that device, for a wanted precision."""
    if wanted == "nf4" and device == "cpu":
        raise EngineError("NF4 runs on a GPU only.", "Choose int4: it is as small, and made for this processor.")
    if wanted not in ("auto", "fast"):
        return Precision("nf4" if wanted == "int4" and device != "cpu" else wanted, "as chosen")
    if weights.precision not in DTYPES:
        return Precision("int8", CODES) if device == "cpu" else Precision("bf16", "what GPUs compute in")
    own = weights.precision
    if wanted == "auto" or device != "cpu":
        return Precision(own, "the file's own")
    if weights.parameters * BYTES["fp32"] > SMALL:
        if _fits("int8", weights):
            return Precision("int8", "the fastest that answers like the full numbers")
        return Precision("int4", "8 bits do not fit into the free memory")
    if own == "fp32" or (own == "bf16" and _computes_bf16()):
        return Precision(own, "the file's own, quick enough for its size")
    if _fits("fp32", weights):
        return Precision("fp32", f"this processor has no instructions for {own}")
    return Precision(own, "the file's own; 32 bits do not fit into the free memory")


def _fits(name: str, weights: Numbers) -> bool:
    free = memory.available()
    return free is None or weights.parameters * BYTES[name] * MARGIN < free


def _computes_bf16() -> bool:
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def beside(name: str, device: str) -> str:
    """What the rest of a model is held in where its matrices are quantised; else the precision itself."""
    return name if name in DTYPES else "fp32" if device == "cpu" else "bf16"
