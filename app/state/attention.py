"""The parts of a model's attention, and the rows of one context, kept within a budget of bytes; the oldest go first.

Which rows there are is always known, so what was not captured is NaN, never zero. It knows positions and ids, not
messages: `app.state.captures` says which context is looked at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # numpy is slow to import and not needed before the first rows
    import numpy as np
    import numpy.typing as npt

    Weights = npt.NDArray[np.float32]
else:
    Weights = object

BUDGET = 64 * 2**20
MEAN = -1
"""As a head: the mean over all heads."""


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of attention. looks, seen: whose tokens the rows and the columns are, "target" or "source".

    What is written (or continued) is the target; what is read at once, both ways, is the source.
    """

    title: str
    hint: str
    looks: str = "target"
    seen: str = "target"
    side: str = "layers"
    what: str = "self"

    def name(self, layer: int) -> str:
        """The engine's name of this attention in one layer."""
        return f"{self.side}.{layer}.{self.what}"

    @property
    def causal(self) -> bool:
        """Whether a token sees none that comes after it."""
        return self.seen == "target"


DECODER = Part("Self", "Where each token looks in the text before it")
CROSS = Part("Cross", "Where each token of the target looks in the source", seen="source", what="cross")
ENCODER = Part("Source", "Where each token of the source looks in the source", "source", "source", "encoder")
BOTH_WAYS = Part("Self", "Where each token looks in the whole text", "source", "source")
PARTS = {
    "decoder": (DECODER,),
    "encoder-decoder": (DECODER, CROSS, ENCODER),
    "encoder": (BOTH_WAYS,),
}
"""By the kind of model."""


@dataclass(slots=True, eq=False)
class _Block:
    start: int
    layers: tuple[str, ...]
    weights: npt.NDArray[np.floating]  # [L, H, T, S]

    def read(self, layer: str, head: int, position: int, columns: int | None) -> Weights:
        end = position + 1 if columns is None else columns
        rows = self.weights[self.layers.index(layer), :, position - self.start, :end]
        if head == MEAN:  # widened first, which is quicker than numpy's own sums of half-precision numbers
            mean: Weights = rows.astype("float32").mean(0)
            return mean
        return rows[head].astype("float32")


class AttentionStore:
    """ids: the context whose rows these are, prompt and answer so far. source: what an encoder read beside or for it.

    columns, below: how many tokens each row looks at; None where these are those up to its own.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self.ids: list[int] = []
        self.source: tuple[int, ...] = ()
        self.version = 0
        """Another number whenever rows that were read before may be other ones."""
        self._budget = budget
        self._blocks: deque[_Block] = deque()
        self._bytes = 0
        self._where: dict[str, dict[int, _Block]] = {}
        self._mapped: tuple[str, int] = ("", 0)
        self._lines: dict[int, Weights] = {}  # rows of the map asked for last: while it grows, only new ones are read

    def restart(self, ids: Sequence[int], source: Sequence[int] = ()) -> None:
        """Another context begins; the rows of the part that both share stay, for they would be the same again."""
        read = tuple(source) == self.source
        keep = shared(self.ids, ids) if read else 0
        for name, rows in self._where.items():
            if source and read and (name.startswith(ENCODER.side) or not self.ids):
                continue  # rows of the source alone
            for position in [p for p in rows if p >= keep]:
                del rows[position]
        self._lines.clear()
        self._sweep()
        self.version += 1
        self.ids, self.source = list(ids), tuple(source)

    def clear(self) -> None:
        self.restart(())

    def add(self, start: int, layers: tuple[str, ...], weights: npt.NDArray[np.floating]) -> None:
        """Keep the rows of positions start, start + 1, ...: weights [L, H, T, S], all of one part."""
        block = _Block(start, layers, weights)
        for layer in layers:
            rows = self._where.setdefault(layer, {})
            rows.update(dict.fromkeys(range(start, start + weights.shape[2]), block))
        self._forget_lines(start, weights.shape[2])
        self._blocks.append(block)
        self._bytes += weights.nbytes
        while self._bytes > self._budget and len(self._blocks) > 1:
            self._drop_oldest()

    def row(self, layer: str, head: int, position: int, columns: int | None = None) -> Weights | None:
        """Where the token at this position looked: float32 [position + 1 or columns]; None if it was not captured."""
        block = self._where.get(layer, {}).get(position)
        return None if block is None else block.read(layer, head, position, columns)

    def map(self, layer: str, head: int, count: int, columns: int | None = None) -> tuple[Weights, int]:
        """Rows from the first captured one on, float32 [rows, count or columns] with NaN elsewhere, and that position.

        count: how many positions of the context look.
        """
        import numpy as np

        width = count if columns is None else columns

        rows = {p: block for p, block in self._where.get(layer, {}).items() if p < count}
        if not rows:
            return np.empty((0, width), np.float32), count
        if self._mapped != (layer, head):
            self._mapped = layer, head
            self._lines.clear()
        first = min(rows)
        result = np.full((max(rows) + 1 - first, width), np.nan, np.float32)
        for position, block in rows.items():
            line = self._lines.get(position)
            if line is None:
                line = self._lines[position] = block.read(layer, head, position, columns)
            result[position - first, : len(line)] = line
        return result, first

    def _drop_oldest(self) -> None:
        """Let go of the older half of the oldest block, or of all of it if it is small."""
        block = self._blocks.popleft()
        self._bytes -= block.weights.nbytes
        half = -(-block.weights.shape[2] // 2)
        self._forget_lines(block.start, half)
        for layer in block.layers:
            rows = self._where[layer]
            for position in range(block.start, block.start + half):
                if rows.get(position) is block:
                    del rows[position]
        if half < block.weights.shape[2]:
            rest = block.weights[:, :, half:].copy()
            block.start, block.weights = block.start + half, rest
            self._blocks.appendleft(block)
            self._bytes += rest.nbytes

    def _forget_lines(self, start: int, count: int) -> None:
        for position in range(start, start + count):
            self._lines.pop(position, None)

    def _sweep(self) -> None:
        """Let go of the blocks that no row refers to any more."""
        used = {id(block) for rows in self._where.values() for block in rows.values()}
        self._blocks = deque(block for block in self._blocks if id(block) in used)
        self._bytes = sum(block.weights.nbytes for block in self._blocks)


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids two contexts begin with in common."""
    size = min(len(one), len(other))
    if list(one[:size]) == list(other[:size]):  # the usual case, at the speed of C
        return size
    for index, (mine, theirs) in enumerate(zip(one, other)):
        if mine != theirs:
            return index
    return size
