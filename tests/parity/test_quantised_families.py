"""Every family in 4 and in 8 bits, beside the same model in fp32 with the weights that the codes stand for.

What then differs is the input of each product, which the kernels round to bytes, 32 values at a time. The plain model
does that too here; what is left is where a value lies so near to the middle of two bytes that the last bit of a sum
decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import loaded
from decoder_variants import VARIANTS
from decoders import ids_of, written
from torch.nn import functional

from engine.decoding.cache import KVCache
from engine.models.base import Decoder, Encoder, LanguageModel, Seq2Seq

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

BART: dict[str, Any] = {
    "vocab_size": 131, "d_model": 36, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 3,
    "decoder_attention_heads": 3, "encoder_ffn_dim": 53, "decoder_ffn_dim": 47, "max_position_embeddings": 48,
    "pad_token_id": 1, "init_std": 0.2, "decoder_start_token_id": 2,
}  # fmt: skip
T5: dict[str, Any] = {
    "vocab_size": 131, "d_model": 36, "d_kv": 10, "d_ff": 53, "num_layers": 2, "num_heads": 3,
    "decoder_start_token_id": 0,
}  # fmt: skip
SIDES: dict[str, tuple[str, dict[str, Any]]] = {
    "t5": ("t5", T5),
    "t5, gated, untied": ("t5", {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "bart": ("bart", BART),
    "marian": ("marian", BART),
    "marian, two vocabularies": (
        "marian",
        {**BART, "share_encoder_decoder_embeddings": False, "decoder_vocab_size": 97},
    ),
    "blenderbot": ("blenderbot", BART),
    "blenderbot, untied": ("blenderbot", {**BART, "tie_word_embeddings": False}),
    "blenderbot-small": ("blenderbot-small", BART),
}
BERT: dict[str, Any] = {
    "vocab_size": 131, "hidden_size": 36, "intermediate_size": 53, "num_hidden_layers": 3, "num_attention_heads": 3,
    "max_position_embeddings": 48, "pad_token_id": 1, "initializer_range": 0.2,
}  # fmt: skip
DISTILBERT: dict[str, Any] = {
    "vocab_size": 131, "dim": 36, "hidden_dim": 53, "n_layers": 3, "n_heads": 3, "max_position_embeddings": 48,
    "initializer_range": 0.2,
}  # fmt: skip
BOTH_WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", BERT),
    "bert, untied": ("bert", {**BERT, "tie_word_embeddings": False}),
    "roberta": ("roberta", BERT),
    "distilbert": ("distilbert", DISTILBERT),
    "modernbert": ("modernbert", {**BERT, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}),
}
BOUND = 0.02
"""Root mean square of what the logits differ by, relative to their own spread."""


class Rounding(torch.nn.Module):
    """A layer of plain weights whose input is rounded as in the kernels; a table where it is given ids."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scores(x) if x.is_floating_point() else functional.embedding(x, self.weight)

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        K = x.shape[-1]
        blocks = functional.pad(x, (0, -K % 32)).unflatten(-1, (-1, 32))
        step = blocks.abs().amax(-1, keepdim=True) / 127
        rounded = torch.where(step == 0, 0.0, (blocks / step).round() * step)
        return functional.linear(rounded.flatten(-2)[..., :K], self.weight, self.bias)


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module", params=VARIANTS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model_type, changes = VARIANTS[request.param]
    config = transformers.AutoConfig.for_model(model_type, **changes)
    config._experts_implementation = "eager"
    return written(
        tmp_path_factory.mktemp("families") / "tiny", config, "sdpa" if changes.get("alibi") else "eager"
    ).folder


def saved(model: Any, folder: Path) -> Path:
    """Written with random biases and norms, which begin as constants that would hide mistakes."""
    torch.manual_seed(0)
    for name, weight in model.named_parameters():
        if weight.ndim == 1:
            torch.nn.init.normal_(weight, float("norm" in name.lower()) * name.endswith("weight"), 0.3)
    model.save_pretrained(folder)
    return folder


def widened(quantised: LanguageModel, plain: LanguageModel) -> int:
    """Give the plain model the weights of the quantised one; returns how many matrices these are."""
    found = [(path, module) for path, module in quantised.named_modules() if hasattr(module, "packed")]
    for path, module in found:
        owner, _, name = path.rpartition(".")
        setattr(plain.get_submodule(owner), name, Rounding(module.weight, getattr(module, "bias", None)))
    return len(found)


def off(ours: torch.Tensor, expected: torch.Tensor) -> float:
    return float((ours - expected).square().mean().sqrt() / expected.std())


@pytest.mark.parametrize("precision", ["int4", "int8"])
def test_a_decoder_computes_with_what_its_codes_stand_for(folder: Path, precision: str) -> None:
    quantised, plain = loaded(folder, precision=precision), loaded(folder, precision="fp32")
    assert (quantised.precision, quantised.parameters) == (precision, plain.parameters)
    assert isinstance(quantised.model, Decoder)
    assert isinstance(plain.model, Decoder)
    assert widened(quantised.model, plain.model) > 6
    ids = ids_of(plain.model, 40, batch=2)
    logits = quantised.model(ids)
    assert off(logits, plain.model(ids)) < BOUND
    cache = KVCache.for_model(quantised.model, batch=2)
    parts = torch.cat([quantised.model(part, cache) for part in ids.split(7, 1)], 1)
    assert off(parts, logits) < BOUND


@pytest.mark.parametrize("precision", ["int4", "int8"])
@pytest.mark.parametrize("variant", SIDES)
def test_an_encoder_decoder_computes_with_what_its_codes_stand_for(
    variant: str, precision: str, tmp_path: Path
) -> None:
    family, changes = SIDES[variant]
    config = transformers.AutoConfig.for_model(family, **changes)
    folder = saved(transformers.AutoModelForSeq2SeqLM.from_config(config), tmp_path / "tiny")
    quantised, plain = loaded(folder, precision=precision).model, loaded(folder, precision="fp32").model
    assert isinstance(quantised, Seq2Seq)
    assert isinstance(plain, Seq2Seq)
    assert widened(quantised, plain) > 10
    source, target = torch.randint(0, 90, (2, 1, 20), generator=torch.Generator().manual_seed(1))
    expected = plain.decode(target, plain.encode(source))
    assert off(quantised.decode(target, quantised.encode(source)), expected) < BOUND


@pytest.mark.parametrize("precision", ["int4", "int8"])
@pytest.mark.parametrize("variant", BOTH_WAYS)
def test_an_encoder_computes_with_what_its_codes_stand_for(variant: str, precision: str, tmp_path: Path) -> None:
    family, changes = BOTH_WAYS[variant]
    config = transformers.AutoConfig.for_model(family, **changes)
    folder = saved(transformers.AutoModelForMaskedLM.from_config(config), tmp_path / "tiny")
    quantised, plain = loaded(folder, precision=precision).model, loaded(folder, precision="fp32").model
    assert isinstance(quantised, Encoder)
    assert isinstance(plain, Encoder)
    assert widened(quantised, plain) > 10
    ids = torch.randint(3, 90, (2, 20), generator=torch.Generator().manual_seed(1))
    expected = plain.fill(plain(ids))
    assert off(quantised.fill(quantised(ids)), expected) < BOUND
