"""Beam search over answers and targets: the few best beginnings are continued side by side.

The rules of finishing and of stopping early are transformers' own, so that its ids are found. One text at a time: the
beams are the batch. It yields after every step, so its caller shows the beams and stops it by closing it; like the
loop, it decorates the steps that touch the model and never wraps a yield.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from engine.decoding.cache import KVCache
from engine.decoding.constraints import Rules
from engine.decoding.contexts import Context
from engine.decoding.loop import breakers, check_prompt, read, shielded
from engine.decoding.recorder import Recorder
from engine.decoding.targets import Target
from engine.decoding.wording import bias, words
from engine.errors import Cancelled
from engine.messages import Beam, Beams, Event, Generated, Started, Stats, Tokens
from engine.models.base import Decoder, Memory, Seq2Seq
from engine.params import SamplingParams
from engine.sampling.chain import Moment, active, apply, trace
from engine.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from engine.decoding.structured import Structure

Adjust = Callable[[list[int], Tensor], Tensor]
"""Takes the ids of one target and the log-probabilities [V] of what follows, gives what is left of them."""


NEVER = -1e9
"""The log-probability of a beam that does not count."""


@dataclass(frozen=True, slots=True)
class Search:
    """How to search. length_penalty: the power of the length that a finished target's log-probability is divided by.

    early: True stops once there are as many finished targets as beams; False, once no running beam would become better
    if it ended now; "never" also counts what it could gain by growing, where the penalty favours long targets.
    """

    beams: int = 4
    length_penalty: float = 1.0
    early: bool | Literal["never"] = False
    max_new_tokens: int = 64


@dataclass(frozen=True, slots=True)
class Found:
    """A target without the ids it began with; score: its log-probability, once finished with the length penalty."""

    ids: tuple[int, ...]
    score: float


def search(
    model: Seq2Seq | Decoder,
    memory: Memory | None,
    begin: Sequence[int],
    eos_ids: Collection[int],
    how: Search,
    check: Callable[[], None] | None = None,
    adjust: Adjust | None = None,
    cache: KVCache | None = None,
) -> Generator[list[Found], None, list[Found]]:
    """Continue the text that begins with `begin`; yields the running beams, returns the finished, each best first.

    memory: of an encoder-decoder's one source. cache: holds what was read of `begin`, which is not all of it. Raises
    what check raises, between layers.
    """
    memory = memory.repeated(how.beams) if memory is not None else None
    read = cache.length if cache is not None else 0
    cache = KVCache.for_model(model, batch=how.beams) if cache is None else cache.repeated(how.beams)
    # At first all beams are the same: the first of them speaks for all.
    running = [Found((), 0.0)] + [Found((), NEVER)] * (how.beams - 1)
    finished: list[Found] = []
    rest = torch.tensor([list(begin[read:])] * how.beams, device=cache.device)
    most = min(how.max_new_tokens, model.config.context - len(begin))
    keep = max(2, 1 + len(eos_ids)) * how.beams  # enough that as many as there are beams go on
    for length in range(1, most + 1):
        logprobs = _step(model, rest, memory, cache, check, len(begin) + most)
        if adjust is not None:
            logprobs = torch.stack([adjust([*begin, *b.ids], row) for b, row in zip(running, logprobs)])
        scores = logprobs + torch.tensor([beam.score for beam in running], device=rest.device)[:, None]
        best = torch.topk(scores.flatten(), min(keep, scores.numel()))
        going_on: list[tuple[int, Found]] = []
        for rank, (score, index) in enumerate(zip(best.values.tolist(), best.indices.tolist())):
            row, token = divmod(index, scores.shape[1])
            ids = (*running[row].ids, token)
            if token not in eos_ids and length < most:
                going_on.append((row, Found(ids, score)))
            elif rank < how.beams:
                finished.append(Found(ids, score / length**how.length_penalty))
        finished = sorted(finished, key=lambda beam: -beam.score)[: how.beams]
        if not going_on:
            break
        going_on = going_on[: how.beams]
        running = [beam for _, beam in going_on]
        yield running
        if len(finished) == how.beams and (
            how.early is True or not _may_improve(running[0], finished, length, most, how)
        ):
            break
        cache.reorder(torch.tensor([row for row, _ in going_on], device=rest.device))
        rest = torch.tensor([beam.ids[-1:] for beam in running], device=rest.device)
    return finished


def _may_improve(best: Found, finished: list[Found], length: int, most: int, how: Search) -> bool:
    """Whether the best running beam could still be better than the worst finished one."""
    if how.early == "never" and how.length_penalty > 0:
        length = most
    return best.score / length**how.length_penalty > finished[-1].score


@torch.inference_mode()
def _step(
    model: Seq2Seq | Decoder,
    ids: Tensor,
    memory: Memory | None,
    cache: KVCache,
    check: Callable[[], None] | None,
    reach: int,
) -> Tensor:
    if isinstance(model, Decoder):
        logits: Tensor = model(ids, cache, check=check, last=True, reach=reach)
    else:
        assert memory is not None
        logits = model.decode(ids, memory, cache, check=check, last=True)
    return logits[:, -1].log_softmax(-1)


def write(
    run: int,
    context: Context,
    tokenizer: Tokenizer,
    begin: Sequence[int],
    prompt: int,
    rendered: str,
    eos_ids: frozenset[int],
    sampling: SamplingParams,
    early: object,
    check: Callable[[], None],
    structure: Structure | None = None,
    forced: int = 0,
) -> Generator[Event, None, str]:
    """Write an answer with sampling's beams: yields Started, the Beams of every step, Tokens once and Generated.

    begin: the prompt's ids, so many as `prompt` says, and those that the answer has; of the context the longest common
    prefix is reused. forced: how many of the last of them are told and recorded as if they had been found. early:
    generation_config's early_stopping. When it is cancelled, the best beam up to then is the answer. Returns the reason
    it ended.
    """
    model = context.model
    known, must = begin[: len(begin) - forced], tuple(begin[len(begin) - forced :])
    check_prompt(begin, model)
    stops: bool | Literal["never"] = "never" if early == "never" else early is True
    how = Search(sampling.beams, sampling.length_penalty, stops, sampling.max_new_tokens)
    target = model if isinstance(model, Target) else None
    source = target.source if target is not None else ()
    context.keep(known)
    context.prepare(len(begin) + min(how.max_new_tokens, model.config.context - len(begin)))
    yield Started(run, tuple(begin[:prompt]), rendered, 0, len(context.ids), source)
    begun = time.perf_counter()
    held: list[Found] = []
    finish = "cancelled"
    moment_of = functools.partial(_moment, tokenizer, prompt, eos_ids, sampling, structure, source)
    try:
        if target is not None:
            adjust = functools.partial(_adjusted, target.rules, sampling, moment_of)
            steps = search(target.model, target.read(check), begin, eos_ids, how, check, adjust)
        else:
            yield from read(run, context, known[len(context.ids) : -1], check)
            adjust = functools.partial(_adjusted, None, sampling, moment_of)
            steps = search(model, None, begin, eos_ids, how, check, adjust, context.cache)
        while True:
            held = next(steps)
            yield Beams(run, _shown(tokenizer, must, held, False))
    except Cancelled:
        pass
    except StopIteration as end:
        held = end.value
        finish = "eos" if held[0].ids[-1] in eos_ids else "length"
    seconds = time.perf_counter() - begun
    shown = _shown(tokenizer, must, held, finish != "cancelled")
    recorder = Recorder(tokenizer, known, sampling.stop)
    if target is not None:  # what the model itself says is recorded, without the rules
        context = Context.fresh(Target(target.model, source), context.tap.params)
    _read_again(context, known, (*must, *held[0].ids) if held else (), recorder, sampling, moment_of)
    if recorder.stopped:
        finish = "stop"
    text, records = recorder.finish()
    ids, rate = tuple(recorder.ids), recorder.count / max(seconds, 1e-9)
    yield from shielded(
        [
            Beams(run, shown),
            *([Tokens(run, text, records)] if text or records else []),
            *context.tap.events(run, last=True),
            Stats(run, len(context.ids), model.config.context, len(ids), rate),
            Generated(run, source or tuple(begin[:prompt]), ids, recorder.text, finish, 0.0, seconds, rate),
        ]
    )
    return finish


def _shown(tokenizer: Tokenizer, must: tuple[int, ...], held: Sequence[Found], finished: bool) -> tuple[Beam, ...]:
    """The beams as they are told: with the ids that they had to begin with."""
    return tuple(
        Beam((*must, *found.ids), tokenizer.decode((*must, *found.ids)), found.score, finished) for found in held
    )


def _moment(
    tokenizer: Tokenizer,
    prompt: int,
    eos_ids: frozenset[int],
    sampling: SamplingParams,
    structure: Structure | None,
    source: Sequence[int],
    ids: Sequence[int],
) -> Moment:
    """What the steps may know after these ids; a banned phrase counts as a banned word, since no beam goes back."""
    return Moment(
        position=len(ids),
        prompt=prompt,
        written=len(ids) - prompt,
        breakers=breakers(tokenizer, sampling.dry_breakers),
        ends=eos_ids,
        source=torch.tensor(source) if source else None,
        words=words(tokenizer, sampling.banned_words + sampling.banned_phrases),
        bias=bias(tokenizer, sampling.logit_bias),
        allowed=structure.allowed(ids[prompt:]) if structure is not None else None,
    )


def _adjusted(
    rules: Rules | None,
    sampling: SamplingParams,
    moment_of: Callable[[Sequence[int]], Moment],
    ids: list[int],
    logprobs: Tensor,
) -> Tensor:
    """Log-probabilities [V] of what follows ids, as the checkpoint's rules and the sampling's steps leave them."""
    if rules is not None:
        logprobs = rules(ids, logprobs)
    if not active(sampling) or not bool((logprobs > -torch.inf).any()):
        return logprobs
    return apply(logprobs[None].cpu(), torch.tensor([ids]), sampling, moment_of(ids))[0].to(logprobs.device)


@torch.inference_mode()
def _read_again(
    context: Context,
    begin: Sequence[int],
    ids: Sequence[int],
    recorder: Recorder,
    sampling: SamplingParams,
    moment_of: Callable[[Sequence[int]], Moment],
) -> None:
    """Read the answer once more, now alone, to record its tokens and its attention, up to a stop string."""
    if not ids:
        return
    whole = [*begin, *ids]
    rows = context.feed(whole[len(context.ids) : -1], lambda: None, last=False)[-len(ids) :].cpu()
    for count, (token, row) in enumerate(zip(ids, rows), len(begin)):
        best = torch.topk(row, min(context.tap.params.candidates, len(row))).indices
        if context.tap.params.candidates and token not in best:
            best = torch.cat((best, torch.tensor([token])))
        result = trace(row, torch.tensor(whole[:count]), sampling, best, moment_of(whole[:count]))
        recorder.add(token, count, row, best, result)
        if recorder.stopped:
            return
