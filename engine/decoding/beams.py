"""Beam search over an encoder-decoder's targets: the few best beginnings are continued side by side.

The rules of finishing and of stopping early are transformers' own, so that its ids are found. One source at a time: the
beams are the batch. It yields after every step, so its caller shows the beams and stops it by closing it; like the
loop, it decorates the steps that touch the model and never wraps a yield.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from engine.decoding.cache import KVCache
from engine.decoding.contexts import Context
from engine.decoding.loop import check_prompt, shielded
from engine.decoding.recorder import Recorder
from engine.decoding.targets import Target
from engine.errors import Cancelled
from engine.messages import Beam, Beams, Event, Generated, Started, Stats, Tokens
from engine.models.base import Memory, Seq2Seq
from engine.params import CaptureParams, SamplingParams
from engine.sampling.chain import trace
from engine.text.tokenizer import Tokenizer

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
    model: Seq2Seq,
    memory: Memory,
    begin: Sequence[int],
    eos_ids: Collection[int],
    how: Search,
    check: Callable[[], None] | None = None,
    adjust: Adjust | None = None,
) -> Generator[list[Found], None, list[Found]]:
    """Continue the target that begins with `begin`; yields the running beams, returns the finished, each best first.

    memory: of one source. Raises what check raises, between layers.
    """
    memory = memory.repeated(how.beams)
    cache = KVCache.for_model(model, batch=how.beams)
    # At first all beams are the same: the first of them speaks for all.
    running = [Found((), 0.0)] + [Found((), NEVER)] * (how.beams - 1)
    finished: list[Found] = []
    rest = torch.tensor([list(begin)] * how.beams, device=memory.states.device)
    most = min(how.max_new_tokens, model.config.context - len(begin))
    keep = max(2, 1 + len(eos_ids)) * how.beams  # enough that as many as there are beams go on
    for length in range(1, most + 1):
        logprobs = _step(model, rest, memory, cache, check)
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
def _step(model: Seq2Seq, ids: Tensor, memory: Memory, cache: KVCache, check: Callable[[], None] | None) -> Tensor:
    return model.decode(ids, memory, cache, check=check, last=True)[:, -1].log_softmax(-1)


def write(
    run: int,
    target: Target,
    tokenizer: Tokenizer,
    begin: Sequence[int],
    rendered: str,
    eos_ids: Collection[int],
    sampling: SamplingParams,
    early: object,
    capture: CaptureParams,
    check: Callable[[], None],
) -> Generator[Event, None, str]:
    """Write a target with sampling's beams: yields Started, the Beams of every step, Tokens once and Generated.

    early: generation_config's early_stopping. When it is cancelled, the best beam up to then is the answer. Returns the
    reason it ended.
    """
    check_prompt(begin, target)
    stops: bool | Literal["never"] = "never" if early == "never" else early is True
    how = Search(sampling.beams, sampling.length_penalty, stops, sampling.max_new_tokens)
    yield Started(run, tuple(begin), rendered, 0, 0, target.source)
    begun = time.perf_counter()
    held: list[Found] = []
    finish = "cancelled"
    try:
        memory = target.read(check)
        steps = search(target.model, memory, begin, eos_ids, how, check, target.rules)
        while True:
            held = next(steps)
            beams = tuple(Beam(found.ids, tokenizer.decode(found.ids), found.score) for found in held)
            yield Beams(run, beams)
    except Cancelled:
        pass
    except StopIteration as end:
        held = end.value
        finish = "eos" if held[0].ids[-1] in eos_ids else "length"
    seconds = time.perf_counter() - begun
    shown = tuple(Beam(found.ids, tokenizer.decode(found.ids), found.score, finish != "cancelled") for found in held)
    recorder = Recorder(tokenizer, begin, sampling.stop)
    context = Context.fresh(Target(target.model, target.source), capture)
    _read_again(context, begin, held[0].ids if held else (), recorder)
    if recorder.stopped:
        finish = "stop"
    text, records = recorder.finish()
    ids, rate = tuple(recorder.ids), recorder.count / max(seconds, 1e-9)
    yield from shielded(
        [
            Beams(run, shown),
            *([Tokens(run, text, records)] if text or records else []),
            *context.tap.events(run, last=True),
            Stats(run, len(context.ids), target.config.context, len(ids), rate),
            Generated(run, target.source, ids, recorder.text, finish, 0.0, seconds, rate),
        ]
    )
    return finish


@torch.inference_mode()
def _read_again(context: Context, begin: Sequence[int], ids: Sequence[int], recorder: Recorder) -> None:
    """Read the answer once more, now alone, to record its tokens and its attention, up to a stop string."""
    if not ids:
        return
    rows = context.feed([*begin, *ids][:-1], lambda: None, last=False)[len(begin) - 1 :]
    history, plain = torch.tensor([*begin, *ids], device=rows.device), SamplingParams.neutral()
    for count, (token, row) in enumerate(zip(ids, rows), len(begin)):
        best = torch.topk(row, min(context.tap.params.candidates, len(row))).indices
        if context.tap.params.candidates and token not in best:
            best = torch.cat((best, history[count : count + 1]))
        recorder.add(token, count, row, best, trace(row, history[:count], plain, best))
        if recorder.stopped:
            return
