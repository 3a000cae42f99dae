"""Attention while an answer is written: every token comes with the row that wrote it, in full and in few bits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from driver import Driver
from engine import AttentionRows, AttentionThumbnails, CaptureParams, Generate, Prompt, SamplingParams, Tokens


@pytest.fixture
def driver() -> Iterator[Driver]:
    driver = Driver()
    yield driver
    driver.engine.stop()


@pytest.mark.parametrize("precision", ["fp32", "int4", "int8"])
def test_when_a_token_arrives_so_has_the_row_that_wrote_it(driver: Driver, assets: Path, precision: str) -> None:
    driver.load(assets / "models" / "companion", precision)
    sampling = SamplingParams.neutral(temperature=0.0, max_new_tokens=24)
    capture = CaptureParams(attention="layer", layer=3, thumbnails=16)
    run = driver.submit(Generate(Prompt(text="Once upon a time there was"), sampling, capture))
    end, written = 0, 0
    for batch in batches(driver, run.id):
        for event in batch:
            if isinstance(event, AttentionRows):
                assert event.layers == ("layers.3.self",) and event.start <= end, "no row is left out"
                end = event.start + event.weights.shape[2]
                assert event.weights[0, :, -1].astype(float).sum(-1) == pytest.approx(1, abs=5e-3)
        newest = [record for event in batch if isinstance(event, Tokens) for record in event.records]
        written += len(newest)
        if newest:
            assert end >= newest[-1].position, "rows count from 0: the one before the token is there"
    assert written == 24
    maps = [event for event in driver.log if isinstance(event, AttentionThumbnails)]
    assert maps[-1].tokens == end and max(maps[-1].cells.shape[2:]) <= 16


def batches(driver: Driver, run: int) -> Iterator[list[object]]:
    """What the engine says at each waking, until the run is over."""
    seen = len(driver.log)
    while True:
        driver.wait(lambda log, before=seen: len(log) > before)  # type: ignore[misc]
        batch = [event for event in driver.log[seen:] if event.run == run]
        seen = len(driver.log)
        yield batch
        if any(type(event).__name__ in ("Done", "Failed") for event in batch):
            return
