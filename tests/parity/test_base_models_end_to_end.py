"""Base models from the command line, with no beginning mark and no chat template: the text is the reference's.

A checkpoint of each family is written by transformers with a tokenizer.json, and the headless door continues a text.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from decoders import written

from engine.__main__ import main
from engine.text.tokenizer import BYTE_ALPHABET

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")
pytestmark = pytest.mark.parity

SIZES = {
    "hidden_size": 36, "num_hidden_layers": 2, "num_attention_heads": 3, "vocab_size": 301, "bos_token_id": None,
    "eos_token_id": None, "initializer_range": 0.2,
}  # fmt: skip
ROTARY = {"intermediate_size": 53, "num_key_value_heads": 1, "max_position_embeddings": 64, "pad_token_id": None}
WINDOW = {**ROTARY, "sliding_window": 9}
# Shorter than the text and its continuation: the second kind of positions begins in the midst of it.
LONGROPE = {"rope_type": "longrope", "short_factor": [1.0, 1.1] * 3, "long_factor": [2.0, 3.0] * 3}
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_positions": 64},
    "gpt_neo": {
        "num_layers": 2,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 9,
        "max_position_embeddings": 64,
    },
    "gpt_neox": {
        "intermediate_size": 53,
        "max_position_embeddings": 64,
        "rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5},
    },
    "opt": {"ffn_dim": 53, "init_std": 0.2, "max_position_embeddings": 64, "pad_token_id": None},
    "bloom": {"seq_length": 64},
    "falcon": {"max_position_embeddings": 64},
    "mistral": WINDOW,
    "qwen2": {**WINDOW, "use_sliding_window": True, "max_window_layers": 1},
    "qwen3": ROTARY,
    "smollm3": ROTARY,
    "olmo2": ROTARY,
    "gemma2": {**WINDOW, "head_dim": 12},
    "gemma3_text": {**WINDOW, "head_dim": 12},
    "phi3": {**WINDOW, "original_max_position_embeddings": 20, "rope_parameters": LONGROPE},
    "mixtral": {**ROTARY, "num_local_experts": 4},
    "qwen3_moe": {**ROTARY, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 17},
}
TEXT = "Über the hills"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(arguments) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def write_bytes_tokenizer(folder: Path) -> None:
    """A byte-level BPE that merges nothing: one id a byte."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(BYTE_ALPHABET, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_text_is_continued_scored_and_inspected(
    model_type: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path / "home"))
    folder = tmp_path / model_type
    config = transformers.AutoConfig.for_model(model_type, **{**SIZES, **FAMILIES[model_type]})
    config._experts_implementation = "eager"  # the others want widths that are multiples of 16 bytes
    theirs = written(folder, config).theirs
    write_bytes_tokenizer(folder)
    ids = torch.tensor([list(TEXT.encode())])
    with torch.inference_mode():
        expected = theirs.generate(ids, attention_mask=ids > -1, do_sample=False, max_new_tokens=12, pad_token_id=0)
        logs = theirs(ids).logits.log_softmax(-1)[0, :-1].gather(-1, ids[0, 1:, None])[:, 0]

    door = [str(folder), "--threads", "1", "--json"]
    answer = run(capsys, "generate", *door, "--prompt", TEXT, "--temperature", "0", "--max-new-tokens", "12")
    assert answer["prompt_ids"] == ids[0].tolist()
    assert answer["ids"] == expected[0, ids.shape[1] :].tolist()
    assert answer["finish"] == "length"
    scored = run(capsys, "score", *door, "--text", TEXT)
    assert scored["logprobs"][-len(logs) :] == pytest.approx(logs.tolist(), abs=1e-4)
    card = run(capsys, "inspect", str(folder), "--json")
    assert (card["family"], card["kind"], card["supported"], card["context"]) == (model_type, "decoder", True, 64)
