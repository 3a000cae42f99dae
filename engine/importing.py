"""Importing torch beside a window without holding it up.

An import runs with Python's lock held for two things that take a tenth of a second and more: the loader that maps the
libraries, and the collector that walks every object that there is, again and again while there come more. The first is
done beforehand, without the lock; the second waits, and what was imported is never walked again.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def unhurried() -> Iterator[None]:
    """What is imported inside stays out of the collector's way, now and later."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collects:
            gc.enable()


def open_libraries() -> None:
    """Map torch's libraries into memory; where that does not work, importing it will do it."""
    found = importlib.util.find_spec("torch")
    if sys.platform != "linux" or found is None or found.origin is None:
        return
    library = Path(found.origin).parent / "lib" / "libtorch.so"
    if library.is_file():
        # Called as a foreign function, and so without the lock, which ctypes.CDLL holds while it opens.
        ctypes.CDLL(None).dlopen(os.fsencode(library), os.RTLD_NOW)
