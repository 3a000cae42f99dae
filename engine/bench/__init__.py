"""How fast a model runs here, beside llama.cpp on the same shape and the same bits: `python -m engine bench`.

Rounds of both programs alternate, medians are compared, and the load of the machine stands beside them: a figure of a
busy machine is worth its ratio only. Nothing in the tests depends on a time.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# As the program itself does (engine/jobs); torch reads it once, when it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from engine.bench import cold
from engine.bench.measure import LIVE, Ours, bandwidth, resident
from engine.bench.models import Subject, from_files, from_shape, table_bytes
from engine.bench.peer import Peer, write_gguf
from engine.bench.shapes import SHAPES, Shape
from engine.errors import InvalidValue
from engine.params import LoadParams
from engine.quantize import BITS
from engine.quantize.kernels.choice import chosen

LONG, PRESSED = 4096, (0.7, 1.0, 1.3, 1.6)
"""Tokens whose reading is stopped, and after how many seconds, or sooner where it would be over by then."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured. model: a folder or GGUF file, or else shape is one of SHAPES. threads: 0 chooses.

    precision: "" is the model's own, and for a shape int4. tokens: written in each round. group: weights that share a
    scale, in a shape. against: "llama.cpp" or "". busy: also beside a process that spins. cold: also from the start of
    a process.
    """

    model: str = ""
    shape: str = ""
    threads: int = 0
    precision: str = ""
    prompt_tokens: int = 512
    tokens: int = 32
    rounds: int = 5
    group: int = 32
    against: str = ""
    busy: bool = False
    cold: bool = False


def bench(options: Options) -> dict[str, Any]:
    """Measure; gives what --json prints. Raises EngineError where that cannot be measured."""
    shape = _shape(options)
    if shape is not None:
        subject = from_shape(shape, options.precision or "int4", options.threads, options.group)
    else:
        subject = from_files(
            options.model, LoadParams(precision=options.precision or "auto", device="cpu", threads=options.threads)
        )
    steady, peak = resident()
    result: dict[str, Any] = {
        "model": subject.name,
        "precision": subject.precision,
        "threads": subject.threads,
        "kernels": chosen().name if subject.precision in BITS else torch.backends.cpu.get_cpu_capability(),
        "prompt_tokens": options.prompt_tokens,
        "context": options.prompt_tokens,
        "weight_bytes": subject.weight_bytes,
        "loaded_bytes": steady,
        "loading_peak_bytes": peak,
    }
    with ExitStack() as stack:
        peer = stack.enter_context(_peer(options, shape, subject.threads)) if options.against else None
        result |= _compared(options, subject, peer)
        if options.busy:
            with _spinning():
                result["busy"] = _compared(options, subject, peer)
    result |= _details(options, Ours(subject), result["prefill_tokens_per_s"])
    if options.cold:
        result["cold"] = cold.measure(options.model, shape, options.precision, subject.threads)
    result["peak_bytes"] = resident()[1]
    return result


def _shape(options: Options) -> Shape | None:
    if bool(options.model) == bool(options.shape):
        raise InvalidValue("Give either a model or a shape to measure.", f"Shapes are {', '.join(SHAPES)}.")
    if options.shape and options.shape not in SHAPES:
        raise InvalidValue(f"There is no shape {options.shape}.", f"Choose one of {', '.join(SHAPES)}.")
    return SHAPES[options.shape] if options.shape else None


@contextmanager
def _peer(options: Options, shape: Shape | None, threads: int) -> Iterator[Peer]:
    """llama.cpp on the same: the model's own GGUF file, or one of the shape that is deleted afterwards."""
    if options.against != Peer.name:
        raise InvalidValue(f"It cannot be compared with {options.against}.", f"Choose {Peer.name}.")
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as folder:
        path = Path(options.model)
        if shape is not None:
            path = Path(folder) / "shape.gguf"
            write_gguf(path, shape)
        elif path.suffix != ".gguf":
            raise InvalidValue("llama.cpp reads .gguf files only.", "Give such a file, or a shape.")
        with Peer(path, threads, max(1024, options.prompt_tokens + options.tokens)) as peer:
            yield peer


def _compared(options: Options, subject: Subject, peer: Peer | None) -> dict[str, Any]:
    """Reading and writing, round by round, of each in turn, and what memory gives in between."""
    ours = Ours(subject)
    sides: list[Ours | Peer] = [ours] if peer is None else [ours, peer]
    reading: dict[str, list[float]] = {side.name: [] for side in sides}
    writing: dict[str, list[float]] = {side.name: [] for side in sides}
    rates = []
    for round in range(options.rounds + 1):
        rates.append(bandwidth())
        for side in sides:
            times = side.read(options.prompt_tokens), side.decode(options.tokens)
            if round:  # the first warms up
                reading[side.name].append(times[0])
                writing[side.name].append(times[1])
    prefill = {name: options.prompt_tokens / statistics.median(times) for name, times in reading.items()}
    decode = {name: 1 / statistics.median(times) for name, times in writing.items()}
    result: dict[str, Any] = {
        "decode_tokens_per_s": decode[ours.name],
        "prefill_tokens_per_s": prefill[ours.name],
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }
    limit = statistics.median(rates) / _read_for_a_token(subject, options.prompt_tokens)
    result |= {"memory_limit_tokens_per_s": limit, "share_of_limit": decode[ours.name] / limit}
    if peer is not None:
        result["peer"] = {
            "name": f"{peer.name} (llama-cpp-python {peer.version})",
            "decode_tokens_per_s": decode[peer.name],
            "prefill_tokens_per_s": prefill[peer.name],
        }
        result["decode_ratio"] = decode[ours.name] / decode[peer.name]
        result["prefill_ratio"] = prefill[ours.name] / prefill[peer.name]
    return result


def _read_for_a_token(subject: Subject, context: int) -> int:
    """Bytes that no program gets round: the weights, of an embedding that is no head only a row, keys and values."""
    config = subject.model.config
    cached = 8 * context * config.layers * config.kv_heads * config.head_dim  # float32
    return subject.weight_bytes - table_bytes(subject.model) + cached


def _details(options: Options, ours: Ours, prefill: float) -> dict[str, Any]:
    """The first token, live panes, and how soon it stops."""
    first = statistics.median(ours.first_token(options.prompt_tokens) for _ in range(min(3, options.rounds)))
    closed, live = [], []
    for _ in range(options.rounds):
        closed.append(ours.decode(options.tokens))
        live.append(ours.decode(options.tokens, LIVE))
    long = min(LONG, ours.context)
    stops = [ours.stop(long, min(seconds, 0.2 * long / prefill)) for seconds in PRESSED]
    return {
        "first_token_s": first,
        "live_panes_share": statistics.median(closed) / statistics.median(live),
        "stop_s": max(stops),
    }


@contextmanager
def _spinning() -> Iterator[None]:
    """A process that keeps one core busy."""
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        child.kill()
        child.wait()
