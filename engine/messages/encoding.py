"""What encoders answer: fillers for masks, labels, sentence vectors and neighbours among the embeddings."""

from __future__ import annotations

from dataclasses import dataclass

from engine.messages.arrays import Floats
from engine.messages.base import Command, Event
from engine.params import AdapterUse


@dataclass(frozen=True, slots=True)
class Filler:
    """One candidate for a mask."""

    id: int
    token: str
    probability: float


# --- commands -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fill(Command):
    """Candidates for every mask in a text, best first (encoders with a masked-language head). -> Filled.

    The mask is written as the tokenizer's own mask token, or as "[MASK]".
    """

    text: str
    candidates: int = 20
    adapters: tuple[AdapterUse, ...] = ()


@dataclass(frozen=True, slots=True)
class Classify(Command):
    """The labels of a sequence-classification head. pair: the second text of two that are compared. -> Classified."""

    text: str
    pair: str | None = None
    adapters: tuple[AdapterUse, ...] = ()


@dataclass(frozen=True, slots=True)
class Embed(Command):
    """Sentence vectors, pooled and normalised as the model's folder declares. -> Embedded."""

    texts: tuple[str, ...]
    adapters: tuple[AdapterUse, ...] = ()


@dataclass(frozen=True, slots=True)
class NearestWords(Command):
    """Pieces whose input embeddings lie nearest, by cosine, to the sum of `plus` minus that of `minus`. -> Nearest."""

    plus: tuple[str, ...]
    minus: tuple[str, ...] = ()
    count: int = 10


# --- events -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Filled(Event):
    """For each mask, its position among the ids and its candidates, best first."""

    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    masks: tuple[tuple[int, tuple[Filler, ...]], ...]


@dataclass(frozen=True, slots=True)
class Classified(Event):
    """Labels with their probabilities, best first."""

    labels: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Embedded(Event):
    """vectors float32 [N, C]; similarities float32 [N, N], cosines."""

    vectors: Floats
    similarities: Floats


@dataclass(frozen=True, slots=True)
class Nearest(Event):
    """Pieces with their cosine, nearest first; those asked with are left out."""

    words: tuple[tuple[str, float], ...]
