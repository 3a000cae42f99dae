"""Jobs that write answers, and what steers them while they are written."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from engine.decoding import beams, loop
from engine.decoding.constraints import Rules
from engine.decoding.contexts import Context
from engine.decoding.guidance import Guide
from engine.decoding.loop import Settings, check_prompt
from engine.decoding.targets import Target
from engine.errors import Cancelled, InvalidValue
from engine.jobs.models import Models, check_of
from engine.jobs.prompts import answer_of, begin_target, forced_of, resolve, source_of
from engine.jobs.workbench import Workbench
from engine.lanes import Job
from engine.messages import (
    Answered,
    BestOf,
    CheckStructure,
    Event,
    Generate,
    Generated,
    Message,
    Progress,
    Retune,
    Run,
    Started,
    StructureChecked,
    Tokens,
)
from engine.models.base import Decoder, Seq2Seq
from engine.params import SamplingParams

if TYPE_CHECKING:
    from engine.decoding.structured import Structure


def generate(models: Models, command: Generate, run: Run) -> Job:
    bench, prompt = models.require(command.second), command.prompt
    check = check_of(run)
    eos = frozenset(bench.loaded.eos_ids)
    source: list[int] | None = None
    if isinstance(bench.loaded.model, Seq2Seq):
        source, rendered, prompt = source_of(bench, prompt)
        prompt_ids, answer_ids = begin_target(bench, prompt)
        begin = [*prompt_ids, *answer_ids]
        end = min(len(begin) + command.sampling.max_new_tokens, bench.info.context)
        rules = Rules.read(bench.generation, bench.loaded.eos_ids, source, end, len(begin))
        target = Target(bench.loaded.model, source, rules)
        context = Context.fresh(target, command.capture)
    else:
        prompt_ids, answer_ids, rendered = resolve(bench, prompt)
        check_prompt([*prompt_ids, *answer_ids], bench.decoder)  # before it costs a context
        ids = [*prompt_ids, *answer_ids]
        context = models.contexts.take(bench.decoder, ids, command.capture, bench.eight_bit)
    forced = forced_of(bench, prompt, [*prompt_ids, *answer_ids])
    structure = _structure(bench, command.sampling)
    settings = models.settings[run.id] = Settings(command.sampling, command.capture)
    if command.sampling.beams > 1:
        early, begin = bench.generation.get("early_stopping"), [*prompt_ids, *answer_ids, *forced]
        writing = beams.write(
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
            len(forced),
        )
    else:
        writing = loop.generate(
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
            Guide(lambda: _against(bench, command, prompt_ids, source)),
        )
    try:
        reason = yield from writing
    finally:
        del models.settings[run.id]
    if context.model is bench.loaded.model:
        models.contexts.put(context)  # not after a failure: what the cache then holds is not certain
    return reason


def best_of(models: Models, command: BestOf, run: Run) -> Job:
    if not 1 <= command.count <= 8:
        raise InvalidValue(f"{command.count} answers were asked for.", "Ask for 1 to 8.")
    seed = command.sampling.seed if command.sampling.seed >= 0 else secrets.randbelow(2**31)
    for index in range(command.count):
        yield Progress(run.id, "Writing answers", index, command.count)
        sampling = command.sampling.replace(seed=(seed + index) % 2**31)
        told: list[Event] = []
        writing = generate(models, Generate(command.prompt, sampling, command.capture), run)
        reason = yield from _heard(writing, told)
        (started,) = (event for event in told if isinstance(event, Started))
        (generated,) = (event for event in told if isinstance(event, Generated))
        records = tuple(record for event in told if isinstance(event, Tokens) for record in event.records)
        mean = sum(record.logprob for record in records) / max(1, len(records))
        if reason != "cancelled" or generated.ids:  # one stopped before its first token is no answer
            yield Answered(run.id, index, started, generated, records, mean)
        if reason == "cancelled":
            return reason
    return None


def check_structure(models: Models, command: CheckStructure, run: Run) -> Job:
    from engine.decoding.structured import check  # what it needs takes a tenth of a second to import

    yield StructureChecked(run.id, *check(command.sampling, command.text))
    return None


def retune(models: Models, command: Retune, run: Run) -> Job:
    settings = models.settings.get(command.target)
    if settings is not None:
        settings.sampling = command.sampling or settings.sampling
        settings.capture = command.capture or settings.capture
    return None
    yield


def _against(
    bench: Workbench, command: Generate, prompt_ids: list[int], source: list[int] | None
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
    more = answer_of(bench, prompt)[1]
    rendered = bench.require_template().render((Message("system", text), *turns), True, more)
    return bench.decoder, list(rendered.ids)


def _structure(bench: Workbench, sampling: SamplingParams) -> Structure | None:
    """The form that an answer is to have, if any."""
    if not (sampling.schema or sampling.regex or sampling.grammar):
        return None
    from engine.decoding.structured import Structure  # what it needs takes a tenth of a second to import

    eos = frozenset(bench.loaded.eos_ids)
    return Structure(sampling, bench.writer, bench.loaded.model.config.vocabulary, eos)


def _heard(writing: Job, told: list[Event]) -> Job:
    """Let an answer be written, and note what is told of it: its end goes with Answered. A Cancelled is handed on."""
    try:
        event = next(writing)
        while True:
            if isinstance(event, Started | Tokens | Generated):
                told.append(event)
            if isinstance(event, Generated):
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
