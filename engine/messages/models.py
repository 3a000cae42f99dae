"""Models: what is known of one on the disk, what it would take, and loading it.

The commands on files (Scan and below) have a thread of their own, so they answer while a model loads or writes.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.messages.base import Command, Event
from engine.params import LoadParams, SamplingParams


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a model's memory beside its weights depends on; an encoder-decoder's are its decoder's.

    widest: the longest state inside a block. largest: the numbers of the largest tensor. windows: how many positions
    each layer sees, None for all; an encoder, which keeps nothing of a text, has none. half: whether a text is kept in
    half precision where the weights have 8 bits or fewer.
    """

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    width: int
    widest: int
    largest: int
    windows: tuple[int | None, ...]
    half: bool = False


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known of a model folder without loading it. reason: why it is not supported, one sentence.

    bytes_in_memory: what its weights take in each precision; none where it cannot be run. chat_format: the name of the
    fallback that is its chat template, "" where that is its own.
    """

    path: str
    name: str
    family: str = ""
    kind: str = ""
    supported: bool = False
    reason: str = ""
    hint: str = ""
    parameters: int = 0
    bytes_on_disk: int = 0
    bytes_in_memory: tuple[tuple[str, int], ...] = ()
    context: int = 0
    precision: str = ""
    tokenizer: str = ""
    chat_template: bool = False
    chat_format: str = ""
    bundled: bool = False
    note: str = ""
    sizes: Sizes | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a model would take in memory, in bytes, beside what is free.

    cache: of what is kept of a text of `context` tokens; capture, scratch: at most, while it is read. verdict: "fits",
    "tight" or "too large"; "" where the system does not say what is free. longest: the tokens of the longest text that
    fits. instead: the precision to take where this one is too large, "" where none fits.
    """

    path: str
    precision: str
    weights: int
    cache: int
    capture: int
    scratch: int
    context: int
    free: int | None
    verdict: str
    longest: int
    instead: str = ""

    @property
    def needed(self) -> int:
        return self.weights + self.cache + self.capture + self.scratch


@dataclass(frozen=True, slots=True)
class Held:
    """Matrices of a model that are held alike. form: "4 bits in groups of 32", or a plain precision such as "fp32".

    why: the reason where it is not what was asked for. error: how far the weights are off by rounding, root mean
    square, relative to their own; 0 where they are what the file has.
    """

    form: str
    matrices: int
    weights: int
    nbytes: int
    why: str = ""
    error: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The loaded model. defaults: the sampling that its generation_config asks for, over Vitrine's own.

    layers and heads are the decoder's where it has one; encoder_layers and encoder_heads an encoder-decoder's other
    side's, else 0. use: what an encoder was trained for: fill, classify or embed (all of them embed too).
    chat_format: the name of the fallback template in use because the files hold none, else "".
    runs: in what numbers and with what kernels it runs, and why, one sentence. held: its matrices, where some are in
    groups of few bits. foreseen: the bytes that its weights were to take; measured: by how much the process grew while
    they were placed, 0 where the system does not say.
    """

    path: str
    name: str
    family: str
    kind: str
    parameters: int
    bytes_in_memory: int
    layers: int
    heads: int
    kv_heads: int
    width: int
    vocabulary: int
    context: int
    device: str
    precision: str
    threads: int
    chat_template: bool
    defaults: SamplingParams
    from_model: tuple[str, ...] = ()
    note: str = ""
    encoder_layers: int = 0
    encoder_heads: int = 0
    use: str = ""
    chat_format: str = ""
    runs: str = ""
    held: tuple[Held, ...] = ()
    foreseen: int = 0
    measured: int = 0


# --- commands to the model's thread -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Load(Command):
    """Load a model folder; the model before it stays usable until this one is whole. -> Progress, Loaded."""

    path: str
    params: LoadParams = LoadParams()


@dataclass(frozen=True, slots=True)
class LoadDraft(Command):
    """Load a small model of the same tokenizer beside the loaded one, to draft for it; "" puts it down.

    It runs on the same device. -> Progress, DraftLoaded.
    """

    path: str
    params: LoadParams = LoadParams()


@dataclass(frozen=True, slots=True)
class LoadSecond(Command):
    """Load a model beside the loaded one, to compare with; "" puts it down. -> Progress, SecondLoaded."""

    path: str
    params: LoadParams = LoadParams()


@dataclass(frozen=True, slots=True)
class Unload(Command):
    """Give the model's memory back. -> Unloaded."""


# --- commands to the files' thread --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scan(Command):
    """Look for models in these folders, each either a model itself or a folder of models. -> Cards."""

    folders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inspect(Command):
    """-> Cards with one card."""

    path: str


@dataclass(frozen=True, slots=True)
class ForecastMemory(Command):
    """What the models of these cards would take, loaded in this way. -> Forecasts.

    in_use: the bytes of a model in memory that would go first.
    """

    cards: tuple[ModelCard, ...]
    params: LoadParams = LoadParams()
    in_use: int = 0


@dataclass(frozen=True, slots=True)
class FindDrafters(Command):
    """Which of the models of these cards could draft for the model at a path. -> Drafters."""

    path: str
    cards: tuple[ModelCard, ...]


@dataclass(frozen=True, slots=True)
class CountKept(Command):
    """How much is kept of models that were quantised, so that it need not be done again. clear: remove it. -> Kept."""

    clear: bool = False


# --- events -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Loaded(Event):
    info: ModelInfo


@dataclass(frozen=True, slots=True)
class DraftLoaded(Event):
    """name: the model that drafts now, "" for none."""

    name: str
    bytes_in_memory: int = 0


@dataclass(frozen=True, slots=True)
class SecondLoaded(Event):
    """None: there is no second model now."""

    info: ModelInfo | None


@dataclass(frozen=True, slots=True)
class Unloaded(Event):
    pass


@dataclass(frozen=True, slots=True)
class Cards(Event):
    cards: tuple[ModelCard, ...]


@dataclass(frozen=True, slots=True)
class Forecasts(Event):
    """One of each card of which enough is known, in their order."""

    forecasts: tuple[Forecast, ...]


@dataclass(frozen=True, slots=True)
class Drafters(Event):
    """The path of each model that can be run, and why it cannot draft, a few words; "" where it can."""

    refusals: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Kept(Event):
    """What is kept of quantised models, or what was removed where that was asked for."""

    models: int
    nbytes: int
