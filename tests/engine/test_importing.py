"""Importing torch beside a window: the collector waits, the libraries are there before, nothing more is imported."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from engine.importing import unhurried

ROOT = Path(__file__).resolve().parents[2]

LOADING = """
import sys
from engine import LoadParams
from engine.loading import load
for step in load(sys.argv[1], LoadParams(device="cpu", threads=1)):
    pass
print("sympy" in sys.modules)
"""

OPENING = """
import sys
from engine.importing import open_libraries
open_libraries()
print("torch" in sys.modules, any("libtorch_cpu" in line for line in open("/proc/self/maps")))
"""


def run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("before", [True, False])
def test_the_collector_waits_while_something_is_imported_and_then_does_as_before(before: bool) -> None:
    (gc.enable if before else gc.disable)()
    try:
        with pytest.raises(ImportError), unhurried():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() == before
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        gc.enable()


@pytest.mark.skipif(sys.platform != "linux", reason="done on Linux only")
def test_the_libraries_are_in_memory_before_torch_is_imported() -> None:
    assert run(OPENING) == "False True"


def test_loading_a_model_does_not_import_sympy() -> None:
    assert run(LOADING, str(ROOT / "assets" / "models" / "stories260K")) == "False"
