"""What happens inside the model: attention, what each layer would say, and positions."""

from __future__ import annotations

from dataclasses import dataclass

from engine.messages.arrays import Floats, Integers
from engine.messages.base import Command, Event
from engine.messages.generating import Prompt
from engine.params import AdapterUse, CaptureParams

# --- commands -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attend(Command):
    """Read a context again, from its start, only to capture its attention. -> Started, Progress, Attention...

    second: by the second model. adapters: as in Generate.
    """

    prompt: Prompt
    capture: CaptureParams
    second: bool = False
    adapters: tuple[AdapterUse, ...] = ()


@dataclass(frozen=True, slots=True)
class Lens(Command):
    """What the model would say after each layer, for a text that is read again. -> Progress, LensRows.

    first: the position to begin with. best: how many of the likeliest tokens. second: by the second model.
    adapters: as in Generate.
    """

    prompt: Prompt
    first: int = 0
    best: int = 5
    second: bool = False
    adapters: tuple[AdapterUse, ...] = ()


@dataclass(frozen=True, slots=True)
class Positions(Command):
    """How the model tells positions apart, and which of them each token sees. -> PositionMaps.

    length: of how many positions, from the first on; 0 is the whole context. second: of the second model.
    """

    length: int = 0
    second: bool = False


# --- events -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class AttentionRows(Event):
    """Attention of the tokens at positions start, start + 1, ...: float16 [L, H, T, S].

    layers names each of the L, all of one part: "layers.3.self" (of a decoder: S = start + T, zero in a row's future;
    of an encoder: S is the text), "layers.3.cross" (rows are the target's, S the source), "encoder.3.self" (both are
    the source). The outbox keeps at most a budget of bytes and drops the oldest.
    """

    start: int
    layers: tuple[str, ...]
    weights: Floats


@dataclass(frozen=True, slots=True, eq=False)
class AttentionThumbnails(Event):
    """Latest wins for each part. Mean attention per cell: float32 [L, H, n, m], NaN where not captured.

    A cell is `cell` tokens high, and as wide, but where the columns are a source's: there m cells share its tokens.
    """

    tokens: int
    cell: int
    layers: tuple[str, ...]
    cells: Floats


@dataclass(frozen=True, slots=True, eq=False)
class LensRows(Event):
    """What each of L layers would say at R positions from `first` on, K tokens each; the last layer is the model.

    ids: the whole text. names [L]: "embedding" is what enters the first block, "layers.N" what leaves block N.
    tops int32 [L, R, K], probabilities float32 [L, R, K]; entropies float32 [L, R] in nats; said float32 [L, R]: what
    the layer gives to the token that the last layer finds likeliest. pieces: of every id in tops.
    """

    ids: tuple[int, ...]
    first: int
    names: tuple[str, ...]
    tops: Integers
    probabilities: Floats
    entropies: Floats
    said: Floats
    pieces: dict[int, str]


@dataclass(frozen=True, slots=True, eq=False)
class PositionMap:
    """One map of a model's positions: float32 [R, N] with the numbers of its rows and columns.

    kind: "learned" or "sinusoidal" (what is added to a token: positions x channels), "rotary" (angles in radians:
    positions x pairs of channels), "alibi" or "relative" (what is added to a score: heads x distances, a key before
    its query at a negative one), "mask" (1 where a position, the row, sees another). side: "layers" or "encoder".
    layers: those that it is of, None for all. says: what it is, one sentence.
    """

    kind: str
    side: str
    layers: tuple[int, ...] | None
    rows: Integers
    columns: Integers
    values: Floats
    says: str


@dataclass(frozen=True, slots=True, eq=False)
class PositionMaps(Event):
    """Signals, then masks, of the first `length` positions."""

    length: int
    maps: tuple[PositionMap, ...]
