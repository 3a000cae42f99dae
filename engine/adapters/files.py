"""An adapter as it lies on the disk: a folder of PEFT's with its settings and its small matrices, the headers read.

Nothing is trusted until names and shapes agree with a model (engine/adapters/fitting.py), and a pickle is never opened.
Free of torch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from engine.adapters.settings import AGAIN, CONFIG, PLAIN, Settings, read_settings
from engine.errors import BadModelFiles, UnsupportedModel
from engine.loading.safetensors import PRECISIONS, broken, listed, opened

WEIGHTS = "adapter_model.safetensors"
NAME = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
OTHERS = {
    "lora_magnitude_vector": ("DoRA's magnitudes", PLAIN),
    "lora_embedding_": ("trained embeddings", PLAIN),
    "modules_to_save": ("whole layers", PLAIN),
    "base_layer": ("copies of the model's own weights", "Save it with PEFT's save_embedding_layers=False."),
    "embed": ("trained embeddings", PLAIN),
}
"""What else PEFT writes beside the two matrices of each module, and what to do about it."""

LONGEST, MOST = 300, 2**18
"""Characters of a tensor's name, and how many tensors there may be: the largest model with experts has a tenth."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The two matrices of a module, as their headers say: A [rank, inputs], B [outputs, rank]."""

    A: tuple[int, ...]
    B: tuple[int, ...]

    @property
    def numbers(self) -> int:
        return math.prod(self.A) + math.prod(self.B)


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """pairs: by the name of the module, as PEFT has it. stamp: tells these files from what they were, or will be."""

    path: Path
    settings: Settings
    pairs: dict[str, Pair]
    nbytes: int
    stamp: Hashable

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def numbers(self) -> int:
        return sum(pair.numbers for pair in self.pairs.values())

    @property
    def weights(self) -> Path:
        return self.path / WEIGHTS


def adapter_files(path: str) -> AdapterFiles:
    """The adapter of a folder; BadModelFiles or UnsupportedModel says why it is none that can be used."""
    folder = located(path)
    when = stamp(folder)
    settings = read_settings(folder)
    shapes = _shapes(folder / WEIGHTS)
    pairs = {}
    for name in {name for name, _ in shapes}:
        sides = [shapes.get((name, side)) for side in "AB"]
        if None in sides:
            raise BadModelFiles(f"{folder.name}/{WEIGHTS} holds one of the two matrices of {name} alone.", AGAIN)
        A, B = (side or () for side in sides)
        if len(A) != 2 or len(B) != 2 or A[0] != B[1] or not A[0]:
            raise BadModelFiles(
                f"In {folder.name}/{WEIGHTS} the matrices of {name}, {list(A)} and {list(B)}, are no pair of one rank.",
                AGAIN,
            )
        pairs[name] = Pair(A, B)
    return AdapterFiles(folder, settings, dict(sorted(pairs.items())), (folder / WEIGHTS).stat().st_size, when)


def stamp(folder: Path) -> Hashable:
    """What changes when one of an adapter's files does."""
    try:
        stats = [(folder / name).stat() for name in (CONFIG, WEIGHTS)]
    except OSError as error:
        raise BadModelFiles(f"{folder.name} cannot be read: {error.strerror or error}.", "Check the folder.") from error
    return (str(folder), *((each.st_mtime_ns, each.st_size) for each in stats))


def is_adapter(folder: Path) -> bool:
    return (folder / CONFIG).is_file()


def located(path: str) -> Path:
    """The folder, checked to be one that holds an adapter."""
    folder = Path(path).expanduser().absolute()
    if folder.name in (CONFIG, WEIGHTS):
        folder = folder.parent
    if not folder.exists():
        raise BadModelFiles(f"There is nothing at {folder}.", "Choose a folder that holds an adapter.")
    if not is_adapter(folder):
        raise BadModelFiles(
            f"{folder.name} is not an adapter's folder: it has no {CONFIG}.",
            f"Choose a folder with {CONFIG} and {WEIGHTS}, as PEFT saves them.",
        )
    if (folder / WEIGHTS).is_file():
        return folder
    pickled = next((file.name for kind in ("*.bin", "*.pt", "*.pth") for file in sorted(folder.glob(kind))), None)
    if pickled is not None:
        raise BadModelFiles(
            f"{folder.name} has only {pickled}, a pickle: opening one can run any program, so Vitrine never does.",
            "Look for its safetensors version, or convert it elsewhere with PEFT's save_pretrained.",
        )
    raise BadModelFiles(f"{folder.name} has no {WEIGHTS}.", AGAIN)


def _shapes(file: Path) -> dict[tuple[str, str], tuple[int, ...]]:
    """The shape of each matrix, by its module's name and its side, "A" or "B"."""
    shapes, strange = {}, []
    label = f"{file.parent.name}/{file.name}"
    # The numpy door reads headers without torch.
    with opened(file, "np") as tensors:
        try:
            names = tensors.keys()
            if len(names) > MOST:
                raise BadModelFiles(f"{label} holds more than {MOST:,} tensors.", AGAIN)
            for name in names:
                part, found = tensors.get_slice(name), NAME.fullmatch(name)
                if found is None or len(name) > LONGEST:
                    strange.append(" ".join(name.split())[:LONGEST])
                elif part.get_dtype() not in PRECISIONS:
                    raise UnsupportedModel(
                        f"{label} holds {name} as {part.get_dtype()}, which Vitrine cannot read yet.",
                        "Weights can be F32, F16 or BF16.",
                    )
                else:
                    shapes[found[1], found[2]] = tuple(part.get_shape())
        except SafetensorError as error:
            raise broken(file) from error
    for mark, (what, hint) in OTHERS.items():
        if any(mark in name for name in strange):
            raise UnsupportedModel(
                f"{label} holds {what} beside the matrices of LoRA, which Vitrine cannot do yet.", hint
            )
    if strange:
        raise UnsupportedModel(f"{label} holds {listed(sorted(strange))}, no matrix of LoRA by its name.", PLAIN)
    if not shapes:
        raise BadModelFiles(f"{label} holds no weights.", AGAIN)
    return shapes
