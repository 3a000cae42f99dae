"""The protocol between the app and the engine: commands in, events out, all frozen.

No tensor, no callback and no widget crosses; numpy arrays inside events are read-only by agreement. A command gives a
Run; every event names its run; every run ends with exactly one Done or Failed. Store commands (chats) and file commands
(catalog) have threads of their own, so they answer while a model loads or writes.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.params import CaptureParams, LoadParams, SamplingParams

if TYPE_CHECKING:  # numpy takes a tenth of a second to import, and the window shows before it is needed
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]
    Integers = npt.NDArray[np.integer[Any]]
else:
    Floats = Integers = object

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Run:
    """The handle of one command. Its cancel mark belongs to it alone and is never reset."""

    id: int = field(default_factory=lambda: next(_numbers))
    _cancelled: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    def cancel(self) -> None:
        """Ask the run to end; it answers with Done("cancelled") and keeps what it had. Safe from any thread."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()


# --- values -----------------------------------------------------------------------------------------------------


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


@dataclass(frozen=True, slots=True)
class Filler:
    """One candidate for a mask."""

    id: int
    token: str
    probability: float


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
class Sizes:
    """What a model's memory beside its weights depends on; an encoder-decoder's are its decoder's.

    widest: the longest state inside a block. largest: the numbers of the largest tensor. windows: how many positions
    each layer sees, None for all; an encoder, which keeps nothing of a text, has none.
    """

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    width: int
    widest: int
    largest: int
    windows: tuple[int | None, ...]


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
    groups of few bits.
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


@dataclass(frozen=True, slots=True)
class Chat:
    """One conversation. mode: chat or complete. leaf: the message shown last. settings: plain JSON values."""

    id: str
    title: str
    mode: str = "chat"
    created: float = 0.0
    updated: float = 0.0
    model: str = ""
    system: str = ""
    draft: str = ""
    leaf: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One node of a chat's tree. status: writing, done, length, stopped, interrupted or failed.

    settings: the sampling used, seed resolved. stats: counts and times. parent: "" for a first message.
    """

    id: str
    chat: str
    parent: str
    role: str
    text: str
    status: str = "done"
    created: float = 0.0
    model: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    stats: dict[str, Any] = field(default_factory=dict)


# --- commands to the model's thread -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Command:
    """Base of all commands."""


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


@dataclass(frozen=True, slots=True)
class Generate(Command):
    """Write an answer. -> Started, Progress("reading"), Tokens, Attention..., Stats, Generated.

    second: by the second model.
    """

    prompt: Prompt
    sampling: SamplingParams = SamplingParams()
    capture: CaptureParams = CaptureParams()
    second: bool = False


@dataclass(frozen=True, slots=True)
class BestOf(Command):
    """Write several answers, 1 to 8, one after the other, each with the next seed. -> Progress, Stats, Answered..."""

    prompt: Prompt
    count: int = 4
    sampling: SamplingParams = SamplingParams()
    capture: CaptureParams = CaptureParams()


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


@dataclass(frozen=True, slots=True)
class Attend(Command):
    """Read a context again, from its start, only to capture its attention. -> Started, Progress, Attention..."""

    prompt: Prompt
    capture: CaptureParams


@dataclass(frozen=True, slots=True)
class Lens(Command):
    """What the model would say after each layer, for a text that is read again. -> Progress, LensRows.

    first: the position to begin with. best: how many of the likeliest tokens.
    """

    prompt: Prompt
    first: int = 0
    best: int = 5


@dataclass(frozen=True, slots=True)
class Positions(Command):
    """How the model tells positions apart, and which of them each token sees. -> PositionMaps.

    length: of how many positions, from the first on; 0 is the whole context.
    """

    length: int = 0


@dataclass(frozen=True, slots=True)
class Score(Command):
    """How likely the model finds a given text: a text, an encoder-decoder's target for a source, or, by masking each
    of its tokens in turn, what an encoder reads. -> Progress, Scored.

    candidates: how many to record for each token; 0 records none. second: by the second model.
    """

    prompt: Prompt
    candidates: int = 0
    second: bool = False


@dataclass(frozen=True, slots=True)
class Tokenize(Command):
    """-> Tokenized. special: add what the tokenizer's post-processor adds."""

    text: str
    special: bool = True


@dataclass(frozen=True, slots=True)
class NamePieces(Command):
    """What tokens look like, whatever text they came from: a start token that no text holds, too. -> Tokenized.

    source: they are what an encoder-decoder reads, which may have another vocabulary than what it writes.
    """

    ids: tuple[int, ...]
    source: bool = False


@dataclass(frozen=True, slots=True)
class RenderTemplate(Command):
    """Render messages with the model's own chat template. -> Rendered."""

    messages: tuple[Message, ...]
    add_generation_prompt: bool = True


@dataclass(frozen=True, slots=True)
class Fill(Command):
    """Candidates for every mask in a text, best first (encoders with a masked-language head). -> Filled.

    The mask is written as the tokenizer's own mask token, or as "[MASK]".
    """

    text: str
    candidates: int = 20


@dataclass(frozen=True, slots=True)
class Classify(Command):
    """The labels of a sequence-classification head. pair: the second text of two that are compared. -> Classified."""

    text: str
    pair: str | None = None


@dataclass(frozen=True, slots=True)
class Embed(Command):
    """Sentence vectors, pooled and normalised as the model's folder declares. -> Embedded."""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NearestWords(Command):
    """Pieces whose input embeddings lie nearest, by cosine, to the sum of `plus` minus that of `minus`. -> Nearest."""

    plus: tuple[str, ...]
    minus: tuple[str, ...] = ()
    count: int = 10


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
class TokenizeWith(Command):
    """The same with the tokenizer of a model folder or a GGUF file, whose weights are not read. -> Tokenized."""

    path: str
    text: str
    special: bool = True


@dataclass(frozen=True, slots=True)
class CountKept(Command):
    """How much is kept of models that were quantised, so that it need not be done again. clear: remove it. -> Kept."""

    clear: bool = False


# --- commands to the store's thread -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoreCommand(Command):
    """Base of the commands that the store answers. Done means: it is on the disk."""


@dataclass(frozen=True, slots=True)
class ListChats(StoreCommand):
    """Newest first; query matches titles, case folded. -> Chats."""

    query: str = ""


@dataclass(frozen=True, slots=True)
class OpenChat(StoreCommand):
    """-> ChatOpened."""

    chat: str


@dataclass(frozen=True, slots=True)
class SaveChat(StoreCommand):
    """Insert or replace a chat's own row."""

    chat: Chat


@dataclass(frozen=True, slots=True)
class SaveMessage(StoreCommand):
    """Insert or replace one message; records and drawings, if any, are added to those already stored for it."""

    message: StoredMessage
    records: tuple[TokenRecord, ...] = ()
    drawings: tuple[Drawing, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenRecords(StoreCommand):
    """-> Records: the token records stored with a message, and what they were drawn with."""

    message: str


@dataclass(frozen=True, slots=True)
class DeleteChat(StoreCommand):
    """Out of sight at once, kept for undo (undo=True brings it back)."""

    chat: str
    undo: bool = False


@dataclass(frozen=True, slots=True)
class DeleteMessages(StoreCommand):
    """The same for messages of a chat."""

    messages: tuple[str, ...]
    undo: bool = False


# --- events -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events; run is the id of the run it belongs to."""

    run: int


@dataclass(frozen=True, slots=True)
class Done(Event):
    """The run is over. reason: done, eos, length, stop, grammar (nothing fits the form any more) or cancelled."""

    reason: str = "done"


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """The run is over and this is why. details: a traceback for the fold, empty for a plain mistake."""

    message: str
    hint: str = ""
    details: str = ""


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """Latest wins. phase: what is being done, in words; total 0 where it cannot be counted."""

    phase: str
    done: int
    total: int


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

    tokens_per_pass: tokens for each pass of the model in this answer, above 1 where drafted ones were right.
    """

    context_used: int
    context_total: int
    new_tokens: int
    tokens_per_second: float
    tokens_per_pass: float = 1.0


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


@dataclass(frozen=True, slots=True, eq=False)
class AttentionThumbnails(Event):
    """Latest wins for each part. Mean attention per cell: float32 [L, H, n, m], NaN where not captured.

    A cell is `cell` tokens high, and as wide, but where the columns are a source's: there m cells share its tokens.
    """

    tokens: int
    cell: int
    layers: tuple[str, ...]
    cells: Floats


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


@dataclass(frozen=True, slots=True)
class Beams(Event):
    """Latest wins. What a beam search holds at this step, best first."""

    beams: tuple[Beam, ...]


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
class Kept(Event):
    """What is kept of quantised models, or what was removed where that was asked for."""

    models: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Cards(Event):
    cards: tuple[ModelCard, ...]


@dataclass(frozen=True, slots=True)
class Forecasts(Event):
    """One of each card of which enough is known, in their order."""

    forecasts: tuple[Forecast, ...]


@dataclass(frozen=True, slots=True)
class Chats(Event):
    chats: tuple[Chat, ...]


@dataclass(frozen=True, slots=True)
class ChatOpened(Event):
    """All messages of the tree, oldest first, without their records."""

    chat: Chat
    messages: tuple[StoredMessage, ...]


@dataclass(frozen=True, slots=True)
class Records(Event):
    """drawings: one for each run that wrote into the message, in the order of their runs."""

    message: str
    records: tuple[TokenRecord, ...]
    drawings: tuple[Drawing, ...] = ()
