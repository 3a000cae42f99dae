"""Which models could draft for another: those that write on from a text, are smaller, and name their ids alike.

Nothing of their weights is read, only tokenizers, and those only where a card does not rule its model out already. They
are compared in a process of their own: the library reads a large tokenizer in one breath, for as long as a second, and
no other thread of the process would get a turn.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.errors import EngineError
from engine.messages import ModelCard
from engine.text.tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parents[2]
ALIKE, OTHER = "alike", "other"


def refusals(model: ModelCard, cards: tuple[ModelCard, ...]) -> Iterator[tuple[str, str]]:
    """The path of each model that can be run, and why it cannot draft for the first, "" where it can."""
    rest = []
    for card in cards:
        if not card.supported:
            continue
        if card.kind != "decoder":
            yield card.path, "does not write on from a text"
        elif card.parameters >= model.parameters:
            yield card.path, "not smaller"
        else:
            rest.append(card.path)
    for path, fits in zip(rest, compared(model.path, rest)):
        yield path, "" if fits else "another tokenizer"


def alike(a: Tokenizer, b: Tokenizer) -> bool:
    """Whether two tokenizers name the same ids the same; one may have more of them."""
    return all(a.token(id) == b.token(id) for id in range(min(a.vocabulary_size, b.vocabulary_size)))


_known: dict[tuple[str, str], bool] = {}
"""What was compared before, by the paths of both and when what lies there was last changed."""


def compared(own: str, others: Sequence[str]) -> Iterator[bool]:
    """Whether each model's tokenizer is like one's own; one that cannot be read is not."""
    keys = {other: (_stamp(own), _stamp(other)) for other in others}
    new = [other for other in others if keys[other] not in _known]
    if not new:
        yield from (_known[keys[other]] for other in others)
        return
    child = subprocess.Popen(
        [sys.executable, "-m", __name__, *map(os.path.abspath, (own, *new))],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    assert child.stdout is not None
    try:
        for other in others:
            if keys[other] not in _known and (line := child.stdout.readline()):
                _known[keys[other]] = line.strip() == ALIKE
            yield _known.get(keys[other], False)  # the process may have ended before its time
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def _stamp(path: str) -> str:
    try:
        return f"{path} {os.stat(path).st_mtime_ns}"
    except OSError:
        return path


def main(own: str, *others: str) -> None:
    """Print a line for each of the others, in their order."""
    tokenizer = Tokenizer.load(own)
    for other in others:
        try:
            fits = alike(Tokenizer.load(other), tokenizer)
        except EngineError:  # loading it would say what is wrong
            fits = False
        print(ALIKE if fits else OTHER, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
