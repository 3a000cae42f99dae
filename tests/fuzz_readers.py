"""Spoil model files at random and read them: each gives a model or one clear sentence, within time and memory.

`python tests/fuzz_readers.py COUNT [SEED [FOLDER]]` runs COUNT files, those of FOLDER's GGUF files too; the tests run a
few hundred. Most mutations hit headers: counts, lengths, offsets, names and JSON. A failure prints the seed that makes
the same file again.
"""

from __future__ import annotations

import json
import random
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":  # as a script it stands beside the packages, not above them
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # noqa: F401, its own memory is not the readers'

from engine.errors import EngineError
from engine.gguf_parts import parts
from engine.loading.catalog import inspect
from engine.loading.checkpoint import checkpoint
from engine.text.tokenizer import Tokenizer

SECONDS = 5.0
MEGABYTES = 256
EXTREMES = [0, 1, 2**7, 2**16, 2**31 - 1, 2**32 - 1, 2**40, 2**62, 2**63, 2**64 - 1]
Mutation = Callable[[random.Random, bytearray, int], None]


def flip_bit(source: random.Random, data: bytearray, end: int) -> None:
    data[source.randrange(end)] ^= 1 << source.randrange(8)


def set_byte(source: random.Random, data: bytearray, end: int) -> None:
    data[source.randrange(end)] = source.choice((0, 1, 8, 9, 127, 128, 255, ord('"'), ord("{"), ord("]")))


def set_number(source: random.Random, data: bytearray, end: int) -> None:
    """An extreme where a count, a length or an offset may be."""
    width, code = source.choice(((4, "<I"), (8, "<Q")))
    at = source.randrange(max(1, end - width))
    data[at : at + width] = struct.pack(code, source.choice(EXTREMES) % 2 ** (8 * width))


def truncate(source: random.Random, data: bytearray, end: int) -> None:
    del data[source.randrange(len(data)) :]


def cut_out(source: random.Random, data: bytearray, end: int) -> None:
    at = source.randrange(end)
    del data[at : at + source.randrange(1, 64)]


def repeat(source: random.Random, data: bytearray, end: int) -> None:
    at = source.randrange(end)
    data[at:at] = data[at : at + source.randrange(1, 256)]


def flip_anywhere(source: random.Random, data: bytearray, end: int) -> None:
    data[source.randrange(len(data))] ^= 1 << source.randrange(8)


MUTATIONS: tuple[Mutation, ...] = (
    flip_bit, set_byte, set_byte, set_number, set_number, set_number, truncate, cut_out, repeat, flip_anywhere,
)  # fmt: skip


def spoiled(data: bytes, header: int, seed: int) -> bytes:
    """The bytes with one to four mutations, most of them before header."""
    source = random.Random(seed)
    found = bytearray(data)
    for _ in range(source.choice((1, 1, 2, 4))):
        if found:
            source.choice(MUTATIONS)(source, found, max(1, min(header, len(found))))
    return bytes(found)


def read(path: Path) -> str:
    """Inspect a model, use its tokenizer and read its weights; "" or the sentence that this gave."""
    said = ""
    for step in (_inspect, _tokenize, _weights):
        try:
            step(path)
        except EngineError as error:
            said = error.message
            assert said and "\n" not in said, said
    return said


def _inspect(path: Path) -> None:
    card = inspect(str(path))
    assert card.supported or card.reason


def _tokenize(path: Path) -> None:
    tokenizer = Tokenizer.load(str(path))
    tokenizer.decode(tokenizer.encode("Once upon a time"))


def _weights(path: Path) -> None:
    weights = checkpoint(str(path)).weights()
    for _, tensor in weights.read(list(weights.entries)):
        assert tensor.numel() > 0


def run(sources: list[Path], count: int, first: int = 0) -> dict[str, float]:
    """Read count spoiled files; how many were refused, the longest time, the growth of memory in MB.

    A source is a GGUF file, beside which lie the other parts if it is one of several, or a folder, of which its
    safetensors file or a JSON beside it is spoiled.
    """
    before = _peak()
    refused, longest, largest = 0, 0.0, 0
    with tempfile.TemporaryDirectory() as place:
        for seed in range(first, first + count):
            path, size = _written(Path(place), sources[seed % len(sources)], seed)
            begun = time.process_time()
            try:
                refused += bool(read(path))
            except BaseException:
                print(f"seed {seed}", file=sys.stderr)
                raise
            taken = time.process_time() - begun
            assert taken < SECONDS, f"seed {seed} took {taken:.1f} s"
            longest, largest = max(longest, taken), max(largest, size)
    grown = _peak() - before
    assert grown < MEGABYTES + 2 * largest / 2**20, f"memory grew by {grown:.0f} MB"
    return {"refused": refused, "seconds": longest, "megabytes": grown}


def _peak() -> float:
    """The most memory this process ever had, in MB; 0 where the system does not say so in these units."""
    if sys.platform != "linux":
        return 0.0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _written(place: Path, source: Path, seed: int) -> tuple[Path, int]:
    """The spoiled copy of a source, and its size in bytes."""
    if source.is_file():
        found = {part: part.read_bytes() for part in parts(source)}
        found[source] = spoiled(found[source], _gguf_header(source), seed)
        for part, data in found.items():
            (place / part.name).write_bytes(data)
        return place / source.name, sum(map(len, found.values()))
    folder = place / "spoiled"
    folder.mkdir(exist_ok=True)
    files = {file.name: file.read_bytes() for file in sorted(source.iterdir()) if file.is_file()}
    names = ["model.safetensors", "model.safetensors", *(name for name in files if name.endswith(".json"))]
    chosen = names[random.Random(seed).randrange(len(names))]
    data = files[chosen]
    header = 8 + struct.unpack("<Q", data[:8])[0] if chosen.endswith(".safetensors") else len(data)
    files[chosen] = spoiled(data, header, seed)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder, sum(map(len, files.values()))


def _gguf_header(path: Path) -> int:
    from engine.gguf import GGUF

    file = GGUF(path, alone=True)
    return min((info.offset for info in file.tensors.values()), default=file.size)


if __name__ == "__main__":
    references = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    root = Path(__file__).resolve().parents[1] / "assets" / "models"
    places = [root / "stories260K", root / "babyllama-361"]
    if references:
        places += sorted(references.rglob("*.gguf"))
    start = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    print(json.dumps(run(places, int(sys.argv[1]), start)))
