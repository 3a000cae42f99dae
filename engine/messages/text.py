"""Given texts: as tokens, as a chat template renders them, and how likely a model finds them."""

from __future__ import annotations

from dataclasses import dataclass

from engine.messages.base import Command, Event
from engine.messages.generating import Message, Prompt, TokenRecord
from engine.params import AdapterUse

# --- commands -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tokenize(Command):
    """-> Tokenized. special: add what the tokenizer's post-processor adds.

    setting: as a text among the sampling settings is read, in the vocabulary of what is written, nothing added.
    """

    text: str
    special: bool = True
    setting: bool = False


@dataclass(frozen=True, slots=True)
class TokenizeWith(Command):
    """The same with the tokenizer of a model folder or a GGUF file, whose weights are not read. -> Tokenized."""

    path: str
    text: str
    special: bool = True


@dataclass(frozen=True, slots=True)
class NamePieces(Command):
    """What tokens look like, whatever text they came from: a start token that no text holds, too. -> Tokenized.

    source: they are what an encoder-decoder reads, which may have another vocabulary than what it writes.
    second: of the second model.
    """

    ids: tuple[int, ...]
    source: bool = False
    second: bool = False


@dataclass(frozen=True, slots=True)
class RenderTemplate(Command):
    """Render messages with the model's own chat template. -> Rendered."""

    messages: tuple[Message, ...]
    add_generation_prompt: bool = True


@dataclass(frozen=True, slots=True)
class Score(Command):
    """How likely the model finds a given text: a text, an encoder-decoder's target for a source, or, by masking each
    of its tokens in turn, what an encoder reads. -> Progress, Scored.

    candidates: how many to record for each token; 0 records none. second: by the second model. adapters: as
    in Generate.
    """

    prompt: Prompt
    candidates: int = 0
    second: bool = False
    adapters: tuple[AdapterUse, ...] = ()


# --- events -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tokenized(Event):
    """vocabulary, raw: how many ids there are, and the bytes of each piece, where a text was tokenised with a path."""

    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    vocabulary: int = 0
    raw: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Rendered(Event):
    """spans: (role, first id, one past the last id) of each message, the template's own marks included."""

    text: str
    ids: tuple[int, ...]
    spans: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Scored(Event):
    """logprobs and entropies in nats, None for what has no context; nll is their sum, perplexity exp(nll / scored).

    records: of each scored token, where candidates were asked for.
    """

    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    logprobs: tuple[float | None, ...]
    entropies: tuple[float | None, ...]
    nll: float
    perplexity: float
    scored: int
    records: tuple[TokenRecord, ...] = ()
