"""How a model is brought into memory."""

from __future__ import annotations

from dataclasses import dataclass

from engine.params.knobs import Params, param


@dataclass(frozen=True, slots=True)
class LoadParams(Params):
    """How a model is brought into memory."""

    device: str = param(
        "auto",
        choices=("auto", "cpu", "cuda"),
        label="Device",
        group="Load",
        help="Where the model runs. Auto takes the GPU when there is one.",
    )
    threads: int = param(
        0,
        0,
        256,
        1,
        label="Threads",
        group="Load",
        lowest="measured",
        help="Processor threads for the model. 0 measures and chooses.",
    )
    precision: str = param(
        "auto",
        choices=("auto", "fast", "fp32", "bf16", "fp16", "int8", "int4", "nf4"),
        label="Precision",
        group="Load",
        help="The numbers' format in memory. Auto keeps the file's own; fast is the quickest that answers as well. "
        "Int8 and int4 take a quarter and a sixth of fp32's memory, int4 with a small loss; nf4 is for GPUs.",
    )
    cache: str = param(
        "full",
        choices=("full", "8-bit"),
        label="Memory of a text",
        group="Load",
        help="The format of what the model keeps of a text. 8-bit takes half of what 16 bits and a quarter of what fp32"
        " take, for long texts; it is slower, and not as exact.",
    )
