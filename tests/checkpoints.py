"""Tiny checkpoints with random weights for tests, in the format of the real ones, and the way to load any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from engine.loading import LoadedModel, load
from engine.models.llama import Config, Model
from engine.models.reader import Reader
from engine.params import LoadParams

# Sizes without a common factor: three query heads to one kv head, a width that is not heads times head width.
TINY: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 24,
    "intermediate_size": 37,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "head_dim": 10,
    "vocab_size": 101,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "eos_token_id": 7,
    "torch_dtype": "float32",
}


def tiny_config(**changes: Any) -> dict[str, Any]:
    """TINY with some keys changed; None takes a key away."""
    return {key: value for key, value in {**TINY, **changes}.items() if value is not None}


def tiny_weights(config: dict[str, Any], dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Random weights with the names and shapes that a Llama checkpoint of this config has."""
    with torch.device("meta"):
        model = Model(Config.read(Reader(config, "tiny/config.json")))
    source = torch.Generator().manual_seed(1)
    return {
        name: (torch.randn(weight.shape, generator=source) * 0.3 + ("norm" in name)).to(dtype)
        for name, weight in model.named_parameters()
    }


def write_tiny(folder: Path, shards: int = 1, dtype: torch.dtype = torch.float32, **changes: Any) -> Path:
    """A whole model folder but for its tokenizer; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = tiny_config(**changes)
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    weights = tiny_weights(config, dtype)
    if shards == 1:
        save_file(weights, folder / "model.safetensors")
        return folder
    names = sorted(weights)
    where = {name: f"model-{i % shards + 1:05}-of-{shards:05}.safetensors" for i, name in enumerate(names)}
    for file in set(where.values()):
        save_file({name: weights[name] for name in names if where[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}), "utf-8")
    return folder


def loaded(path: Path, **params: Any) -> LoadedModel:
    """Load a folder on the CPU with one thread, all at once."""
    steps = load(str(path), LoadParams(**{"device": "cpu", "threads": 1, **params}))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            model: LoadedModel = end.value
            return model
