"""The maps of positions and masks against transformers: its tables, its angles, its biases, and what it looks at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import loaded
from decoder_variants import CONTEXT, VARIANTS
from decoders import Everything, ids_of, written

from driver import Driver, one
from engine import PositionMap, PositionMaps, Positions
from engine.decoding.positions import MOST, position_maps

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

SIZES: dict[str, Any] = {"vocab_size": 131, "max_position_embeddings": 48, "pad_token_id": 1}
SIDES = {
    **SIZES,
    "d_model": 36,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 3,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 53,
    "decoder_ffn_dim": 47,
    "decoder_start_token_id": 2,
}
PAIRS: dict[str, dict[str, Any]] = {
    "T5": {
        "vocab_size": 131,
        "d_model": 36,
        "d_kv": 10,
        "d_ff": 53,
        "num_layers": 2,
        "num_heads": 3,
        "relative_attention_num_buckets": 10,
        "relative_attention_max_distance": 21,  # shorter than the texts
        "decoder_start_token_id": 0,
    },
    "Bart": SIDES,
    "Marian": SIDES,
    "Blenderbot": SIDES,
    "BlenderbotSmall": SIDES,
}
BERT = {**SIZES, "hidden_size": 36, "intermediate_size": 53, "num_hidden_layers": 4, "num_attention_heads": 3}
MARKS = {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
ENCODERS: dict[str, dict[str, Any]] = {
    "Bert": BERT,
    "Roberta": BERT,
    "DistilBert": {**SIZES, "dim": 36, "hidden_dim": 53, "n_layers": 3, "n_heads": 3},
    "ModernBert": {**BERT, **MARKS, "local_attention": 10},
}


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def decoder(folder: Path, name: str) -> Any:
    model_type, changes = VARIANTS[name]
    config = transformers.AutoConfig.for_model(model_type, **changes)
    return written(folder, config, "sdpa" if changes.get("alibi") else "eager")


def pair(folder: Path, family: str) -> tuple[Any, Any]:
    torch.manual_seed(0)
    kind = (
        transformers.MarianMTModel if family == "Marian" else getattr(transformers, f"{family}ForConditionalGeneration")
    )
    model = kind(getattr(transformers, f"{family}Config")(**PAIRS[family])).eval()
    model.save_pretrained(folder)
    return loaded(folder).model, model


def only(maps: tuple[PositionMap, ...], kind: str, side: str = "layers") -> PositionMap:
    (found,) = [m for m in maps if m.kind == kind and m.side == side]
    return found


@pytest.mark.parametrize("name", VARIANTS)
def test_a_position_sees_what_its_mask_says(tmp_path: Path, name: str) -> None:
    model = decoder(tmp_path / "tiny", name).ours
    tap = Everything()
    model(ids_of(model, 40), tap=tap)
    maps = position_maps(model, 40)
    masks = [m for m in maps if m.kind == "mask"]
    for layer, weights in enumerate(tap.shown):
        (mask,) = [m for m in masks if m.layers is None or layer in m.layers]
        assert (weights[0].amax(0).numpy()[mask.values == 0] == 0).all()
        assert (np.diagonal(mask.values) == 1).all() and mask.values.sum() > (weights[0].amax(0) > 1e-6).sum() * 0.99
    assert {m.kind for m in maps} - {"mask"}, "every family says how it tells positions apart"


@pytest.mark.parametrize("name", ["gpt2", "gpt-neo", "opt 125m"])
def test_a_learned_table_is_what_makes_a_token_another_one_elsewhere(tmp_path: Path, name: str) -> None:
    theirs = decoder(tmp_path / "tiny", name)
    table = only(position_maps(theirs.ours, 20), "learned")
    seen: list[torch.Tensor] = []
    layers = getattr(theirs.theirs, "transformer", None)
    blocks = layers.h if layers is not None else theirs.theirs.model.decoder.layers
    blocks[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    theirs.theirs(torch.full((1, 20), 7))
    expected = (seen[0][0] - seen[0][0, :1]).numpy()
    np.testing.assert_allclose(table.values - table.values[:1], expected[:, table.columns], atol=1e-5)


@pytest.mark.parametrize("name", ["mistral", "gpt-neox", "qwen2, a window, yarn", "falcon 7b"])
def test_rotary_angles_are_those_of_transformers(tmp_path: Path, name: str) -> None:
    theirs = decoder(tmp_path / "tiny", name)
    angles = only(position_maps(theirs.ours, CONTEXT), "rotary")
    (rotary,) = [m for m in theirs.theirs.modules() if type(m).__name__.endswith("RotaryEmbedding")]
    cosines, _ = rotary(torch.zeros(1), torch.arange(CONTEXT)[None])
    cosines = cosines[0, :, : angles.values.shape[1]] / rotary.attention_scaling
    np.testing.assert_allclose(np.cos(angles.values), cosines.numpy(), atol=1e-5)


@pytest.mark.parametrize("name", ["bloom", "bloom, untied, eight heads"])
def test_slopes_are_those_of_transformers(tmp_path: Path, name: str) -> None:
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    ours = decoder(tmp_path / "tiny", name).ours
    slopes = only(position_maps(ours, 30), "alibi")
    heads = ours.config.heads
    there = build_alibi_tensor(torch.ones(1, 30), heads, torch.float32).view(heads, 30)
    assert list(slopes.columns) == [-d for d in range(30)]
    np.testing.assert_allclose(slopes.values, (there.flip(-1) - there[:, -1:]).numpy(), atol=1e-5)


def test_biases_of_distances_are_those_of_transformers_on_both_sides(tmp_path: Path) -> None:
    ours, theirs = pair(tmp_path / "tiny", "T5")
    maps = position_maps(ours, 40)
    for side, stack, furthest in (("encoder", theirs.encoder, 39), ("layers", theirs.decoder, 0)):
        found = only(maps, "relative", side)
        assert list(found.columns) == (list(range(-39, 40)) if furthest else [-d for d in range(40)])
        there = stack.block[0].layer[0].SelfAttention.compute_bias(40, 40)[0].numpy()
        for values, distance in zip(found.values.T, found.columns):
            query = 39 if distance <= 0 else 0
            np.testing.assert_allclose(values, there[:, query, query + distance], atol=1e-6)


def test_computed_positions_are_those_of_transformers(tmp_path: Path) -> None:
    ours, theirs = pair(tmp_path / "tiny", "Marian")
    table = only(position_maps(ours, 48), "sinusoidal", "encoder")
    np.testing.assert_allclose(table.values, theirs.model.encoder.embed_positions.weight[:48].numpy(), atol=1e-6)


@pytest.mark.parametrize("family", PAIRS)
def test_both_sides_of_a_pair_say_what_they_see(tmp_path: Path, family: str) -> None:
    ours, _ = pair(tmp_path / "tiny", family)
    maps = position_maps(ours, 10)
    assert only(maps, "mask", "encoder").values.all()
    assert (only(maps, "mask").values == np.tri(10)).all()
    assert [m.side for m in maps] == ["encoder", "layers"] * 2


@pytest.mark.parametrize("family", ENCODERS)
def test_an_encoder_sees_what_its_masks_say(tmp_path: Path, family: str) -> None:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**ENCODERS[family])
    theirs = getattr(transformers, f"{family}ForMaskedLM")(config)
    theirs.save_pretrained(tmp_path / "tiny")
    ours = loaded(tmp_path / "tiny").model
    tap, length = Everything(), min(20, ours.config.context)
    ours(torch.full((1, length), 7), tap=tap)
    maps = position_maps(ours, length)
    for layer, weights in enumerate(tap.shown):
        (mask,) = [m for m in maps if m.kind == "mask" and (m.layers is None or layer in m.layers)]
        assert ((weights[0].amax(0).numpy() > 0) == (mask.values > 0)).all()
    assert {m.kind for m in maps} - {"mask"}


def test_the_maps_of_a_whole_context_are_small(assets: Path) -> None:
    driver = Driver()
    try:
        driver.load(assets / "models" / "companion")
        maps = one(driver.run(Positions()), PositionMaps)
        assert maps.length > MOST
        for m in maps.maps:
            assert m.values.shape == (len(m.rows), len(m.columns)) and max(m.values.shape) <= MOST
            assert m.rows[-1] < maps.length and m.says.endswith(".")
        few = one(driver.run(Positions(3)), PositionMaps)
        assert few.length == 3 and (few.maps[-1].values == np.tri(3)).all()
    finally:
        driver.engine.stop()
