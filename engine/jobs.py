"""Commands to generators for the model's lane: the one file that knows all the rooms.

It holds what is loaded and the contexts that were read, whose prefixes the next answers may reuse. Importing it imports
torch, so only the lane's own thread does.
"""

from __future__ import annotations

import os
import secrets
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

# torch's threads otherwise spin at barriers and starve a window on the same cores (measured: 16 times slower decoding
# beside one busy process); it reads this once, when it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from engine.decoding.beams import write
from engine.decoding.constraints import Rules
from engine.decoding.contexts import Context, Contexts
from engine.decoding.guidance import Guide
from engine.decoding.looking import look_into, look_into_encoder
from engine.decoding.loop import Settings, breakers, check_prompt, checker, generate, read
from engine.decoding.positions import position_maps
from engine.decoding.scoring import score, score_masked, score_target
from engine.decoding.speculation import Speculation
from engine.decoding.targets import Target, source_of
from engine.decoding.wording import bias, ids_of, words
from engine.encoding import Pooling, attend, classify, embed, fill, mask_of, nearest
from engine.errors import Cancelled, EngineError, InvalidValue, OutOfMemory, is_out_of_memory
from engine.lanes import Job
from engine.loading import LoadedModel, load, memory
from engine.loading.checkpoint import checkpoint
from engine.loading.relief import not_loaded, too_long
from engine.messages import (
    Answered,
    Attend,
    BestOf,
    CheckStructure,
    Classify,
    Command,
    DraftLoaded,
    Embed,
    Event,
    Fill,
    Generate,
    Generated,
    Lens,
    Load,
    LoadDraft,
    Loaded,
    LoadSecond,
    Message,
    ModelInfo,
    NamePieces,
    NearestWords,
    PositionMaps,
    Positions,
    Progress,
    Prompt,
    Rendered,
    RenderTemplate,
    Retune,
    Run,
    Score,
    SecondLoaded,
    Started,
    StructureChecked,
    Tokenize,
    Tokenized,
    Tokens,
    Unload,
    Unloaded,
)
from engine.models.base import Decoder, Encoder, Seq2Seq
from engine.params import LoadParams, SamplingParams
from engine.text.templates import ChatTemplate
from engine.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from engine.decoding.structured import Structure

KINDS = {
    "decoder": "a decoder: it continues a text.",
    "encoder-decoder": "an encoder-decoder: it writes a text for a source.",
    "encoder": "an encoder: it fills masks and compares sentences.",
}


@dataclass(frozen=True, slots=True)
class Workbench:
    """A loaded model with all that its answers need. generation: what its files say of generating.

    eight_bit: whether what it reads is kept in 8 bits.
    """

    loaded: LoadedModel
    generation: dict[str, Any]
    tokenizer: Tokenizer
    template: ChatTemplate | None
    info: ModelInfo
    speculation: Speculation | None = None
    eight_bit: bool = False

    def cannot(self, hint: str = "") -> EngineError:
        """The refusal of what another kind of model does."""
        return EngineError(f"{self.info.name} is {KINDS[self.loaded.kind]}", hint)

    @property
    def decoder(self) -> Decoder:
        """The model, where it is one that writes on from a text by itself."""
        if not isinstance(self.loaded.model, Decoder):
            raise self.cannot("Choose a model that writes text.")
        return self.loaded.model

    @property
    def writer(self) -> Tokenizer:
        """The tokenizer of what the model writes; an encoder-decoder may read with another."""
        return self.tokenizer.target

    @property
    def encoder(self) -> Encoder:
        """The model, where it is one that reads a text both ways."""
        if not isinstance(self.loaded.model, Encoder):
            raise self.cannot("Choose an encoder for this.")
        return self.loaded.model


class ModelJobs:
    """What the model's lane can do (engine.lanes.Jobs)."""

    def __init__(self) -> None:
        self._bench: Workbench | None = None
        self._second: Workbench | None = None  # beside the first, to compare with
        self._contexts = Contexts(lambda: memory.available(self._bench.loaded.device if self._bench else "cpu"))
        self._settings: dict[int, Settings] = {}
        self._jobs: dict[type[Command], Callable[[Any, Run], Job]] = {
            Load: self._load,
            LoadDraft: self._load_draft,
            LoadSecond: self._load_second,
            Unload: self._unload,
            Generate: self._generate,
            BestOf: self._best_of,
            CheckStructure: self._check_structure,
            Retune: self._retune,
            Attend: self._attend,
            Lens: self._lens,
            Positions: self._positions,
            Score: self._score,
            Tokenize: self._tokenize,
            NamePieces: self._name_pieces,
            RenderTemplate: self._render,
            Fill: self._fill,
            Classify: self._classify,
            Embed: self._embed,
            NearestWords: self._nearest,
        }

    def start(self, command: Command, run: Run) -> Job:
        return self._relieved(command, self._jobs[type(command)](command, run))

    def alone(self, command: Command) -> bool:
        return isinstance(command, Load | LoadDraft | LoadSecond | Unload)

    def at_once(self, command: Command) -> bool:
        return isinstance(command, Retune)

    def close(self) -> None:
        self._put_down()
        self._put_second_down()

    def _relieved(self, command: Command, job: Job) -> Job:
        """The job; where memory runs out it gives back all that can be had again, and says what would fit."""
        try:
            return (yield from job)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            told = error if isinstance(error, OutOfMemory) else None
            traceback.clear_frames(error.__traceback__)  # what was begun is still held there
        self._contexts.clear()
        memory.give_back()
        if told is None:
            bench = self._bench
            if isinstance(command, Load | LoadDraft | LoadSecond):
                told = not_loaded(command.path, command.params)
            else:
                told = too_long(bench.loaded, bench.eight_bit) if bench is not None else too_long(None, False)
        raise told

    # --- jobs -------------------------------------------------------------------------------------------------------

    def _load(self, command: Load, run: Run) -> Job:
        tokenizer = Tokenizer.load(command.path)
        loaded = yield from self._in_place(command, run)
        bench = _workbench(loaded, tokenizer, command.params)
        self._put_down()
        self._bench = bench
        yield Loaded(run.id, bench.info)
        return None

    def _in_place(self, command: Load, run: Run) -> Generator[Event, None, LoadedModel]:
        """Load a model beside the one in use, or, where there is no room for both, in its place."""
        try:
            return (yield from _loading(command, run))
        except OutOfMemory as error:
            held = self._contexts.nbytes + (0 if self._bench is None else self._bench.loaded.bytes_in_memory)
            if not 0 < error.missing <= held:
                raise
        self._put_down()
        yield Unloaded(run.id)
        return (yield from _loading(command, run))

    def _load_draft(self, command: LoadDraft, run: Run) -> Job:
        bench = self._require()
        if bench.speculation is None:
            raise bench.cannot("Only a model that writes text can be drafted for.")
        if not command.path:
            bench.speculation.use(None)
            yield DraftLoaded(run.id, "")
            return None
        tokenizer = Tokenizer.load(command.path)
        if not _alike(tokenizer, bench.tokenizer):
            raise EngineError(
                f"{tokenizer.name} has another tokenizer than {bench.info.name}, so it cannot draft for it.",
                "Choose a smaller model of the same family.",
            )
        params = command.params.replace(device=bench.loaded.device, threads=bench.loaded.threads)
        draft = yield from _loading(replace(command, params=params), run)
        if not isinstance(draft.model, Decoder):
            raise EngineError(f"{draft.name} is {KINDS[draft.kind]}", "Choose a model that writes text.")
        bench.speculation.use(draft.model)
        yield DraftLoaded(run.id, draft.name, draft.bytes_in_memory)
        return None

    def _load_second(self, command: LoadSecond, run: Run) -> Job:
        bench = None
        if command.path:
            tokenizer = Tokenizer.load(command.path)
            bench = _workbench((yield from _loading(command, run)), tokenizer, command.params)
        self._put_second_down()
        self._second = bench
        yield SecondLoaded(run.id, bench.info if bench is not None else None)
        return None

    def _unload(self, command: Unload, run: Run) -> Job:
        self._put_down()
        yield Unloaded(run.id)
        return None

    def _generate(self, command: Generate, run: Run) -> Job:
        bench, prompt = self._require(command.second), command.prompt
        check = _check(run)
        eos = frozenset(bench.loaded.eos_ids)
        source: list[int] | None = None
        if isinstance(bench.loaded.model, Seq2Seq):
            source, rendered, prompt = self._source(bench, prompt)
            prompt_ids, answer_ids = self._begin_target(bench, prompt)
            begin = [*prompt_ids, *answer_ids]
            end = min(len(begin) + command.sampling.max_new_tokens, bench.info.context)
            rules = Rules.read(bench.generation, bench.loaded.eos_ids, source, end, len(begin))
            target = Target(bench.loaded.model, source, rules)
            context = Context.fresh(target, command.capture)
        else:
            prompt_ids, answer_ids, rendered = self._resolve(bench, prompt)
            check_prompt([*prompt_ids, *answer_ids], bench.decoder)  # before it costs a context
            ids = [*prompt_ids, *answer_ids]
            context = self._contexts.take(bench.decoder, ids, command.capture, bench.eight_bit)
        settings = self._settings[run.id] = Settings(command.sampling, command.capture)
        forced = _forced(bench, prompt, [*prompt_ids, *answer_ids])
        structure = _structure(bench, command.sampling)
        if command.sampling.beams > 1:
            early, begin = bench.generation.get("early_stopping"), [*prompt_ids, *answer_ids, *forced]
            writing = write(
                run.id,
                context,
                bench.writer,
                begin,
                len(begin) if source is not None else len(prompt_ids),
                rendered,
                eos,
                command.sampling,
                early,
                check,
                structure,
            )
        else:
            writing = generate(
                run.id,
                context,
                bench.writer,
                prompt_ids,
                answer_ids,
                rendered,
                eos,
                settings,
                check,
                source,
                bench.speculation,
                forced,
                structure,
                Guide(lambda: self._against(bench, command, prompt_ids, source)),
            )
        try:
            reason = yield from writing
        finally:
            del self._settings[run.id]
        if context.model is bench.loaded.model:
            self._contexts.put(context)  # not after a failure: what the cache then holds is not certain
        return reason

    def _best_of(self, command: BestOf, run: Run) -> Job:
        if not 1 <= command.count <= 8:
            raise InvalidValue(f"{command.count} answers were asked for.", "Ask for 1 to 8.")
        seed = command.sampling.seed if command.sampling.seed >= 0 else secrets.randbelow(2**31)
        for index in range(command.count):
            yield Progress(run.id, "Writing answers", index, command.count)
            sampling = command.sampling.replace(seed=(seed + index) % 2**31)
            told: list[Event] = []
            writing = self._generate(Generate(command.prompt, sampling, command.capture), run)
            reason = yield from _kept(writing, told)
            (started,) = (event for event in told if isinstance(event, Started))
            (generated,) = (event for event in told if isinstance(event, Generated))
            records = tuple(record for event in told if isinstance(event, Tokens) for record in event.records)
            mean = sum(record.logprob for record in records) / max(1, len(records))
            if reason != "cancelled" or generated.ids:  # one stopped before its first token is no answer
                yield Answered(run.id, index, started, generated, records, mean)
            if reason == "cancelled":
                return reason
        return None

    def _check_structure(self, command: CheckStructure, run: Run) -> Job:
        from engine.decoding.structured import check  # what it needs takes a tenth of a second to import

        yield StructureChecked(run.id, *check(command.sampling, command.text))
        return None

    def _against(
        self, bench: Workbench, command: Generate, prompt_ids: list[int], source: list[int] | None
    ) -> tuple[Decoder, list[int]]:
        """Who reads what guidance keeps away from, and its ids: the negative prompt, or the prompt's last token."""
        text, prompt = command.sampling.negative_prompt, command.prompt
        if isinstance(bench.loaded.model, Seq2Seq):
            instead = bench.tokenizer.encode(text) if text else (source or [])[-1:]
            return Target(bench.loaded.model, instead), prompt_ids
        if not text:
            return bench.decoder, prompt_ids[-1:]
        if prompt.messages is None:
            return bench.decoder, bench.tokenizer.encode(text)
        turns = tuple(turn for turn in prompt.messages if turn.role != "system")
        more = _answer(bench, prompt)[1]
        rendered = _require_template(bench).render((Message("system", text), *turns), True, more)
        return bench.decoder, list(rendered.ids)

    def _retune(self, command: Retune, run: Run) -> Job:
        settings = self._settings.get(command.target)
        if settings is not None:
            settings.sampling = command.sampling or settings.sampling
            settings.capture = command.capture or settings.capture
        return None
        yield

    def _attend(self, command: Attend, run: Run) -> Job:
        bench = self._require()
        check = _check(run)
        if isinstance(bench.loaded.model, Encoder):
            yield from attend(run.id, bench.loaded.model, bench.tokenizer, command.prompt, command.capture, check)
            return None
        if isinstance(bench.loaded.model, Seq2Seq) and command.prompt.ids is not None and command.prompt.source is None:
            raise InvalidValue(
                "A target's attention cannot be read again without its source.", "Write the answer anew."
            )
        ids, model = self._opened(bench, command.prompt)
        check_prompt(ids, model)
        begin = ids[: len(ids) - len(_answer(bench, command.prompt)[0])]
        yield Started(run.id, tuple(begin), "", 0, 0, model.source if isinstance(model, Target) else ())
        context = Context.fresh(model, command.capture)
        context.prepare(len(ids))
        yield from _events_of(read(run.id, context, ids, check))
        return None

    def _lens(self, command: Lens, run: Run) -> Job:
        bench = self._require()
        check = _check(run)
        if isinstance(bench.loaded.model, Encoder):
            prompt = command.prompt
            ids = bench.tokenizer.encode(prompt.text or "") if prompt.ids is None else prompt.ids
            yield from look_into_encoder(run.id, bench.loaded.model, bench.tokenizer, tuple(ids), command, check)
            return None
        opened, model = self._opened(bench, command.prompt)
        yield from look_into(run.id, model, bench.writer, opened, command, check)
        return None

    def _positions(self, command: Positions, run: Run) -> Job:
        bench = self._require()
        length = min(command.length or bench.info.context, bench.info.context)
        if length < 1:
            raise InvalidValue(f"There are no {length} positions.", "Ask for one at least, or 0 for all.")
        yield PositionMaps(run.id, length, position_maps(bench.loaded.model, length))
        return None

    def _score(self, command: Score, run: Run) -> Job:
        bench, prompt = self._require(command.second), command.prompt
        if isinstance(bench.loaded.model, Seq2Seq):
            if prompt.source is None:
                raise InvalidValue(
                    f"{bench.info.name} needs a source to score a text for.", "Give the text that its encoder reads."
                )
            if prompt.ids is None and prompt.text is not None:
                ids = bench.writer.encode(prompt.text)
                if ids and ids[-1] not in bench.loaded.eos_ids:  # a target is one that ends, whoever adds the mark
                    ids += bench.loaded.eos_ids[:1]
                prompt = replace(prompt, ids=tuple(ids))
        check = _check(run)
        if isinstance(bench.loaded.model, Encoder):
            read = bench.tokenizer.encode(prompt.text or "") if prompt.ids is None else list(prompt.ids)
            mask = mask_of(bench.loaded.model, bench.tokenizer)
            yield from score_masked(run.id, bench.loaded.model, bench.tokenizer, read, mask, check, command.candidates)
            return None
        ids, model = self._opened(bench, prompt)
        scoring = score_target if isinstance(model, Target) else score
        yield from scoring(run.id, model, bench.writer, ids, check, command.candidates)
        return None

    def _tokenize(self, command: Tokenize, run: Run) -> Job:
        bench, text = self._require(), command.text
        tokenizer = bench.writer if command.setting else bench.tokenizer
        ids = ids_of(tokenizer, text) if command.setting else tokenizer.encode(text, special=command.special)
        yield Tokenized(run.id, tuple(ids), tuple(tokenizer.piece(i) for i in ids))
        return None

    def _name_pieces(self, command: NamePieces, run: Run) -> Job:
        tokenizer = self._require().tokenizer if command.source else self._require().writer
        yield Tokenized(run.id, command.ids, tuple(tokenizer.piece(i) for i in command.ids))
        return None

    def _render(self, command: RenderTemplate, run: Run) -> Job:
        template = _require_template(self._require())
        rendered = template.render(command.messages, command.add_generation_prompt)
        yield Rendered(run.id, rendered.text, tuple(rendered.ids), tuple(rendered.spans))
        return None

    def _fill(self, command: Fill, run: Run) -> Job:
        bench = self._require()
        check = _check(run)
        yield fill(run.id, bench.encoder, bench.tokenizer, command.text, command.candidates, check)
        return None

    def _classify(self, command: Classify, run: Run) -> Job:
        bench = self._require()
        check = _check(run)
        yield classify(run.id, bench.encoder, bench.tokenizer, command.text, check, command.pair)
        return None

    def _embed(self, command: Embed, run: Run) -> Job:
        bench = self._require()
        pooling = Pooling.read(Path(bench.loaded.path))
        check = _check(run)
        yield from embed(run.id, bench.encoder, bench.tokenizer, command.texts, pooling, check)
        return None

    def _nearest(self, command: NearestWords, run: Run) -> Job:
        bench = self._require()
        yield nearest(run.id, bench.loaded.model, bench.tokenizer, command.plus, command.minus, command.count)
        return None

    # --- what they share --------------------------------------------------------------------------------------------

    def _require(self, second: bool = False) -> Workbench:
        if second and self._second is None:
            raise EngineError("No second model is loaded.", "Choose one to compare with.")
        if second and self._second is not None:
            return self._second
        if self._bench is None:
            raise EngineError("No model is loaded.", "Choose one in the Models pane.")
        return self._bench

    def _opened(self, bench: Workbench, prompt: Prompt) -> tuple[list[int], Decoder]:
        """The ids of prompt and answer, and who reads them: the model, or its decoder for the source."""
        if isinstance(bench.loaded.model, Seq2Seq):
            source, _, prompt = self._source(bench, prompt)
            begin, answer = self._begin_target(bench, prompt)
            return [*begin, *answer], Target(bench.loaded.model, source)
        begin, answer, _ = self._resolve(bench, prompt)
        return [*begin, *answer], bench.decoder

    def _resolve(self, bench: Workbench, prompt: Prompt) -> tuple[list[int], list[int], str]:
        """Ids of a decoder's prompt, ids that the answer already has, and the prompt as text."""
        if prompt.source is not None or bench.loaded.kind != "decoder":
            raise bench.cannot("Choose a model that fits the task.")
        answer, more = _answer(bench, prompt)
        if prompt.ids is not None:
            return list(prompt.ids), answer, bench.tokenizer.decode(prompt.ids)
        if prompt.text is not None:
            return bench.tokenizer.encode(prompt.text + more), answer, prompt.text + more
        if prompt.messages is None:
            raise InvalidValue("There is no prompt.", "Give a text, messages or ids.")
        rendered = _require_template(bench).render(prompt.messages, True, more)
        return list(rendered.ids), answer, rendered.text

    def _source(self, bench: Workbench, prompt: Prompt) -> tuple[list[int], str, Prompt]:
        """The ids that an encoder-decoder reads, their text, and what is left of the prompt for the target."""
        if prompt.source is None and prompt.messages is not None and not _joins_turns(bench.loaded):
            raise bench.cannot("Give it a source: it does not take turns.")
        return source_of(prompt, bench.tokenizer, bench.info.context)

    def _begin_target(self, bench: Workbench, prompt: Prompt) -> tuple[list[int], list[int]]:
        """What the target begins with, the model's own first ids before the prompt's, and what it already has."""
        if bench.loaded.start_id is None:
            raise InvalidValue(
                f"{bench.info.name} does not say what a target begins with.",
                "Add decoder_start_token_id to its config.json.",
            )
        answer, more = _answer(bench, prompt)
        begin = [bench.loaded.start_id]
        if prompt.ids is not None:
            return [*begin, *prompt.ids], answer
        ids = bench.writer.encode((prompt.text or "") + more, special=False)
        first = Rules.read(bench.generation, ()).first
        if ids and first is not None and ids[0] != first:
            begin.append(first)
        return [*begin, *ids], answer

    def _put_down(self) -> None:
        _close(self._bench)
        self._bench = None
        self._contexts.clear()
        for cached in (breakers, words, bias):  # they hold tokenizers
            cached.cache_clear()
        memory.give_back()

    def _put_second_down(self) -> None:
        if self._second is not None:
            _close(self._second)
            self._contexts.forget(self._second.loaded.model)
            self._second = None
            memory.give_back()


def _workbench(loaded: LoadedModel, tokenizer: Tokenizer, params: LoadParams) -> Workbench:
    template, note = _template(tokenizer, loaded.kind)
    generation = _generation(loaded)
    chats, chat_format = template is not None or _joins_turns(loaded), tokenizer.chat_format if template else ""
    info = _info(loaded, generation, chats, note, chat_format)
    speculation = Speculation(loaded.model) if isinstance(loaded.model, Decoder) else None
    return Workbench(loaded, generation, tokenizer, template, info, speculation, params.cache == "8-bit")


def _close(bench: Workbench | None) -> None:
    if bench is not None and bench.template is not None:
        bench.template.close()


def _loading(command: Load | LoadDraft | LoadSecond, run: Run) -> Generator[Event, None, LoadedModel]:
    """Load the command's model; yields Progress."""
    phases = load(command.path, command.params, lambda: run.cancelled)
    try:
        while True:
            yield Progress(run.id, *next(phases))
    except StopIteration as end:
        loaded: LoadedModel = end.value
        return loaded
    finally:
        phases.close()


def _check(run: Run) -> Callable[[], None]:
    """A check that raises Cancelled once the run is cancelled, MemoryError once nearly all memory is taken."""
    cancelled, look = checker(lambda: run.cancelled), memory.watch()

    def check() -> None:
        cancelled()
        look()

    return check


def _alike(a: Tokenizer, b: Tokenizer) -> bool:
    """Whether two tokenizers name the same ids the same; one may have more of them."""
    return all(a.token(id) == b.token(id) for id in range(min(a.vocabulary_size, b.vocabulary_size)))


def _kept(writing: Job, told: list[Event]) -> Job:
    """Let an answer be written and keep what is told of it; the rest is yielded, and a Cancelled is handed on."""
    try:
        event = next(writing)
        while True:
            if isinstance(event, Started | Tokens | Generated):
                told.append(event)
                event = next(writing)
                continue
            try:
                yield event
            except Cancelled as cancelled:
                event = writing.throw(cancelled)
            else:
                event = next(writing)
    except StopIteration as end:
        return end.value


def _events_of(events: Generator[Event, None, Any]) -> Job:
    yield from events
    return None


def _answer(bench: Workbench, prompt: Prompt) -> tuple[list[int], str]:
    """The ids that the answer already has, or the text that it begins with."""
    answer = list(prompt.answer_ids)
    while answer and answer[-1] in bench.loaded.eos_ids:  # to continue is to take the end mark back
        answer.pop()
    return answer, "" if answer else prompt.answer_text


def _forced(bench: Workbench, prompt: Prompt, before: Sequence[int]) -> list[int]:
    """The ids that the answer must go on with after the ids before it."""
    if prompt.forced_ids or not prompt.forced_text:
        return list(prompt.forced_ids)
    return bench.writer.encode_after(before, prompt.forced_text)


def _joins_turns(loaded: LoadedModel) -> bool:
    """Whether it takes the turns of a conversation, joined into one source."""
    return loaded.kind == "encoder-decoder" and checkpoint(loaded.path).joins_turns


def _generation(loaded: LoadedModel) -> dict[str, Any]:
    """The checkpoint's generation_config; before there were such files, an encoder-decoder's config.json held it."""
    if loaded.generation or loaded.kind != "encoder-decoder":
        return loaded.generation
    return checkpoint(loaded.path).config


def _structure(bench: Workbench, sampling: SamplingParams) -> Structure | None:
    """The form that an answer is to have, if any."""
    if not (sampling.schema or sampling.regex or sampling.grammar):
        return None
    from engine.decoding.structured import Structure  # what it needs takes a tenth of a second to import

    eos = frozenset(bench.loaded.eos_ids)
    return Structure(sampling, bench.writer, bench.loaded.model.config.vocabulary, eos)


def _require_template(bench: Workbench) -> ChatTemplate:
    if bench.loaded.kind != "decoder":
        raise bench.cannot("It has no chat template.")
    if bench.template is None:
        raise EngineError(
            f"{bench.info.name} has no chat template, so it cannot take turns.", "Use Complete: it continues a text."
        )
    return bench.template


def _template(tokenizer: Tokenizer, kind: str) -> tuple[ChatTemplate | None, str]:
    """A decoder's own chat template, if it has one that renders; else None and why."""
    if kind != "decoder":
        return None, f"This is {KINDS[kind]}"
    if tokenizer.chat_template is None:
        return None, "This is a base model without a chat template: it continues a text."
    template = ChatTemplate(tokenizer.chat_template, tokenizer.special_tokens, tokenizer)
    fallback = f"Its files hold no chat template: {tokenizer.chat_format}'s is used, as its special tokens show."
    try:
        template.render([Message("user", "Hi")], True)
    except EngineError as error:
        template.close()
        return None, f"Its chat template cannot be used, so it continues a text. {error.message}"
    return template, fallback if tokenizer.chat_format else ""


GENERATION_KEYS = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "repetition_penalty",
    "max_new_tokens",
    "length_penalty",
)


def model_defaults(generation: dict[str, Any]) -> tuple[SamplingParams, tuple[str, ...]]:
    """The sampling a generation_config asks for, over Vitrine's own, and which fields came from it.

    Values that are absent or outside a slider's range are left alone; do_sample false does not mean greedy here.
    """
    params, taken = SamplingParams(), []
    named = {key: generation.get(key) for key in GENERATION_KEYS} | {"beams": generation.get("num_beams")}
    for key, value in named.items():
        if value is None:
            continue
        try:
            params = replace(params, **{key: value})
        except InvalidValue:
            continue
        taken.append(key)
    return params, tuple(taken)


def _info(loaded: LoadedModel, generation: dict[str, Any], chats: bool, note: str, chat_format: str) -> ModelInfo:
    defaults, taken = model_defaults(generation)
    config = loaded.model.config
    return ModelInfo(
        path=loaded.path,
        name=loaded.name,
        family=loaded.family,
        kind=loaded.kind,
        parameters=loaded.parameters,
        bytes_in_memory=loaded.bytes_in_memory,
        layers=config.layers,
        heads=config.heads,
        kv_heads=config.kv_heads,
        width=config.width,
        vocabulary=config.vocabulary,
        context=config.context,
        device=loaded.device,
        precision=loaded.precision,
        threads=loaded.threads,
        chat_template=chats,
        defaults=defaults,
        from_model=taken,
        note=" ".join(filter(None, (note, loaded.model.note))),
        encoder_layers=getattr(config, "encoder_layers", 0),
        encoder_heads=getattr(config, "encoder_heads", config.heads) if loaded.kind == "encoder-decoder" else 0,
        use=getattr(config, "use", ""),
        chat_format=chat_format,
        runs=loaded.runs,
        held=loaded.held,
    )
