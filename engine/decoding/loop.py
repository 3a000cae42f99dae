"""The loop that writes: read the prompt in chunks, then draw, record and feed back one token at a time.

It yields the engine's own events, so the caller turns it and closes it; it knows a decoder, a tokenizer and the
sampling chain, and no thread. Every step that touches the model is decorated, never wrapped around a yield:
inference mode would leak to whoever runs next.
"""

from __future__ import annotations

import functools
import secrets
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.decoding.contexts import Context
from engine.decoding.contrast import Contrast
from engine.decoding.guidance import Guide
from engine.decoding.recorder import Recorder, top_ids
from engine.decoding.speculation import Ahead, Speculation
from engine.decoding.wording import bias, words
from engine.errors import Cancelled, ContextOverflow, InvalidValue, is_out_of_memory
from engine.messages import Drawing, Event, Generated, Progress, Started, Stats, Tokens
from engine.models.base import Decoder
from engine.params import CaptureParams, SamplingParams
from engine.sampling.chain import Moment, advance, among, apply, draw, trace
from engine.text.tokenizer import Tokenizer

if TYPE_CHECKING:  # importing it takes a library that few answers need
    from engine.decoding.structured import Structure

CHUNK = 256
"""Rows read in one pass: enough for two threads of a processor, and Stop waits for one layer of so many at most."""

CHUNK_ON_GPU = 2048
"""On a GPU fewer leave it waiting, and a layer takes no time."""

STATS_INTERVAL = 0.1


@dataclass(slots=True)
class Settings:
    """What a running generation looks up at each token; Retune replaces the fields."""

    sampling: SamplingParams
    capture: CaptureParams


def checker(cancelled: Callable[[], bool]) -> Callable[[], None]:
    """A check that raises Cancelled once the run is cancelled."""

    def check() -> None:
        if cancelled():
            raise Cancelled

    return check


def read(run: int, context: Context, ids: Sequence[int], check: Callable[[], None]) -> Generator[Event, None, Tensor]:
    """Read ids into the context in chunks; yields Progress and captures, returns the last logits, float32 [V]."""
    logits = torch.empty(0)
    begun, rows = len(context.ids), CHUNK if context.cache.device.type == "cpu" else CHUNK_ON_GPU
    for start in range(0, len(ids), rows):
        if len(ids) > rows:
            yield Progress(run, "Reading", begun + start, begun + len(ids))
        logits = context.feed(ids[start : start + rows], check)
        yield from context.tap.events(run, last=start + rows >= len(ids))
    return logits


def check_prompt(ids: Sequence[int], model: Decoder) -> None:
    """Refuse a prompt that is empty, holds unknown ids or leaves no room for an answer."""
    if not ids:
        raise InvalidValue("The prompt is empty.", "Type something first.")
    wrong = next((i for i in ids if not 0 <= i < model.config.vocabulary), None)
    if wrong is not None:
        raise InvalidValue(
            f"The id {wrong} is not in this model's vocabulary.",
            f"Ids go from 0 to {model.config.vocabulary - 1}.",
        )
    if len(ids) > model.config.context:
        raise ContextOverflow(
            f"This needs {len(ids):,} tokens and the model can hold {model.config.context:,}, answer included.",
            "Shorten the text, or start a new chat.",
        )


def generate(
    run: int,
    context: Context,
    tokenizer: Tokenizer,
    prompt_ids: Sequence[int],
    answer_ids: Sequence[int],
    rendered: str,
    eos_ids: frozenset[int],
    settings: Settings,
    check: Callable[[], None],
    source: Sequence[int] | None = None,
    speculation: Speculation | None = None,
    forced: Sequence[int] = (),
    structure: Structure | None = None,
    guide: Guide | None = None,
) -> Generator[Event, None, str]:
    """Write an answer after prompt_ids + answer_ids; returns why it ended: eos, length, stop, grammar or cancelled.

    source: what was read by an encoder before, which Generated then names as the prompt. Of the context, the longest
    common prefix is reused. speculation: what drafts, where anything may. forced: what the answer goes on with whatever
    would be drawn, recorded all the same. structure: the answer's form; where nothing fits it any more the answer ends
    with "grammar". guide: what guidance keeps away from. On Cancelled, thrown in or raised by check, it still yields
    what it held back and the Generated that sums up.
    """
    ids = [*prompt_ids, *answer_ids]
    model = context.model
    check_prompt(ids, model)
    reused = context.keep(ids)
    seed = settings.sampling.seed if settings.sampling.seed >= 0 else secrets.randbelow(2**31)
    recorder = Recorder(tokenizer, ids, settings.sampling.stop, settings.sampling.banned_phrases)
    begin = len(ids)
    ahead = Ahead(context, speculation)
    contrast = Contrast()
    begun = read_at = time.perf_counter()
    finish = "length"
    try:
        stops = tuple(sorted(breakers(tokenizer, settings.sampling.dry_breakers)))
        size = model.config.vocabulary
        drawing = Drawing(seed, tuple(ids), len(prompt_ids), size, settings.sampling, stops, len(forced))
        yield Started(run, tuple(prompt_ids), rendered, seed, reused, tuple(source or ()), drawing)
        logits = yield from read(run, context, ids[reused:], check)
        read_at = time.perf_counter()
        times = deque([read_at])
        shown = 0.0
        history = torch.tensor([ids], device=logits.device)
        moments = [_begin(seed, ids, prompt_ids, source, eos_ids, logits.device)]
        barred: dict[int, frozenset[int]] = {}  # by place in the answer, what began a banned phrase there
        while True:
            sampling = settings.sampling
            answer = ids[len(prompt_ids) :]
            allowed = against = None
            if structure is not None:
                allowed = structure.allowed(answer)
                if allowed is None:
                    finish = "eos" if structure.complete(answer) else "grammar"
                    break
                allowed = allowed.to(logits.device)
            if guide is not None and sampling.guidance != 1:
                if not guide.fits(len(answer)):
                    break
                against = guide.logits(answer, check)
            moment = replace(
                moments[-1],
                breakers=breakers(tokenizer, sampling.dry_breakers),
                words=words(tokenizer, sampling.banned_words),
                bias=bias(tokenizer, sampling.logit_bias),
                barred=barred.get(recorder.count, frozenset()),
                allowed=allowed,
                against=against,
            )
            must = forced[recorder.count] if recorder.count < len(forced) else None
            if must is None and sampling.contrast > 0:
                ahead.settle(len(ids))
                final = apply(logits[None], history, sampling, moment)[0]
                must = contrast.choose(context, ids, final, sampling, check)
            token, moment = _draw_and_record(logits, history, sampling, settings.capture, moment, recorder, must)
            moment = replace(moment, allowed=None, against=None)
            moments.append(moment)
            ids.append(token)
            if recorder.banned is not None:
                place = recorder.banned
                if _bar(barred, place, ids[begin + place]):
                    recorder.rewind(place)
                    del ids[begin + place :], moments[place + 1 :]
                    ahead.settle(len(ids) - 1)
                    history = history[:, : len(ids)]
                    logits = yield from read(run, context, ids[context.keep(ids) :], check)
                    continue
                recorder.accept()
            text, records = recorder.release()
            if text or records:
                yield Tokens(run, text, records)
            now = time.perf_counter()
            times.append(now)
            while len(times) > 2 and now - times[0] > 1.0:
                times.popleft()
            if now - shown > STATS_INTERVAL:
                shown = now
                rate = (len(times) - 1) / max(now - times[0], 1e-9)
                used = min(len(context.ids), len(ids) - 1)
                yield Stats(run, used, model.config.context, recorder.count, rate, *ahead.counts)
            if token in eos_ids:
                finish = "eos"
                break
            if recorder.stopped:
                finish = "stop"
                break
            if recorder.count >= sampling.max_new_tokens or len(ids) > model.config.context:
                break
            check()
            context.tap.params = settings.capture
            context.prepare(len(ids))
            history = torch.cat((history, torch.tensor([[token]], device=history.device)), 1)
            if context.ids:
                # One token more will be drawn from what is read now, so so many drafted ones could be of use.
                most = min(sampling.max_new_tokens - recorder.count - 1, model.config.context - len(ids))
                choose = functools.partial(
                    _imagine, history, sampling, moment, structure, tuple(ids[len(prompt_ids) :])
                )
                drafting = "off" if sampling.contrast > 0 else sampling.speculation
                logits = ahead.after(ids, drafting, most, choose, check)
            else:
                logits = yield from read(run, context, ids, check)
            yield from context.tap.events(run)
    except Cancelled:
        finish = "cancelled"
    except Exception as error:
        if not (is_out_of_memory(error) and recorder.count):
            raise
        finish = "memory"
    ahead.settle(len(ids) - 1)
    ended = time.perf_counter()
    text, records = recorder.finish()
    rate = max(0, recorder.count - 1) / max(ended - read_at, 1e-9) if recorder.count > 1 else 0.0
    yield from shielded(
        [
            *([Tokens(run, text, records)] if text or records else []),
            *context.tap.events(run, last=True),
            Stats(run, len(context.ids), model.config.context, recorder.count, rate, *ahead.counts),
            Generated(
                run,
                tuple(prompt_ids if source is None else source),
                tuple(recorder.ids),
                recorder.text,
                finish,
                read_at - begun,
                ended - read_at,
                rate,
            ),
        ]
    )
    if finish == "memory":
        raise MemoryError
    return finish


def shielded(events: Iterable[Event]) -> Generator[Event, None, None]:
    """Yield every event even when a Cancelled arrives between them: it is too late to stop, and nothing may be lost."""
    for event in events:
        try:
            yield event
        except Cancelled:
            continue


@functools.lru_cache(maxsize=32)
def breakers(tokenizer: Tokenizer, texts: tuple[str, ...]) -> frozenset[int]:
    """The ids that end a run for DRY: of each text, the last id that it gets behind a letter, as inside a sentence."""
    return frozenset(ids[-1] for text in texts if (ids := tokenizer.encode("a" + text, special=False)))


def _begin(
    seed: int,
    ids: Sequence[int],
    prompt_ids: Sequence[int],
    source: Sequence[int] | None,
    eos_ids: frozenset[int],
    device: torch.device,
) -> Moment:
    """The moment of an answer's first token. What an encoder read counts as the prompt where there is one."""
    read = None if source is None else torch.tensor(list(source), device=device)
    return Moment(seed, len(ids), len(prompt_ids), len(ids) - len(prompt_ids), ends=eos_ids, source=read)


def _bar(barred: dict[int, frozenset[int]], place: int, id: int) -> bool:
    """Bar an id from a place and forget what was barred behind it; False where it was barred and came all the same."""
    known = barred.get(place, frozenset())
    if id in known:
        return False
    for behind in [other for other in barred if other > place]:
        del barred[behind]
    barred[place] = known | {id}
    return True


@torch.inference_mode()
def _imagine(
    history: Tensor,
    sampling: SamplingParams,
    moment: Moment,
    structure: Structure | None,
    answer: tuple[int, ...],
    logits: Tensor,
    drafted: Sequence[int],
) -> int:
    """What would be drawn from a draft model's logits, float32 [V], after an answer and so many drafted tokens."""
    allowed = structure.allowed((*answer, *drafted)) if structure is not None else None
    logits = logits.to(history.device)
    history = torch.cat((history, torch.tensor([list(drafted)], dtype=history.dtype, device=history.device)), 1)
    count = len(drafted)
    moment = replace(moment, position=moment.position + count, written=moment.written + count, allowed=allowed)
    return draw(apply(logits[None], history, sampling, moment)[0], moment.seed, moment.position)


@torch.inference_mode()
def _draw_and_record(
    logits: Tensor,
    history: Tensor,
    sampling: SamplingParams,
    capture: CaptureParams,
    moment: Moment,
    recorder: Recorder,
    must: int | None,
) -> tuple[int, Moment]:
    """Choose the token of the moment and write its record; returns the next moment too.

    logits float32 [V], history [1, T]. must: the token that it has to be, or None.
    """
    logits = logits.cpu()
    best = top_ids(logits, capture.candidates)
    result = trace(logits, history, sampling, best, moment)
    token = among(result.ids, result.left, moment.seed, moment.position) if must is None else must
    if capture.candidates and not bool((best == token).any()):
        best = torch.cat((best, torch.tensor([token])))
        result = result.about(best)
    recorder.add(token, moment.position, logits, best, result)
    return token, advance(moment, sampling, result, token)
