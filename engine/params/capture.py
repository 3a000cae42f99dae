"""What a run hands to the panes beside its answer."""

from __future__ import annotations

from dataclasses import dataclass

from engine.params.knobs import Params, param


@dataclass(frozen=True, slots=True)
class CaptureParams(Params):
    """What a run hands to the panes. The defaults cost little; attention is captured only while its pane is visible.

    attention: "none", "all" layers, or "layer": the one that `layer` names.
    """

    candidates: int = param(
        64,
        0,
        256,
        1,
        off=0,
        label="Candidates",
        group="Capture",
        help="How many of the likeliest tokens are recorded for each token written.",
    )
    attention: str = param(
        "none",
        choices=("none", "layer", "all"),
        label="Attention rows",
        group="Capture",
        help="Of which layers the full attention rows are kept.",
    )
    layer: int = param(0, 0, 1023, 1, label="Layer", group="Capture", help="The layer whose rows are kept.")
    thumbnails: int = param(
        0,
        0,
        64,
        1,
        off=0,
        label="Thumbnail cells",
        group="Capture",
        help="The side of the small map of every head, in cells.",
    )
    budget_mb: int = param(
        64,
        1,
        1024,
        1,
        label="Attention memory",
        group="Capture",
        help="Megabytes of attention rows kept at most; older rows are dropped and said to be.",
    )
    exact: bool = False
    """Attention rows in single instead of half precision: for comparisons, at twice the memory."""
