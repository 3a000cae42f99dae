"""Encoder-decoders whose states outgrow fp16, in fp16: still near their own fp32, and no worse than transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import loaded

from engine.models.base import Seq2Seq

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

SIZES: dict[str, Any] = {
    "vocab_size": 131, "d_model": 36, "d_kv": 10, "d_ff": 53, "num_layers": 2, "num_decoder_layers": 3,
    "num_heads": 3, "decoder_start_token_id": 0,
}  # fmt: skip


def written(folder: Path, family: str, **changes: Any) -> None:
    """A checkpoint whose feed-forward parts give values of some 100,000."""
    torch.manual_seed(0)
    theirs = getattr(transformers, f"{family}ForConditionalGeneration")(
        getattr(transformers, f"{family}Config")(**{**SIZES, **changes})
    )
    with torch.no_grad():
        for name, weight in theirs.named_parameters():
            weight.normal_(float("norm" in name), 0.15)
            if name.endswith((".wo.weight", ".fc2.weight")):
                weight.mul_(6e4)
    theirs.save_pretrained(folder)


def read(model: Seq2Seq) -> torch.Tensor:
    source = torch.Generator().manual_seed(1)
    ids, target = (torch.randint(3, 131, (1, n), generator=source) for n in (12, 9))
    return model.decode(target, model.encode(ids))


@pytest.mark.parametrize("feed_forward", ["relu", "gated-gelu"])
@pytest.mark.parametrize("family", ["T5", "MT5"])
@torch.inference_mode()
def test_t5_outgrows_fp16_and_is_as_near_to_fp32_as_transformers_comes(
    tmp_path: Path, family: str, feed_forward: str
) -> None:
    written(tmp_path / "tiny", family, feed_forward_proj=feed_forward)
    exact, ours = loaded(tmp_path / "tiny", precision="fp32").model, loaded(tmp_path / "tiny", precision="fp16").model
    assert isinstance(exact, Seq2Seq) and isinstance(ours, Seq2Seq)
    precisions = {name: weight.dtype for name, weight in ours.named_parameters()}
    assert {name for name, dtype in precisions.items() if dtype == torch.float32} == {
        name for name in precisions if name.endswith(".wo.weight")
    }
    states: list[torch.Tensor] = []
    exact.get_submodule("encoder.final_layer_norm").register_forward_pre_hook(
        lambda _, inputs: states.append(inputs[0])
    )
    expected, logits = read(exact), read(ours)
    assert states[0].abs().max() > torch.finfo(torch.float16).max
    theirs = getattr(transformers, f"{family}ForConditionalGeneration").from_pretrained(
        tmp_path / "tiny", dtype=torch.float16
    )
    source = torch.Generator().manual_seed(1)
    ids, target = (torch.randint(3, 131, (1, n), generator=source) for n in (12, 9))
    error = (theirs(input_ids=ids, decoder_input_ids=target).logits.float() - expected).std()
    assert error < 0.05 * expected.std()
    assert (logits - expected).std() < 1.2 * error


@torch.inference_mode()
def test_blenderbot_stays_finite_in_fp16(tmp_path: Path) -> None:
    sides = {f"{side}_{key}": n for side in ("encoder", "decoder") for key, n in
             (("layers", 2), ("attention_heads", 3), ("ffn_dim", 31))}  # fmt: skip
    written(tmp_path / "tiny", "Blenderbot", **sides, d_model=36, max_position_embeddings=40)
    ours = loaded(tmp_path / "tiny", precision="fp16").model
    theirs = transformers.BlenderbotForConditionalGeneration.from_pretrained(tmp_path / "tiny", dtype=torch.float16)
    ids = torch.arange(3, 14)[None]
    assert isinstance(ours, Seq2Seq)
    states = ours.encode(ids).states
    assert bool(states.isfinite().all())
    torch.testing.assert_close(states, theirs.model.encoder(ids).last_hidden_state, atol=0.02, rtol=0.0)
