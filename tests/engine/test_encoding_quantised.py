"""Nearest words by embeddings that are packed: the model's tokens', not its positions'."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoints import loaded

from engine.encoding import nearest
from engine.text.tokenizer import Tokenizer


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_the_nearest_words_are_nearly_those_of_the_full_numbers(
    assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path))
    folder = assets / "models" / "companion"
    tokenizer = Tokenizer.load(str(folder))
    full = nearest(1, loaded(folder, precision="fp32").model, tokenizer, ["dog"], [], 10).words
    few = dict(nearest(1, loaded(folder, precision=precision).model, tokenizer, ["dog"], [], 20).words)
    for piece, cosine in full:
        assert few[piece] == pytest.approx(cosine, abs=0.01)
