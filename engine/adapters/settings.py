"""What an adapter_config.json says, read strictly: what would change the result and is not done here is refused.

Source: PEFT's LoraConfig. Free of torch.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import BadModelFiles
from engine.loading.files import described, read_json
from engine.models.reader import Reader

CONFIG = "adapter_config.json"
ALL_LINEAR = "all-linear"
AGAIN = "Download the adapter again."
PLAIN = "Look for a plain LoRA adapter."

LONGEST = 120
"""Characters of the base model's name, which may be anything, that are shown."""

KNOWN = frozenset(
    {
        # taken below
        "peft_type", "base_model_name_or_path", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora",
        "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "bias", "init_lora_weights",
        # of training, of merging, or of how the matrices were first filled
        "auto_mapping", "corda_config", "ensure_weight_tying", "eva_config", "fan_in_fan_out", "inference_mode",
        "loftq_config", "lora_dropout", "lora_ga_config", "megatron_config", "megatron_core", "peft_version",
        "qalora_group_size", "revision", "runtime_config", "task_type",
    }
)  # fmt: skip

HINTS = {
    "use_dora": "Look for a version without DoRA.",
    "modules_to_save": "It holds whole layers beside its small matrices; look for one without.",
    "trainable_token_indices": "It holds trained embeddings; look for one without.",
}

FIRST_NUMBERS = (True, False, "gaussian", "eva", "orthogonal")
"""Ways to fill the matrices before training that leave the model as it is. The others take from its weights what they
put into the matrices, so that only they fit what is left."""


@dataclass(frozen=True, slots=True)
class Settings:
    """name: the folder's. base: the model that it was trained on, "" where that is not said.

    targets, excluded: ends of modules' names, or one regular expression. layers: the numbers of those it is for, None
    for all; stacks: what stands before such a number, any name where there is none.
    """

    name: str
    source: str
    base: str
    rank: int
    alpha: float
    ranks: dict[str, int]
    alphas: dict[str, float]
    root: bool
    targets: tuple[str, ...] | str
    excluded: tuple[str, ...] | str
    layers: frozenset[int] | None
    stacks: tuple[str, ...]

    def scale(self, rank: int, alpha: float) -> float:
        """What the product of the two matrices is multiplied by. Source: rsLoRA (Kalajdzievski, 2023) for the root."""
        return alpha / (math.sqrt(rank) if self.root else rank)


def read_settings(folder: Path) -> Settings:
    """Of an adapter's folder; BadModelFiles or UnsupportedModel says which key stops it."""
    raw, name = read_json(folder / CONFIG), described(folder)[0]
    reader = Reader(raw, f"{folder.name}/{CONFIG}")
    reader.take("peft_type", str)
    reader.choice("peft_type", ("LORA",), "LORA")
    for key in sorted(raw.keys() - KNOWN):
        if raw[key]:
            raise reader.refusal(key, raw[key], HINTS.get(key, PLAIN))
    reader.choice("bias", ("none",), "none")
    reader.choice("init_lora_weights", FIRST_NUMBERS, True)
    return Settings(
        name=name,
        source=reader.source,
        base=" ".join(reader.take("base_model_name_or_path", str, "").split())[:LONGEST],
        rank=reader.count("r", 8),
        alpha=_number(reader, "lora_alpha", 8.0),
        ranks={key: _inner(reader, "rank_pattern").count(key) for key in reader.take("rank_pattern", dict, {})},
        alphas={key: _number(_inner(reader, "alpha_pattern"), key) for key in reader.take("alpha_pattern", dict, {})},
        root=reader.take("use_rslora", bool, False),
        targets=_names(reader, "target_modules", raw.get("target_modules")),
        excluded=_names(reader, "exclude_modules", raw.get("exclude_modules") or []),
        layers=_layers(reader, raw.get("layers_to_transform")),
        stacks=_stacks(reader, raw.get("layers_pattern")),
    )


def _inner(reader: Reader, key: str) -> Reader:
    return reader.within(key, {})


def _number(reader: Reader, key: str, *default: float) -> float:
    value = reader.take(key, float, *default)
    if not math.isfinite(value):
        raise BadModelFiles(f"{reader.source} sets {key} to {value}, which is no number.", AGAIN)
    return value


def _names(reader: Reader, key: str, value: Any) -> tuple[str, ...] | str:
    """A list of names as a tuple, or one text as it is."""
    if isinstance(value, str):
        return value
    if value is None:
        raise BadModelFiles(f"{reader.source} does not say {key}.", AGAIN)
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise BadModelFiles(f"{reader.source} sets {key} to {value!r:.80}, not a list of names.", AGAIN)
    return tuple(value)


def _layers(reader: Reader, value: Any) -> frozenset[int] | None:
    numbers = value if isinstance(value, list) else [] if value is None else [value]
    if not all(type(number) is int for number in numbers):
        raise BadModelFiles(
            f"{reader.source} sets layers_to_transform to {value!r:.80}, not a list of whole numbers.", AGAIN
        )
    return frozenset(numbers) or None


def _stacks(reader: Reader, value: Any) -> tuple[str, ...]:
    """What the layers are called: "layers" or "h", not a pattern, whatever its key is called."""
    value = _names(reader, "layers_pattern", value or [])
    names = (value,) if isinstance(value, str) else value
    for name in names:
        if not re.fullmatch(r"[\w.]*", name):
            raise reader.refusal("layers_pattern", name, "It can do plain names.")
    return tuple(filter(None, names))
