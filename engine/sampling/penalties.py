"""Penalties: what was written before becomes less likely, or more. They look at ids only, at no text."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch import where as choose

from engine.params import SamplingParams
from engine.sampling.moment import START, Moment
from engine.sampling.repetition import longest_match, repeats, tally


def penalties(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Repetition, frequency and presence penalty over the last penalty_window ids.

    logits float32 [B, V], history int64 [B, T] (prompt and answer, or the answer alone as penalty_scope says). For an
    id that occurs n > 0 times, with r, f and s the three penalties: l > 0 ? l / r : l * r, then l - n f - s. Sources:
    Keskar et al. 2019 (CTRL) section 4.1 for r; OpenAI's API reference for f and s; llama.cpp llama-sampler.cpp for
    their order.
    """
    if params.penalty_scope == "answer":
        history = history[:, moment.prompt :]
    recent = history[:, -params.penalty_window :]
    if not recent.shape[1]:
        return logits
    r, f, s = params.repetition_penalty, params.frequency_penalty, params.presence_penalty
    result = logits.clone()
    for row, past in zip(result.numpy(), recent.numpy()):
        ids, counts = tally(past)
        values = row[ids]
        values = np.where(values > 0, values / np.float32(r), values * np.float32(r))
        row[ids] = values - counts.astype(np.float32) * np.float32(f) - np.float32(s)
    return result


def stay(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Favour the ids of the prompt, or of an encoder's source: l > 0 ? l * r : l / r, so r > 1 makes them likelier.

    logits [B, V]. Source: transformers, EncoderRepetitionPenaltyLogitsProcessor (the penalty with 1 / r).
    """
    ids = history[:, : moment.prompt] if moment.source is None else moment.source.expand(history.shape[0], -1)
    if not ids.shape[1]:
        return logits
    values = logits.gather(1, ids)
    r = params.stay_in_prompt
    return logits.scatter(1, ids, choose(values > 0, values * r, values / r))


def dry(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Don't Repeat Yourself: l[x] -= M B^(m - A) where writing x would repeat a run whose last m >= A ids end history.

    M, B, A: dry_multiplier, dry_base, dry_allowed_length; m is the longest such run within dry_window and between
    breakers. logits [B, V], history int64 [B, T]. Source: p-e-w, text-generation-webui, pull request 5677.
    """
    if not params.dry_window:
        return logits
    result, longest = logits.clone(), longest_match(params)
    for row, past in zip(result.numpy(), history[:, -params.dry_window :].numpy()):
        for x, length in repeats(past, moment.breakers, longest).items():
            if length >= params.dry_allowed_length:
                row[x] -= params.dry_multiplier * params.dry_base ** (length - params.dry_allowed_length)
    return result


def no_repeat(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Forbid any id that would complete a run of n ids already there; the best is kept if that would cut everything.

    logits [B, V], history int64 [B, T]. Source: Paulus, Xiong and Socher 2017, section 2.5; as transformers has it.
    """
    n = params.no_repeat_ngram
    if n < 1 or history.shape[1] < n:
        return logits
    windows = history.unfold(1, n, 1)  # [B, T - n + 1, n]
    prefix = history[:, history.shape[1] - n + 1 :].unsqueeze(1)
    result = logits.clone()
    for row, same in enumerate((windows[:, :, :-1] == prefix).all(dim=-1)):
        result[row, windows[row, same, -1]] = -torch.inf
        if not bool((result[row] > -torch.inf).any()):
            best = logits[row].argmax()
            result[row, best] = logits[row, best]
    return result
