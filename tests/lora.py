"""Tiny LoRA adapters with random matrices, in the files that PEFT writes, and the way to put any into a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.adapters.fitting import linears
from engine.adapters.lora import Adaptation
from engine.adapters.shelf import Shelf
from engine.models.base import LanguageModel
from engine.params import AdapterUse

BASE = "somebody/tiny"


def write_adapter(
    folder: Path, model: LanguageModel, *ends: str, seed: int = 0, ranks: dict[str, int] | None = None, **settings: Any
) -> Path:
    """An adapter for every Linear module of a model whose name ends so; returns its folder.

    ranks: of modules whose names end otherwise than with the settings' rank. settings: of adapter_config.json.
    """
    config = {
        "peft_type": "LORA", "base_model_name_or_path": BASE, "r": 4, "lora_alpha": 8.0, "target_modules": list(ends),
        **settings,
    }  # fmt: skip
    source, tensors = torch.Generator().manual_seed(seed), dict[str, Tensor]()
    for name, (inputs, outputs) in linears(model).items():
        if any(name == end or name.endswith(f".{end}") for end in ends):
            rank = next((rank for end, rank in (ranks or {}).items() if name.endswith(end)), config["r"])
            tensors[f"base_model.model.{name}.lora_A.weight"] = torch.randn(rank, inputs, generator=source) * 0.3
            tensors[f"base_model.model.{name}.lora_B.weight"] = torch.randn(outputs, rank, generator=source) * 0.3
    return write_files(folder, config, tensors)


def write_files(folder: Path, config: dict[str, Any], tensors: dict[str, Tensor]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def products(folder: Path) -> dict[str, Tensor]:
    """B A of each module of an adapter, [outputs, inputs], without its scale."""
    tensors = load_file(folder / "adapter_model.safetensors")
    names = {name.removesuffix(".lora_A.weight") for name in tensors if name.endswith(".lora_A.weight")}
    return {
        name.removeprefix("base_model.model."): tensors[f"{name}.lora_B.weight"] @ tensors[f"{name}.lora_A.weight"]
        for name in names
    }


def adapted(model: LanguageModel, *uses: tuple[Path, float]) -> Adaptation:
    """What adapters, each with its weight, make of a model; it is in place inside `adapted(...).in_place()`."""
    reading = Shelf(model, "tiny").adaptation(0, [AdapterUse(str(path), weight) for path, weight in uses])
    while True:
        try:
            next(reading)
        except StopIteration as end:
            adaptation: Adaptation = end.value
            return adaptation
