"""What every test may ask for, and what every test is held to: no thread of ours outlives it.

Reference data (larger corpora and checkpoints) lies outside the project; VITRINE_REFERENCES names its
folder, and a test that needs it skips where it is absent. What the project carries is under assets/ and
tests/data/.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
GRACE = 3.0  # seconds that a thread told to stop may take

if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

# Shared machines stall for seconds; a deadline would report the neighbour, not the code.
settings.register_profile("vitrine", deadline=None)
settings.load_profile("vitrine")


@pytest.fixture(scope="session")
def references() -> Path:
    """The folder of reference data; skips the test where there is none."""
    named = os.environ.get("VITRINE_REFERENCES")
    if not named or not Path(named).is_dir():
        pytest.skip("reference data not present")
    return Path(named).resolve()


@pytest.fixture(scope="session")
def assets() -> Path:
    """The project's own assets: models, fonts, icons, presets."""
    return ROOT / "assets"


@pytest.fixture(scope="session")
def data() -> Path:
    """Published and measured values that tests compare with, a folder a model."""
    return ROOT / "tests" / "data"


@pytest.fixture(autouse=True)
def no_thread_left_alive() -> Iterator[None]:
    """Fails a test that leaves a thread running: any that is not a daemon, and any of Vitrine's own."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + GRACE
    for thread in _left(before):
        thread.join(max(0.0, deadline - time.monotonic()))
    left = [thread.name for thread in _left(before)]
    assert not left, f"threads left alive: {', '.join(left)}"


def _left(before: set[threading.Thread]) -> list[threading.Thread]:
    """Threads started since, still alive, that somebody here should have stopped."""
    alive = [thread for thread in threading.enumerate() if thread not in before]
    return [thread for thread in alive if not thread.daemon or thread.name.startswith("vitrine-")]
