"""Which adapters a run of a model goes through, and how strongly."""

from __future__ import annotations

from dataclasses import dataclass

from engine.params.knobs import Params, param


@dataclass(frozen=True, slots=True)
class AdapterUse(Params):
    """One adapter of a run. path: its folder, in PEFT's format."""

    path: str
    weight: float = param(
        1.0,
        0.0,
        2.0,
        0.05,
        off=0.0,
        label="Weight",
        group="Adapters",
        help="How strongly the adapter changes the model; 1 is as it was trained.",
    )
