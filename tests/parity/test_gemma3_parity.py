"""The text part of a Gemma 3 that also sees, beside transformers' whole model on a text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import loaded
from decoders import TOLERANCE, greedy, greedy_of, ids_of, in_chunks
from safetensors.torch import load_file, save_file

from engine.errors import EngineError
from engine.loading.catalog import inspect
from engine.models.base import Decoder
from engine.models.gemma3_text import Config, Model
from engine.models.reader import Reader

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

TEXT = {
    "hidden_size": 36, "intermediate_size": 53, "num_hidden_layers": 3, "num_attention_heads": 3,
    "num_key_value_heads": 1, "head_dim": 10, "vocab_size": 131, "max_position_embeddings": 64, "sliding_window": 11,
    "initializer_range": 0.2, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}  # fmt: skip
VISION = {
    "hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
    "patch_size": 14,
}  # fmt: skip
GEMMA3_4B = {
    "hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34,
    "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024,
}  # fmt: skip


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    torch.manual_seed(0)
    config = transformers.Gemma3Config(
        text_config=TEXT, vision_config=VISION, mm_tokens_per_image=4, image_token_index=130, boi_token_index=129,
        eoi_token_index=128,
    )  # fmt: skip
    config._attn_implementation = "eager"
    theirs = transformers.Gemma3ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, weight in theirs.named_parameters():
            if "norm" in name:
                weight.normal_(0.0, 0.3)
    folder = tmp_path_factory.mktemp("parity") / "tiny"
    theirs.save_pretrained(folder)
    return folder, theirs


@torch.inference_mode()
def test_a_text_is_read_as_by_the_whole_model(pair: tuple[Path, Any]) -> None:
    folder, theirs = pair
    ours = loaded(folder).model
    assert isinstance(ours, Decoder)
    ids = ids_of(ours, 50) % 128  # none of a picture's
    expected = theirs(ids).logits
    assert expected.std() > 0.5
    torch.testing.assert_close(ours(ids), expected, **TOLERANCE)
    torch.testing.assert_close(in_chunks(ours, ids, 7), expected, **TOLERANCE)
    assert greedy(ours, ids[:, :5], 40) == greedy_of(theirs, ids[:, :5], 40)


def test_the_vision_part_is_named_as_left_out_and_not_counted(pair: tuple[Path, Any]) -> None:
    folder, theirs = pair
    card = inspect(str(folder))
    assert card.note == "It reads text only: its vision part is not loaded."
    assert card.parameters == sum(weight.numel() for weight in theirs.model.language_model.parameters())
    assert card.parameters == loaded(folder).parameters


@pytest.mark.parametrize("prefix", ["model.language_model.", "language_model.model."])
def test_the_parts_are_found_by_either_order_of_their_names(
    pair: tuple[Path, Any], tmp_path: Path, prefix: str
) -> None:
    folder = pair[0]
    weights = load_file(folder / "model.safetensors")
    inner = "model." if prefix.startswith("model.") else ""
    (tmp_path / "config.json").write_text((folder / "config.json").read_text("utf-8"), "utf-8")
    named = {
        name.replace("language_model.model.", prefix) if "language" in name else inner + name: weight
        for name, weight in weights.items()
    }
    save_file(named, tmp_path / "model.safetensors")
    ids = torch.arange(20)[None]
    with torch.inference_mode():
        assert torch.equal(loaded(tmp_path).model(ids), loaded(folder).model(ids))


def test_the_released_config_says_little_and_is_read_as_there() -> None:
    config = Config.read(Reader({"model_type": "gemma3", "text_config": GEMMA3_4B}, "4b/config.json"))
    with torch.device("meta"):
        ours, theirs = Model(config), transformers.Gemma3ForCausalLM(transformers.Gemma3TextConfig(**GEMMA3_4B))
    assert {name: w.shape for name, w in ours.named_parameters()} == {
        name: w.shape for name, w in theirs.named_parameters()
    }
    assert (config.rotary.kind, config.rotary.factor, config.rotary.theta) == ("linear", 8.0, 1e6)
    assert (config.local_rotary.kind, config.local_rotary.theta) == ("default", 1e4)
    assert [index for index, window in enumerate(config.windows) if window is None] == [5, 11, 17, 23, 29]


@pytest.mark.parametrize(
    ("changes", "word"), [({"architectures": ["Gemma3Model"]}, "Gemma3Model"), ({"text_config": None}, "text_config")]
)
def test_what_is_no_such_model_is_refused_by_name(pair: tuple[Path, Any], changes: dict[str, Any], word: str) -> None:
    config = json.loads((pair[0] / "config.json").read_text("utf-8"))
    with pytest.raises(EngineError, match=word):
        Config.read(Reader({**config, **changes}, "tiny/config.json"))
