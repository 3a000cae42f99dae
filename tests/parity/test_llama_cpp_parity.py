"""The same GGUF file here and in llama.cpp, for every architecture: no writer's mistake can hide in its own reader.

Files are F32 and within what llama.cpp does as the reference does: it reads Phi-3 without its window, and no T5 with
more decoder layers than encoder layers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import loaded
from gguf_models import VARIANTS, random_bert, random_model, random_t5, written
from ggufs import split
from torch import Tensor
from torch.nn import functional

from engine.loading.architectures import ARCHITECTURES
from engine.models import layers
from engine.models.base import Encoder, Seq2Seq

pytest.importorskip("transformers")
pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: it is in the extra bench")
import llamacpp

pytestmark = pytest.mark.parity

EXACT, LOOKED_UP = 2e-5, 5e-4
"""The largest difference, as a share of the largest number. A GELU that is looked up may fall on a neighbour."""
GELUS = ("gemma2", "gemma3", "gpt2", "gpt_neox", "bloom", "falcon")
SETTINGS: dict[str, dict[str, Any]] = {"phi3": {"sliding_window": None}}
PROVED = {
    "llama",
    "qwen2",
    "qwen3",
    "qwen3moe",
    "phi3",
    "gemma2",
    "gemma3",
    "gpt2",
    "gptneox",
    "bloom",
    "falcon",
    "t5",
    "bert",
}


def looked_up(x: Tensor) -> Tensor:
    """GELU as llama.cpp has it: by tanh, from a table of float16 numbers."""
    y = functional.gelu(x.half().float(), approximate="tanh").half().float()
    return torch.where(x <= -10, 0.0, torch.where(x >= 10, x, y))


@pytest.fixture(autouse=True)
def gelus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our GELUs looked up as llama.cpp's are, so that nothing larger can hide behind the difference."""
    for name in [name for name in layers.ACTIVATIONS if name.startswith("gelu")]:
        monkeypatch.setitem(layers.ACTIVATIONS, name, looked_up)


def assert_close(ours: Tensor, theirs: Tensor, share: float) -> None:
    torch.testing.assert_close(ours, theirs, atol=share * ours.abs().max().item(), rtol=0.0)


@torch.inference_mode()
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_decoders_logits_are_those_of_llama_cpp(
    tmp_path: Path, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    family, changes = VARIANTS[variant]
    monkeypatch.setitem(VARIANTS, variant, (family, {**changes, **SETTINGS.get(variant, {})}))
    path = written(tmp_path / "tiny.gguf", random_model(variant))
    ids = torch.arange(3, 43)
    share = LOOKED_UP if variant.startswith(GELUS) else EXACT
    assert_close(loaded(path).model(ids[None]), llamacpp.logits(path, ids.tolist()), share)


@torch.inference_mode()
@pytest.mark.parametrize("changes", [{}, {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}])
def test_an_encoder_decoders_logits_are_those_of_llama_cpp(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = written(tmp_path / "tiny.gguf", random_t5(num_layers=3, num_decoder_layers=2, **changes))
    model = loaded(path).model
    assert isinstance(model, Seq2Seq)
    source, target = torch.arange(1, 31), torch.arange(40, 60)
    ours = model.decode(target[None], model.encode(source[None]))
    theirs = llamacpp.target_logits(path, source.tolist(), target.tolist())
    if not changes:  # llama.cpp leaves out the factor that the reference puts before a tied head
        theirs = theirs * 96**-0.5
    assert_close(ours, theirs, LOOKED_UP if changes else EXACT)


@torch.inference_mode()
def test_an_encoders_states_are_those_of_llama_cpp(tmp_path: Path) -> None:
    path = written(tmp_path / "tiny.gguf", random_bert())
    model = loaded(path).model
    assert isinstance(model, Encoder)
    ids = torch.arange(1, 31)
    assert_close(model(ids[None]), llamacpp.states(path, ids.tolist()), LOOKED_UP)


@torch.inference_mode()
def test_a_model_in_parts_is_what_llama_cpp_joins_it_to(references: Path, tmp_path: Path) -> None:
    first, *_, last = split(references / "models" / "stories260K" / "gguf" / "stories260K-f32.gguf", tmp_path, 20)
    ids = torch.arange(3, 43)
    assert_close(loaded(last).model(ids[None]), llamacpp.logits(first, ids.tolist()), EXACT)


def test_every_architecture_is_among_them() -> None:
    assert set(ARCHITECTURES) == PROVED
