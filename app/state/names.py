"""What the tokens of the loaded models look like, asked for once and kept; until it is known, a token is its id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

from PySide6.QtCore import QObject, Signal

from app.state.workspace import Workspace
from engine import Event, NamePieces, Tokenized, TokenRecord


class Vocabulary(NamedTuple):
    """second: of the second model. source: of what an encoder-decoder reads, which may be another than it writes."""

    second: bool = False
    source: bool = False


class Names(QObject):
    """changed: more of them are known."""

    changed = Signal()

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._pieces: dict[tuple[Vocabulary, int], str] = {}
        self._asked: set[tuple[Vocabulary, int]] = set()

    def of(self, vocabulary: Vocabulary, ids: Sequence[int]) -> list[str]:
        """The pieces of these ids; those not known yet are asked for, and show as their id until they are."""
        unknown = {(vocabulary, i) for i in ids if (vocabulary, i) not in self._pieces} - self._asked
        if unknown:
            self._asked |= unknown
            asked = NamePieces(tuple(sorted(i for _, i in unknown)), vocabulary.source, vocabulary.second)
            self._workspace.submit(asked, partial(self._on_pieces, vocabulary))
        return [self._pieces.get((vocabulary, i), f"<id {i}>") for i in ids]

    def learn(self, vocabulary: Vocabulary, records: Iterable[TokenRecord]) -> None:
        """Take the pieces that tokens were recorded with."""
        for record in records:
            if (vocabulary, record.id) not in self._pieces:
                piece = record.pieces[record.chosen] if record.chosen >= 0 else record.text
                self._pieces[vocabulary, record.id] = piece

    def forget(self, second: bool) -> None:
        """The second model, or the first, is another one now."""
        self._pieces = {key: piece for key, piece in self._pieces.items() if key[0].second != second}
        self._asked = {key for key in self._asked if key[0].second != second}

    def _on_pieces(self, vocabulary: Vocabulary, event: Event) -> None:
        if isinstance(event, Tokenized):
            self._pieces.update(((vocabulary, i), piece) for i, piece in zip(event.ids, event.pieces))
            self.changed.emit()
