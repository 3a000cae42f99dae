"""How likely a model finds a given text: log-probability and entropy of every token that it can say something of.

A text longer than the context is read in windows that overlap by half; every token is scored once, with at least half
a context before it, and the perplexity weighs tokens, not windows. An encoder sees both sides: each token is masked in
turn and scored from all the others, many of them in one batch, and a window scores its middle.
Source of the latter: Salazar et al. 2020, Masked Language Model Scoring.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from engine.decoding.contexts import Context
from engine.decoding.loop import CHUNK, check_prompt
from engine.errors import InvalidValue
from engine.lanes import Job
from engine.messages import Floats, Integers, Progress, Scored, TokenRecord
from engine.models.base import Decoder, Encoder
from engine.params import CaptureParams
from engine.text.tokenizer import Detokenizer, Tokenizer

MASKED_AT_ONCE = 4096
"""Tokens of a batch of masked texts."""


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """A distribution and what it says of the token that came; ids, logits: its best ones, and that token."""

    logprob: float
    entropy: float
    rank: int
    lse: float
    std: float
    ids: Integers
    logits: Floats


def score(
    run: int,
    model: Decoder,
    tokenizer: Tokenizer,
    ids: Sequence[int],
    check: Callable[[], None],
    candidates: int = 0,
) -> Job:
    """Yields Progress while it reads and one Scored at the end. candidates: how many to record for each token."""
    if len(ids) < 2:
        raise InvalidValue("There is nothing to score: the first token has no context.", "Give at least two tokens.")
    check_prompt(ids[: model.config.context - 1], model)
    _check_known(ids, model.config.vocabulary)
    size = model.config.context
    seen: list[_Row | None] = [None]
    start = 0
    while len(seen) < len(ids):
        context = Context.fresh(model, CaptureParams(candidates=0))
        window = ids[start : start + size]
        context.prepare(len(window))
        for at in range(0, len(window), CHUNK):
            yield Progress(run, "Scoring", start + at, len(ids))
            rows = context.feed(window[at : at + CHUNK], check, last=False)
            skip = max(0, len(seen) - (start + at + 1))  # rows whose next token the window before has scored
            targets = window[at + 1 : at + 1 + CHUNK]
            if skip < len(targets):
                seen.extend(_look(rows[skip : len(targets)], targets[skip:], candidates))
        start += size // 2
    yield _scored(run, tokenizer, ids, seen, candidates)
    return None


def score_target(
    run: int,
    model: Decoder,
    tokenizer: Tokenizer,
    ids: Sequence[int],
    check: Callable[[], None],
    candidates: int = 0,
) -> Job:
    """The same for an encoder-decoder's target: its first id is the model's own and is no part of what is scored."""
    for event in score(run, model, tokenizer, ids, check, candidates):
        if isinstance(event, Scored):
            event = replace(
                event,
                ids=event.ids[1:],
                pieces=event.pieces[1:],
                logprobs=event.logprobs[1:],
                entropies=event.entropies[1:],
            )
        yield event
    return None


def score_masked(
    run: int,
    model: Encoder,
    tokenizer: Tokenizer,
    ids: Sequence[int],
    mask: int,
    check: Callable[[], None],
    candidates: int = 0,
) -> Job:
    """The pseudo-likelihood: every token but the special ones, masked and scored from all the others.

    mask: the id that stands for a token which is to be found.
    """
    _check_known(ids, model.config.vocabulary)
    begin, end = _body(ids, tokenizer.special_ids)
    if begin == end:
        raise InvalidValue("There is nothing to score.", "Give a text of one word at least.")
    seen: list[_Row | None] = [None] * len(ids)
    done = 0
    for window, shift, places in _windows(ids, begin, end, model.config.context):
        wanted = [place for place in places if ids[place] not in tokenizer.special_ids]
        at_once = max(1, MASKED_AT_ONCE // len(window))
        for at in range(0, len(wanted), at_once):
            yield Progress(run, "Scoring", done, end - begin)
            batch = wanted[at : at + at_once]
            logits = _masked(model, window, [place - shift for place in batch], mask, check)
            for place, row in zip(batch, _look(logits, [ids[place] for place in batch], candidates)):
                seen[place] = row
            done += len(batch)
    yield _scored(run, tokenizer, ids, seen, candidates)
    return None


def _check_known(ids: Sequence[int], vocabulary: int) -> None:
    wrong = next((id for id in ids if not 0 <= id < vocabulary), None)
    if wrong is not None:
        raise InvalidValue(f"The id {wrong} is not in this model's vocabulary.", f"Ids go from 0 to {vocabulary - 1}.")


def _body(ids: Sequence[int], special: frozenset[int]) -> tuple[int, int]:
    """Where the text itself begins and ends between the special tokens around it."""
    begin, end = 0, len(ids)
    while begin < end and ids[begin] in special:
        begin += 1
    while end > begin and ids[end - 1] in special:
        end -= 1
    return begin, end


def _windows(ids: Sequence[int], begin: int, end: int, context: int) -> Iterator[tuple[list[int], int, range]]:
    """The ids of each window with the special tokens around them, what to take off a place to find it there, and the
    places that it scores: the middle half, in the first and the last window what is before or behind it too."""
    size = context - begin - (len(ids) - end)
    if size < 1:
        raise InvalidValue("There are more special tokens than the model can read.", "Give the text without them.")
    step, first = max(1, size // 2), begin
    for start in range(begin, end, step):
        stop = min(start + size, end)
        last = end if stop == end else start + size - size // 4
        yield [*ids[:begin], *ids[start:stop], *ids[end:]], start - begin, range(first, last)
        first = last
        if stop == end:
            return


@torch.inference_mode()
def _masked(
    model: Encoder, window: Sequence[int], places: Sequence[int], mask: int, check: Callable[[], None]
) -> Tensor:
    """Logits float32 [N, V] of each of N places of a window when it alone is masked."""
    device = next(model.parameters()).device
    rows = torch.tensor([list(window)] * len(places), device=device)
    numbers, where = torch.arange(len(places), device=device), torch.tensor(list(places), device=device)
    rows[numbers, where] = mask
    states = model(rows, check=check)[numbers, where]
    return model.fill(states[:, None])[:, 0].float()


def _scored(run: int, tokenizer: Tokenizer, ids: Sequence[int], seen: Sequence[_Row | None], candidates: int) -> Scored:
    nll = -math.fsum(row.logprob for row in seen if row is not None)
    count = sum(row is not None for row in seen)
    return Scored(
        run,
        tuple(ids),
        tuple(tokenizer.piece(id) for id in ids),
        tuple(None if row is None else row.logprob for row in seen),
        tuple(None if row is None else row.entropy for row in seen),
        nll,
        math.exp(min(700.0, nll / count)),
        count,
        _records(tokenizer, ids, seen) if candidates else (),
    )


def _records(tokenizer: Tokenizer, ids: Sequence[int], seen: Sequence[_Row | None]) -> tuple[TokenRecord, ...]:
    """A record of each scored token; their texts joined are the text behind the first unscored ones."""
    detokenizer = Detokenizer(tokenizer)
    records: list[TokenRecord] = []
    for position, (id, row) in enumerate(zip(ids, seen)):
        text = detokenizer.push(id)
        if row is not None:
            records.append(_record(tokenizer, position, id, text, row))
    rest = detokenizer.flush()
    if rest and records:
        records[-1] = replace(records[-1], text=records[-1].text + rest)
    return tuple(records)


def _record(tokenizer: Tokenizer, position: int, id: int, text: str, row: _Row) -> TokenRecord:
    """As if it had been drawn from the raw distribution: nothing is cut."""
    return TokenRecord(
        position=position,
        id=id,
        text=text,
        logprob=row.logprob,
        rank=row.rank,
        entropy=row.entropy,
        lse=row.lse,
        std=row.std,
        candidate_ids=row.ids,
        logits=row.logits,
        pieces=tuple(tokenizer.piece(each) for each in row.ids.tolist()),
        after=np.exp(row.logits - np.float32(row.lse)),
        cut=np.full(len(row.ids), -1, np.int8),
        steps=(),
    )


@torch.inference_mode()
def _look(logits: Tensor, targets: Sequence[int], candidates: int) -> list[_Row]:
    """logits float32 [T, V] and the T tokens that came; what there is to say of each."""
    logprobs = torch.log_softmax(logits, -1)
    places = torch.tensor(list(targets), device=logits.device)[:, None]
    chosen, came = logprobs.gather(1, places)[:, 0], logits.gather(1, places)
    entropy = -(logprobs.exp() * logprobs).nan_to_num(0.0).sum(-1)
    ranks = (logits > came).sum(-1)
    best = logits.topk(min(candidates, logits.shape[-1]), -1)
    figures = (chosen, entropy, ranks, logits.logsumexp(-1), logits.std(-1, correction=0))
    rows = zip(*(each.tolist() for each in figures))
    shown = zip(best.indices.int().cpu().numpy(), best.values.cpu().numpy(), targets, came[:, 0].tolist())
    return [
        _Row(logprob, spread, rank, lse, std, *_with(*best_ones))
        for (logprob, spread, rank, lse, std), best_ones in zip(rows, shown)
    ]


def _with(ids: Integers, logits: Floats, id: int, logit: float) -> tuple[Integers, Floats]:
    """The best ones with the token that came, which stands last where it is not among them."""
    if not len(ids) or (ids == id).any():
        return ids, logits
    return np.append(ids, np.int32(id)), np.append(logits, np.float32(logit))
