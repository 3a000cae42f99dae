"""From the start of a process to the first token, in parts, beside the least that any such program has to do.

That least is to start Python, import torch and read the file. Each is a fresh process; the file is in the system's
cache for both.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from engine.bench.models import from_shape, words
from engine.bench.shapes import Shape
from engine.errors import EngineError, InvalidValue

TIMES = 5
BARE = "import sys, torch\nwith open(sys.argv[1], 'rb') as file:\n    while file.read(1 << 24): pass"


def measure(model: str, shape: Shape | None, precision: str, threads: int) -> dict[str, Any]:
    """Medians in seconds: the whole, its parts, and the bare start that it is compared with."""
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as folder:
        if shape is not None:
            model = folder
            write_checkpoint(Path(folder), shape)
        file = _weights(Path(model))
        command = [sys.executable, "-m", "engine", "generate", model, "--ids", "1 2 3 4", "--max-new-tokens", "1"]
        command += ["--timing", "--json", "--threads", str(threads), *(["--precision", precision] if precision else [])]
        wholes, bares, parts = [], [], []
        for _ in range(TIMES):
            seconds, out = _timed(command)
            wholes.append(seconds)
            parts.append(json.loads(out)["timing"])
            bares.append(_timed([sys.executable, "-c", BARE, str(file)])[0])
    return {
        "first_token_s": statistics.median(wholes),
        "bare_s": statistics.median(bares),
        "ratio": statistics.median(wholes) / statistics.median(bares),
        "parts": {name: statistics.median(each[name] for each in parts) for name in parts[0]},
    }


def _timed(command: list[str]) -> tuple[float, str]:
    begun = time.perf_counter()
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    if ran.returncode:
        raise EngineError("A cold start could not be measured.", ran.stderr.strip().splitlines()[-1])
    return time.perf_counter() - begun, ran.stdout


def _weights(path: Path) -> Path:
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
    if not files:
        raise InvalidValue(f"{path} holds no weights.")
    return files[0]


def write_checkpoint(folder: Path, shape: Shape) -> None:
    """The shape as a checkpoint in bf16."""
    from safetensors.torch import save_file

    model = from_shape(shape, "bf16", torch.get_num_threads()).model
    save_file(dict(model.named_parameters()), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(shape.config()), encoding="utf-8")
    words(shape.vocabulary).save(str(folder / "tokenizer.json"))
