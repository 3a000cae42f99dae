"""Tiny encoder checkpoints with random weights, whole with a tokenizer of a dozen words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from engine.models.bert import Config, Model
from engine.models.reader import Reader

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "dog", "sat", "on", "mat", "a", ".")
TINY: dict[str, Any] = {
    "model_type": "bert",
    "vocab_size": len(WORDS),
    "hidden_size": 12,
    "intermediate_size": 17,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "max_position_embeddings": 16,
}


def write_bert(folder: Path, architecture: str, **changes: Any) -> Path:
    """A whole BERT folder for an architecture such as BertForMaskedLM; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {**TINY, "architectures": [architecture], **changes}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    with torch.device("meta"):
        model = Model(Config.read(Reader(config, "tiny/config.json")))
    source = torch.Generator().manual_seed(2)
    shapes = {name: weight.shape for name, weight in model.named_parameters() if name not in model.optional}
    weights = {name: torch.randn(shape, generator=source) * 0.5 for name, shape in shapes.items()}
    save_file(weights, folder / "model.safetensors")
    tokenizer = Tokenizer(models.WordLevel({word: id for id, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.add_special_tokens(list(WORDS[:5]))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"mask_token": "[MASK]"}), "utf-8")
    return folder
