"""A filler in its mask's place."""

from __future__ import annotations

import pytest

from app.widgets.encoder_pages import put


@pytest.mark.parametrize(
    ("text", "number", "token", "spaced", "expected"),
    [
        ("The [MASK] runs.", 0, "dog", False, "The dog runs."),
        ("The <mask> runs.", 0, " dog", True, "The dog runs."),
        ("[MASK] runs.", 0, " It", True, "It runs."),
        ("play [MASK] on", 0, "##ing", False, "playing on"),
        ("play [MASK] on", 0, "ing", True, "playing on"),
        ("The<mask> runs.", 0, " dog", True, "The dog runs."),
        ("a [MASK] b [MASK]", 1, "c", False, "a [MASK] b c"),
        ("no mask", 0, "c", False, "no mask"),
    ],
)
def test_a_filler_takes_the_place_of_its_mask(text: str, number: int, token: str, spaced: bool, expected: str) -> None:
    assert put(text, number, token, spaced) == expected
