"""Answers: the prompt, the settings, and every token of what is written, with what else it could have been."""

from __future__ import annotations

from dataclasses import dataclass

from engine.messages.arrays import Floats, Integers
from engine.messages.base import Command, Event
from engine.params import AdapterUse, CaptureParams, SamplingParams


@dataclass(frozen=True, slots=True)
class Message:
    """One turn as the model sees it. role: system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model reads: exactly one of text (Complete), messages (Chat) or ids (taken as they are).

    answer_ids, or else answer_text: what the answer already begins with (Continue, or a branch).
    forced_ids, or else forced_text: what the answer goes on with, whatever the sampling says; recorded like the rest.
    source: for an encoder-decoder, the text that its encoder reads; text, messages and ids are then left out, or hold
    the target's beginning (text) or the whole target to score (text or ids).
    """

    text: str | None = None
    messages: tuple[Message, ...] | None = None
    ids: tuple[int, ...] | None = None
    answer_ids: tuple[int, ...] = ()
    answer_text: str = ""
    source: str | None = None
    forced_ids: tuple[int, ...] = ()
    forced_text: str = ""


@dataclass(frozen=True, slots=True)
class Beam:
    """One of the answers that a beam search holds; score: sum of log-probabilities over length ** length_penalty."""

    ids: tuple[int, ...]
    text: str
    score: float
    finished: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class TokenRecord:
    """One token of an answer and what else could have been.

    position: its index in the context. text: what it adds to the text ("" while a character is incomplete); the texts
    of a message's records, joined, are the message. logprob (nats), rank (0 is best), entropy (nats), lse (log-sum-exp
    of the raw logits) and std describe the raw distribution over the whole vocabulary, before any sampler.
    Candidates, N of them, best raw logit first, the drawn token always among them: candidate_ids int32 [N],
    logits float32 [N] raw, pieces [N], after float32 [N] the probability the draw used (0 where cut),
    cut int8 [N] the index into `steps` of the step that removed it, -1 where it survived.
    """

    position: int
    id: int
    text: str
    logprob: float
    rank: int
    entropy: float
    lse: float
    std: float
    candidate_ids: Integers
    logits: Floats
    pieces: tuple[str, ...]
    after: Floats
    cut: Integers
    steps: tuple[str, ...]

    @property
    def before(self) -> Floats:
        """Probability of each candidate under the raw distribution, float32 [N]."""
        import numpy as np

        result: Floats = np.exp(self.logits - np.float32(self.lse))
        return result

    @property
    def chosen(self) -> int:
        """Index of the drawn token among the candidates; -1 where none were captured."""
        (found,) = (self.candidate_ids == self.id).nonzero()
        return int(found[0]) if found.size else -1


@dataclass(frozen=True, slots=True)
class Drawing:
    """What the tokens of one run were drawn with, so that the same draw can be made again.

    ids: all that stood before its first token, of which the first `prompt` are the prompt's. vocabulary: how many ids
    there were to draw from. sampling: the settings with which it began. breakers: the ids that its DRY did not look
    across. forced: how many of its first tokens were not drawn.
    """

    seed: int
    ids: tuple[int, ...]
    prompt: int
    vocabulary: int
    sampling: SamplingParams = SamplingParams()
    breakers: tuple[int, ...] = ()
    forced: int = 0


# --- commands -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Generate(Command):
    """Write an answer. -> Started, Progress("reading"), Tokens, Attention..., Stats, Generated.

    second: by the second model. adapters: what the model is changed by in this run alone, all of them at once.
    """

    prompt: Prompt
    sampling: SamplingParams = SamplingParams()
    capture: CaptureParams = CaptureParams()
    second: bool = False
    adapters: tuple[AdapterUse, ...] = ()


@dataclass(frozen=True, slots=True)
class BestOf(Command):
    """Write several answers, 1 to 8, one after the other, each with the next seed.

    -> of each Progress, Started, Tokens, Attention..., Stats, Answered. One that a failure ends has no Answered.
    """

    prompt: Prompt
    count: int = 4
    sampling: SamplingParams = SamplingParams()
    capture: CaptureParams = CaptureParams()
    adapters: tuple[AdapterUse, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckStructure(Command):
    """Whether a text has the form that sampling's schema, regex or grammar asks for; no model is needed.

    -> StructureChecked; a form that cannot be read fails with the reason.
    """

    sampling: SamplingParams
    text: str


@dataclass(frozen=True, slots=True)
class Retune(Command):
    """Change a running generation from its next token on; None leaves that half as it is."""

    target: int
    sampling: SamplingParams | None = None
    capture: CaptureParams | None = None


# --- events -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started(Event):
    """The prompt as ids and as text, the seed drawn, and how many of its tokens were still in the cache.

    source_ids: what an encoder reads, the text of an encoder-decoder's source or all that an encoder is given.
    drawing: what an answer's tokens are drawn with, where they are drawn.
    """

    prompt_ids: tuple[int, ...]
    rendered: str
    seed: int
    reused: int
    source_ids: tuple[int, ...] = ()
    drawing: Drawing | None = None


@dataclass(frozen=True, slots=True)
class Tokens(Event):
    """New text with its tokens; neighbours join in the outbox."""

    text: str
    records: tuple[TokenRecord, ...]


@dataclass(frozen=True, slots=True)
class Stats(Event):
    """Latest wins. context_used of context_total tokens; tokens_per_second over the last second of decoding.

    tokens_per_pass: tokens for each pass of the model in this answer, above 1 where drafted ones were right. drafted:
    the tokens that were guessed ahead in it; accepted: those of them that were right.
    """

    context_used: int
    context_total: int
    new_tokens: int
    tokens_per_second: float
    tokens_per_pass: float = 1.0
    drafted: int = 0
    accepted: int = 0


@dataclass(frozen=True, slots=True)
class Beams(Event):
    """Latest wins. What a beam search holds at this step, best first."""

    beams: tuple[Beam, ...]


@dataclass(frozen=True, slots=True)
class Generated(Event):
    """The whole answer, once, before Done. Times in seconds; tokens_per_second counts decoding only."""

    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    text: str
    finish: str
    prefill_seconds: float
    decode_seconds: float
    tokens_per_second: float


@dataclass(frozen=True, slots=True)
class Answered(Event):
    """One of several answers, once it is whole: all that is told of a single one.

    index: which, from 0. mean_logprob: nats a token, before any sampler; the highest is the best of them.
    """

    index: int
    started: Started
    generated: Generated
    records: tuple[TokenRecord, ...]
    mean_logprob: float


@dataclass(frozen=True, slots=True)
class StructureChecked(Event):
    """fits: how many characters of the text can begin one of that form; complete: whether the whole text is one."""

    fits: int
    complete: bool
