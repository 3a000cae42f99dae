"""What the second model looks at, says in its layers and how it tells positions apart, as if it were loaded alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from driver import Driver, one
from engine import (
    Attend,
    AttentionRows,
    CaptureParams,
    Failed,
    Lens,
    LensRows,
    LoadParams,
    LoadSecond,
    NamePieces,
    PositionMaps,
    Positions,
    Prompt,
    Started,
    Tokenized,
)

TEXT = Prompt(text="Once upon a time")
ALL = CaptureParams(candidates=0, attention="all")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    driver = Driver(tmp_path_factory.mktemp("home"))
    driver.engine.start()
    yield driver
    assert driver.engine.stop()


def seen(driver: Driver, second: bool) -> tuple[tuple[str, ...], np.ndarray, np.ndarray, np.ndarray]:
    """The pieces that a model reads, its attention, what its layers say, and its first map of positions."""
    events = driver.run(Attend(TEXT, ALL, second))
    ids = one(events, Started).prompt_ids
    pieces = one(driver.run(NamePieces(ids, second=second)), Tokenized).pieces
    said = one(driver.run(Lens(TEXT, second=second)), LensRows).probabilities
    signal = one(driver.run(Positions(4, second)), PositionMaps).maps[0].values
    return pieces, one(events, AttentionRows).weights, said, signal


def test_the_second_model_is_looked_into_as_it_would_be_alone(driver: Driver, assets: Path) -> None:
    driver.load(assets / "models" / "stories260K")
    other = assets / "models" / "babyllama-361"
    driver.run(LoadSecond(str(other), LoadParams(precision="fp32", threads=1)))
    first, second = seen(driver, False), seen(driver, True)
    assert first[0] != second[0] and first[1].shape != second[1].shape
    driver.load(other)
    for alone, beside in zip(seen(driver, False), second):
        assert np.array_equal(alone, beside)


def test_where_there_is_no_second_model_it_says_so(driver: Driver, assets: Path) -> None:
    driver.load(assets / "models" / "stories260K")
    driver.run(LoadSecond("", LoadParams()))
    for command in (
        Attend(TEXT, ALL, True),
        Lens(TEXT, second=True),
        Positions(4, True),
        NamePieces((1,), False, True),
    ):
        assert one(driver.run(command), Failed).message == "No second model is loaded."
