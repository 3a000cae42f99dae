"""How likely a model finds a given text: log-probability and entropy of every token that has a context.

A text longer than the context is read in windows that overlap by half; every token is scored once, with at least half
a context before it, and the perplexity weighs tokens, not windows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from engine.decoding.contexts import Context
from engine.decoding.loop import CHUNK, check_prompt
from engine.errors import InvalidValue
from engine.lanes import Job
from engine.messages import Progress, Scored
from engine.models.base import Decoder
from engine.params import CaptureParams
from engine.text.tokenizer import Tokenizer


def score(run: int, model: Decoder, tokenizer: Tokenizer, ids: Sequence[int], check: Callable[[], None]) -> Job:
    """Yields Progress while it reads and one Scored at the end."""
    if len(ids) < 2:
        raise InvalidValue("There is nothing to score: the first token has no context.", "Give at least two tokens.")
    check_prompt(ids[: model.config.context - 1], model)
    if any(not 0 <= i < model.config.vocabulary for i in ids):
        check_prompt([next(i for i in ids if not 0 <= i < model.config.vocabulary)], model)
    size = model.config.context
    logprobs: list[float | None] = [None]
    entropies: list[float | None] = [None]
    start = 0
    while len(logprobs) < len(ids):
        context = Context.fresh(model, CaptureParams(candidates=0))
        window = ids[start : start + size]
        context.prepare(len(window))
        for at in range(0, len(window), CHUNK):
            yield Progress(run, "Scoring", start + at, len(ids))
            rows = context.feed(window[at : at + CHUNK], check, last=False)
            skip = max(0, len(logprobs) - (start + at + 1))  # rows whose next token the window before has scored
            targets = window[at + 1 : at + 1 + CHUNK]
            if skip < len(targets):
                chosen, entropy = _score_rows(rows[skip : len(targets)], targets[skip:])
                logprobs.extend(chosen)
                entropies.extend(entropy)
        start += size // 2
    known = [value for value in logprobs if value is not None]
    nll = -math.fsum(known)
    yield Scored(
        run,
        tuple(ids),
        tuple(tokenizer.piece(i) for i in ids),
        tuple(logprobs),
        tuple(entropies),
        nll,
        math.exp(min(700.0, nll / len(known))),
        len(known),
    )
    return None


def score_target(run: int, model: Decoder, tokenizer: Tokenizer, ids: Sequence[int], check: Callable[[], None]) -> Job:
    """The same for an encoder-decoder's target: its first id is the model's own and is no part of what is scored."""
    for event in score(run, model, tokenizer, ids, check):
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


@torch.inference_mode()
def _score_rows(logits: Tensor, targets: Sequence[int]) -> tuple[list[float], list[float]]:
    """logits float32 [T, V] and the T tokens that follow; log-probabilities and entropies in nats."""
    logprobs = torch.log_softmax(logits, -1)
    chosen = logprobs.gather(1, torch.tensor(targets, device=logits.device)[:, None])[:, 0]
    entropy = -(logprobs.exp() * logprobs).nan_to_num(0.0).sum(-1)
    return chosen.tolist(), entropy.tolist()
