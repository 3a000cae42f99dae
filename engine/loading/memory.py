"""How much memory a model may take without pushing other programs out."""

from __future__ import annotations

from pathlib import Path


def available() -> int | None:
    """Bytes that can be used without swapping, as the system estimates it; None where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    values = dict(line.split(":", 1) for line in lines)
    return int(values["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in values else None
