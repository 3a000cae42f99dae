"""Attention rollout: how much of each token is in the state of another behind all layers, as far as attention moves it.

Source: Abnar and Zuidema (2020), "Quantifying Attention Flow in Transformers": in each layer the mean of the heads and
what stays in place count half each, and the layers are multiplied. It needs every row of every layer, so it is there
only where all of them were captured. The means are taken a few milliseconds at a time, so that no window waits.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from app.state.attention import MEAN, AttentionStore, Weights

if TYPE_CHECKING:  # numpy is slow to import and not needed before the first rows
    import numpy as np
    import numpy.typing as npt

MOST = 32 * 2**20
"""Bytes of the means of all layers; a text for which they take more has no rollout."""
TURN = 0.008  # seconds of work at a time


class Rollout:
    """Of the rows of one store, whose means it keeps as they come."""

    def __init__(self, store: AttentionStore) -> None:
        self._store = store
        self._means: dict[str, npt.NDArray[np.float32]] = {}
        self._read: dict[str, int] = {}
        self._version = -1
        self.pending = False
        """Whether the last answer was None only because there is more work to do: ask again."""

    def row(self, names: list[str], position: int, columns: int | None = None) -> Weights | None:
        """Of the token at this position, float32 [position + 1 or columns]; None where rows are missing, or not yet.

        names: of all layers of one part, the first first. columns: as in the store.
        """
        import numpy as np

        self.pending = False
        count = position + 1 if columns is None else columns
        if position < 0 or not self.fits(len(names), count):
            return None
        if self._version != self._store.version:
            self._version = self._store.version
            self._means.clear()
            self._read.clear()
        end = time.monotonic() + TURN
        for name in names:
            while self._read.get(name, 0) < count:
                if time.monotonic() > end:
                    self.pending = True
                    return None
                if not self._take(name, count, columns):
                    return None
        state = np.zeros(count, np.float32)
        state[position] = 1.0
        for name in reversed(names):
            state = 0.5 * state + 0.5 * (state @ self._means[name][:count, :count])
        return state

    def fits(self, layers: int, count: int) -> bool:
        """Whether the means of so many layers and tokens may be kept."""
        return layers * count * count * 4 <= MOST

    def _take(self, name: str, count: int, columns: int | None) -> bool:
        """Read the mean of one row more; False where it was not captured."""
        import numpy as np

        where = self._read.get(name, 0)
        line = self._store.row(name, MEAN, where, columns)
        if line is None:
            return False
        known = self._means.get(name)
        if known is None or len(known) < count:
            size = -(-count // 128) * 128  # while an answer grows it is copied once in a while
            grown = np.zeros((size, size), np.float32)
            if known is not None:
                grown[: len(known), : len(known)] = known
            known = self._means[name] = grown
        known[where, : len(line)] = line
        self._read[name] = where + 1
        return True
