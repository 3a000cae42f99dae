"""A shape's process holds its weights and hardly more: what was freed while they were made went back to the system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

MEASURE = """
from engine.bench.models import from_shape
from engine.bench.shapes import SHAPES
from engine.loading import memory
from engine.quantize.kernels.choice import chosen

chosen()  # kernels and libraries are there from now on
before = memory.held()
subject = from_shape(SHAPES["135m"], "int4", 1)
print(memory.held() - before, subject.weight_bytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's own figures")
def test_a_shape_takes_its_weights_and_hardly_more() -> None:
    command = [sys.executable, "-c", MEASURE]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT, timeout=200)
    taken, weights = map(int, run.stdout.split())
    assert weights > 60_000_000
    assert 0 <= taken - weights < 16 * 2**20  # the tokenizer of its made-up words, and where the kernels find what
