"""How much memory there is for a model, and how what it no longer needs goes back to the system.

Linux promises more memory than there is and ends a process that believes it, so the free amount is asked for before
much is taken. Where the system does not say, None means that nobody knows.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""glibc's names for mallopt's numbers (malloc.h)."""

LARGE, HUGE = 2**20, 2**25
"""Bytes from which a block is mapped by itself: while a model is loaded, and afterwards, glibc's own largest."""

LOOK_EVERY, RESERVE = 0.25, 2**26
"""How often what is free is looked at while a model runs, in seconds, and how many bytes of it are left alone."""

OWN_GROUPS, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
FIGURES = {
    "": ("memory.max", "memory.current"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes"),
}
"""A control group's limit and use, by the controller that its line names: none in the second version of groups."""

NO_LIMIT = 2**60
"""Bytes from which a limit is none: the first version of groups has no other word for it."""


def available(device: str = "cpu") -> int | None:
    """Bytes that can be used without swapping and without meeting a limit; None where the system does not say."""
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    known = [each for each in (_free(), _group_room(), _address_room()) if each is not None]
    return max(0, min(known)) if known else None


def held(device: str = "cpu") -> int | None:
    """Bytes that this process has written and holds, files' contents not counted; None where the system is silent."""
    if device == "cuda":
        import torch

        return int(torch.cuda.memory_allocated())
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")), None)


def give_back() -> None:
    """Return to the system what was freed but is kept for later by the C library."""
    with contextlib.suppress(AttributeError):
        if libc := _libc():
            libc.malloc_trim(0)


def watch() -> Callable[[], None]:
    """A function that raises MemoryError once nearly all memory is taken; it looks now and then, however often called.

    What was granted is only taken when it is written to, and then it is too late: the system ends the process.
    """
    looked = 0.0

    def look() -> None:
        nonlocal looked
        now = time.monotonic()
        if now - looked > LOOK_EVERY:
            looked = now
            free = available()
            if free is not None and free < RESERVE:
                raise MemoryError

    return look


@contextlib.contextmanager
def returning() -> Iterator[None]:
    """While it lasts, what is freed goes back at once, but for small blocks.

    glibc otherwise keeps the blocks that quantising frees between those that stay: as much again as the model itself.
    Afterwards only huge blocks do, since reading a prompt frees and takes the same ones again and again.
    """
    _set_threshold(LARGE)
    try:
        yield
    finally:
        _set_threshold(HUGE)
        give_back()


def _set_threshold(nbytes: int) -> None:
    with contextlib.suppress(AttributeError):
        if libc := _libc():
            libc.mallopt(MMAP_THRESHOLD, nbytes)
            libc.mallopt(TRIM_THRESHOLD, 2 * nbytes)


@functools.cache
def _libc() -> Any:
    """The C library where it is glibc, or may be."""
    return ctypes.CDLL(None) if sys.platform == "linux" else None


class _Mallinfo2(ctypes.Structure):
    """glibc's account of its heap (malloc.h)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


def _kept() -> int:
    """Bytes that were freed and that the C library kept: the next blocks come from there."""
    try:
        ask = _libc().mallinfo2
    except AttributeError:
        return 0
    ask.restype = _Mallinfo2
    return int(ask().fordblks)


def _free() -> int | None:
    """What the system has free, its caches counted in."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    values = dict(line.split(":", 1) for line in lines)
    return int(values["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in values else None


def _group_room() -> int | None:
    """What the process' control group, or one above it, still lets it take."""
    try:
        groups = OWN_GROUPS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    rooms = []
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controllers not in FIGURES:
            continue
        root, names = GROUPS / controllers, FIGURES[controllers]
        place = root / path.lstrip("/")
        for folder in (place, *place.parents):
            if not folder.is_relative_to(root):
                break
            limit = _number(folder / names[0])
            used = _number(folder / names[1]) if limit is not None and limit < NO_LIMIT else None
            if limit is not None and used is not None:
                rooms.append(limit - used + _cached(folder))
    return min(rooms, default=None)


def _number(file: Path) -> int | None:
    """The number in a file; None where there is none, or "max"."""
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _cached(folder: Path) -> int:
    """Bytes of a control group that are files' contents and go when they are needed."""
    try:
        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    found = dict(line.split(maxsplit=1) for line in lines)
    return int(found.get("total_inactive_file", found.get("inactive_file", 0)))


def _address_room() -> int | None:
    """What the limit on the process' address space leaves it, what was freed and kept for later counted in."""
    try:
        import resource
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return limit - pages * resource.getpagesize() + _kept()
