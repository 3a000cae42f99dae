"""What is looked at of a model in few bits is what its blocks compute one by one, whoever else runs fused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.bench.models import from_shape
from engine.bench.shapes import Shape
from engine.decoding.cache import KVCache
from engine.decoding.looking import look_into
from engine.inside.capture import Tap
from engine.messages import AttentionRows, AttentionThumbnails, Lens, LensRows, Prompt
from engine.models.base import Decoder
from engine.params import CaptureParams
from engine.quantize.kernels.choice import COMMON, library

pytestmark = pytest.mark.skipif(library(COMMON) is None, reason="no native kernels for this processor")

SHAPE = Shape("groups of four", 3, 8, 2, 128, 192, 320, tied=True)
COUNT, FIRST = 40, 20
CLOSE = 0.02  # what rounding to 8 bits what goes into packed products moves a weight by, at most


class Names:
    def piece(self, id: int) -> str:
        return str(id)


@pytest.fixture(scope="module", params=["int4", "int8"])
def model(request: pytest.FixtureRequest) -> Decoder:
    model = from_shape(SHAPE, request.param, 1).model
    assert model.fused is not None
    return model


def ids() -> torch.Tensor:
    return torch.randint(0, SHAPE.vocabulary, (1, COUNT), generator=torch.Generator().manual_seed(3))


def looked_at(model: Decoder, params: CaptureParams, fused: bool) -> tuple[dict[tuple[str, int], np.ndarray], Tap]:
    """The rows of a text that is read, then written token by token: by layer and position."""
    held, tap, cache, rows = model.fused, Tap(params, SHAPE.layers), KVCache.for_model(model), {}
    model.fused = held if fused else None
    try:
        with torch.inference_mode():
            for begin, end in [(0, FIRST), *((n, n + 1) for n in range(FIRST, COUNT))]:
                tap.begin(begin)
                model(ids()[:, begin:end], cache, tap)
                for event in tap.events(0):
                    if isinstance(event, AttentionRows):
                        for index, name in enumerate(event.layers):
                            for row in range(event.weights.shape[2]):
                                rows[name, event.start + row] = event.weights[index, :, row]
    finally:
        model.fused = held
    return rows, tap


@pytest.mark.parametrize("params", [CaptureParams(attention="all"), CaptureParams(attention="layer", layer=1)])
def test_rows_are_those_of_blocks_one_by_one(model: Decoder, params: CaptureParams) -> None:
    fused, _ = looked_at(model, params, fused=True)
    plain, _ = looked_at(model, params, fused=False)
    layers = {"layers.0.self", "layers.1.self", "layers.2.self"} if params.attention == "all" else {"layers.1.self"}
    assert fused.keys() == plain.keys() == {(name, n) for name in layers for n in range(COUNT)}
    for (_, position), row in fused.items():
        assert row[:, : position + 1].astype(float).sum(-1) == pytest.approx(1, abs=5e-3)
    off = max(float(np.abs(fused[key].astype(float) - plain[key].astype(float)).max()) for key in fused)
    assert off < CLOSE


def test_thumbnails_are_too(model: Decoder) -> None:
    params = CaptureParams(thumbnails=16)
    maps = []
    for fused in (True, False):
        _, tap = looked_at(model, params, fused)
        (event,) = [event for event in tap.events(0, last=True) if isinstance(event, AttentionThumbnails)]
        assert event.tokens == COUNT and len(event.layers) == SHAPE.layers
        maps.append(event.cells)
    np.testing.assert_allclose(maps[0], maps[1], atol=CLOSE)


@pytest.mark.parametrize("count", [1, 2, 16, 17, COUNT])
def test_layers_are_asked_of_texts_so_short_that_they_would_run_fused(model: Decoder, count: int) -> None:
    held = model.fused
    text = ids()[0, :count].tolist()
    (*_, seen) = look_into(0, model, Names(), text, Lens(Prompt(ids=tuple(text))), lambda: None)  # type: ignore[arg-type]
    assert isinstance(seen, LensRows) and model.fused is held
    assert seen.tops.shape[:2] == (SHAPE.layers + 1, count)
    with torch.inference_mode():
        expected = model(torch.tensor([text]))[0].softmax(-1).amax(-1).numpy()
    np.testing.assert_allclose(seen.probabilities[-1, :, 0], expected, atol=2e-2)
