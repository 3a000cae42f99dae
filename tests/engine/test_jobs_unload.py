"""Unloading gives the memory back, however often: measured on the whole process, by what the system says it holds."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from driver import Driver, one
from engine import (
    CaptureParams,
    Generate,
    Generated,
    Load,
    LoadDraft,
    Loaded,
    LoadParams,
    Prompt,
    SamplingParams,
    Unload,
)

STATUS = Path("/proc/self/status")
MEBI = 2**20


def resident() -> int:
    """Bytes of anonymous memory of this process."""
    lines = STATUS.read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024


def cycle(path: str, precision: str, times: int) -> tuple[list[int], int]:
    """Load, read a long prompt, write and unload so many times; memory after each unloading, and one model's bytes."""
    driver = Driver(Path("."))
    driver.engine.start()
    after, size = [], 0
    sampling = SamplingParams.neutral(temperature=0.0, max_new_tokens=8)
    for number in range(times):
        params = LoadParams(precision=precision, threads=1)
        size = one(driver.run(Load(path, params)), Loaded).info.bytes_in_memory
        driver.run(LoadDraft(path, params))
        for word in ("dog ", "cat "):
            prompt = Prompt(text=f"{number} " + word * 150)
            assert one(driver.run(Generate(prompt, sampling, CaptureParams())), Generated).ids
        driver.run(Unload())
        driver.log.clear()
        gc.collect()
        after.append(resident())
    assert driver.engine.stop()
    return after, size


@pytest.mark.skipif(not STATUS.exists(), reason="the system does not say what a process holds")
@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
def test_after_twenty_models_the_process_holds_what_it_held_after_the_first(
    assets: Path, tmp_path: Path, precision: str
) -> None:
    path = assets / "models" / "companion"
    script = (
        f"import sys; sys.path[:0] = {[str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]!r}\n"
        f"import importlib.util as u; s = u.spec_from_file_location('unload', {__file__!r})\n"
        "m = u.module_from_spec(s); s.loader.exec_module(m)\n"
        f"after, size = m.cycle({str(path)!r}, {precision!r}, 20); print(size, *after)"
    )
    # A process of its own: this one's memory is every other test's too.
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=500, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    size, *after = map(int, run.stdout.split())
    assert size > 3 * MEBI
    settled = min(after[1:4])
    assert max(after[-3:]) - settled < max(size / 2, 8 * MEBI), [round(each / MEBI) for each in after]
