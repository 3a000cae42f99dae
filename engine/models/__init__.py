"""The model families: which `model_type` of a config.json is served by which file here.

A family file offers `Config`, with a `read(reader)`, and `Model(config)`, a `base.Decoder`. This file knows names only,
so that the families can be listed without importing torch.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from types import ModuleType

from engine.errors import UnsupportedModel

FAMILIES: dict[str, str] = {
    "llama": "engine.models.llama",
    "mistral": "engine.models.mistral",
    "qwen2": "engine.models.qwen2",
    "qwen3": "engine.models.qwen3",
    "smollm3": "engine.models.smollm3",
    "olmo2": "engine.models.olmo2",
    "gemma2": "engine.models.gemma2",
    "gemma3": "engine.models.gemma3_text",
    "gemma3_text": "engine.models.gemma3_text",
    "phi3": "engine.models.phi3",
    "mixtral": "engine.models.mixtral",
    "qwen3_moe": "engine.models.qwen3_moe",
    "gpt2": "engine.models.gpt2",
    "gpt_neo": "engine.models.gpt_neo",
    "gpt_neox": "engine.models.gpt_neox",
    "opt": "engine.models.opt",
    "bloom": "engine.models.bloom",
    "falcon": "engine.models.falcon",
    "t5": "engine.models.t5",
    "mt5": "engine.models.t5",
    "bart": "engine.models.bart",
    "marian": "engine.models.marian",
    "blenderbot": "engine.models.blenderbot",
    "blenderbot-small": "engine.models.blenderbot_small",
    "bert": "engine.models.bert",
    "roberta": "engine.models.roberta",
    "distilbert": "engine.models.distilbert",
    "modernbert": "engine.models.modernbert",
}


def family(model_type: str) -> ModuleType:
    """The family's module, imported now (and torch with it); UnsupportedModel where there is none."""
    if model_type not in FAMILIES:
        near = get_close_matches(model_type, FAMILIES, n=3, cutoff=0.65)
        hint = f"Nearest to it by name, {' and '.join(near)} can. " if near else ""
        raise UnsupportedModel(
            f"Models of type {model_type!r} cannot be run yet.",
            f"{hint}All types that can: {', '.join(sorted(FAMILIES))}.",
        )
    return import_module(FAMILIES[model_type])
