"""Every knob of the engine, declared once.

A field made with `param()` carries a `Param` in its metadata; sliders, presets, command-line flags, help, the README's
table and the tests derive from it. This package knows no model and imports nothing of the engine but its errors.
"""

from engine.params.adapters import AdapterUse
from engine.params.capture import CaptureParams
from engine.params.knobs import Param, Params, Words, param, words
from engine.params.load import LoadParams
from engine.params.sampling import CUTOFFS, FIRST, STEPS, TRANSFORMERS_ORDER, SamplingParams

__all__ = [
    "AdapterUse",
    "CUTOFFS",
    "CaptureParams",
    "FIRST",
    "LoadParams",
    "Param",
    "Params",
    "STEPS",
    "SamplingParams",
    "TRANSFORMERS_ORDER",
    "Words",
    "param",
    "words",
]
