"""Jobs that read a text and write nothing: its tokens, its likelihood, and what happens inside meanwhile."""

from __future__ import annotations

from dataclasses import replace

from engine import encoding
from engine.decoding import scoring
from engine.decoding.contexts import Context
from engine.decoding.looking import look_into, look_into_encoder
from engine.decoding.loop import check_prompt, read
from engine.decoding.positions import position_maps
from engine.decoding.targets import Target
from engine.decoding.wording import ids_of
from engine.errors import InvalidValue
from engine.jobs.models import Models, check_of
from engine.jobs.prompts import answer_of, opened, text_ids
from engine.lanes import Job
from engine.messages import (
    Attend,
    Lens,
    NamePieces,
    PositionMaps,
    Positions,
    Rendered,
    RenderTemplate,
    Run,
    Score,
    Started,
    Tokenize,
    Tokenized,
)
from engine.models.base import Encoder, Seq2Seq


def attend(models: Models, command: Attend, run: Run) -> Job:
    bench = models.require(command.second)
    check = check_of(run)
    if isinstance(bench.loaded.model, Encoder):
        yield from encoding.attend(run.id, bench.loaded.model, bench.tokenizer, command.prompt, command.capture, check)
        return None
    if isinstance(bench.loaded.model, Seq2Seq) and command.prompt.ids is not None and command.prompt.source is None:
        raise InvalidValue("A target's attention cannot be read again without its source.", "Write the answer anew.")
    ids, model = opened(bench, command.prompt)
    check_prompt(ids, model)
    begin = ids[: len(ids) - len(answer_of(bench, command.prompt)[0])]
    yield Started(run.id, tuple(begin), "", 0, 0, model.source if isinstance(model, Target) else ())
    context = Context.fresh(model, command.capture)
    context.prepare(len(ids))
    yield from read(run.id, context, ids, check)
    return None


def lens(models: Models, command: Lens, run: Run) -> Job:
    bench = models.require(command.second)
    check = check_of(run)
    if isinstance(bench.loaded.model, Encoder):
        text = tuple(text_ids(bench, command.prompt))
        yield from look_into_encoder(run.id, bench.loaded.model, bench.tokenizer, text, command, check)
        return None
    ids, model = opened(bench, command.prompt)
    yield from look_into(run.id, model, bench.writer, ids, command, check)
    return None


def positions(models: Models, command: Positions, run: Run) -> Job:
    bench = models.require(command.second)
    length = min(command.length or bench.info.context, bench.info.context)
    if length < 1:
        raise InvalidValue(f"There are no {length} positions.", "Ask for one at least, or 0 for all.")
    yield PositionMaps(run.id, length, position_maps(bench.loaded.model, length))
    return None


def score(models: Models, command: Score, run: Run) -> Job:
    bench, prompt = models.require(command.second), command.prompt
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
    check = check_of(run)
    if isinstance(bench.loaded.model, Encoder):
        encoder, tokenizer, text = bench.loaded.model, bench.tokenizer, text_ids(bench, prompt)
        mask = encoding.mask_of(encoder, tokenizer)
        yield from scoring.score_masked(run.id, encoder, tokenizer, text, mask, check, command.candidates)
        return None
    ids, model = opened(bench, prompt)
    job = scoring.score_target if isinstance(model, Target) else scoring.score
    yield from job(run.id, model, bench.writer, ids, check, command.candidates)
    return None


def tokenize(models: Models, command: Tokenize, run: Run) -> Job:
    bench, text = models.require(), command.text
    tokenizer = bench.writer if command.setting else bench.tokenizer
    ids = ids_of(tokenizer, text) if command.setting else tokenizer.encode(text, special=command.special)
    yield Tokenized(run.id, tuple(ids), tuple(tokenizer.piece(i) for i in ids))
    return None


def name_pieces(models: Models, command: NamePieces, run: Run) -> Job:
    bench = models.require(command.second)
    tokenizer = bench.tokenizer if command.source else bench.writer
    yield Tokenized(run.id, command.ids, tuple(tokenizer.piece(i) for i in command.ids))
    return None


def render(models: Models, command: RenderTemplate, run: Run) -> Job:
    template = models.require().require_template()
    rendered = template.render(command.messages, command.add_generation_prompt)
    yield Rendered(run.id, rendered.text, tuple(rendered.ids), tuple(rendered.spans))
    return None
