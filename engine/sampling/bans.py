"""Steps that come before all others: what the text has to be, whatever is likely.

They speak of ids; what texts they stand for, where an answer may end and what a grammar lets through is in the moment.
None leaves nothing: where all would go, the best stays.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from engine.params import SamplingParams
from engine.sampling.moment import START, Moment


def guidance(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """log p = u + g (c - u): c the model's log-probabilities, u those after the negative prompt. logits [B, V].

    Source: Sanchez et al. 2023, Stay on topic with Classifier-Free Guidance, equation 7; as transformers has it.
    """
    if moment.against is None:
        return logits
    c, u = logits.log_softmax(dim=-1), moment.against.log_softmax(dim=-1)
    return torch.where(c > -torch.inf, u + params.guidance * (c - u), c)


def grammar(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Keep the tokens that can go on as the grammar wants. logits [B, V]."""
    if moment.allowed is None:
        return logits
    return torch.where(moment.allowed, logits, logits.new_tensor(-torch.inf))


def ends(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Cut the ids that end an answer, always or until it has min_new_tokens. logits [B, V].

    Source: transformers, MinNewTokensLengthLogitsProcessor; text-generation-webui's "Ban the eos_token".
    """
    if params.end_token == "allowed" and moment.written >= params.min_new_tokens:
        return logits
    return _without(logits, moment.ends)


def bans(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """Cut the id that would complete a banned word, and those barred here because a banned phrase began with them.

    logits [B, V], history int64 [B, T]. Source: transformers, NoBadWordsLogitsProcessor.
    """
    for size in sorted({len(word) for word in moment.words}):
        words = [word for word in moment.words if len(word) == size]
        if size == 1:
            logits = _without(logits, [word[0] for word in words])
        elif history.shape[1] >= size - 1:
            for row, past in enumerate(history[:, history.shape[1] - size + 1 :].tolist()):
                last = [word[-1] for word in words if list(word[:-1]) == past]
                if last:
                    logits = logits.clone()
                    logits[row : row + 1] = _without(logits[row : row + 1], last)
    return _without(logits, moment.barred) if moment.barred else logits


def logit_bias(logits: Tensor, history: Tensor, params: SamplingParams, moment: Moment = START) -> Tensor:
    """l[id] += b for every id that has a bias. logits [B, V]. Source: OpenAI's API reference, logit_bias."""
    known = [(id, value) for id, value in moment.bias if id < logits.shape[-1]]
    if not known:
        return logits
    ids, values = zip(*known)
    return logits.index_add(-1, _index(ids, logits), logits.new_tensor(values).expand(logits.shape[0], -1).contiguous())


def _without(logits: Tensor, ids: Iterable[int]) -> Tensor:
    """Cut these ids; a row that would be left empty keeps its best. A copy."""
    index = _index([id for id in ids if id < logits.shape[-1]], logits)
    result = logits.index_fill(-1, index, -torch.inf)
    empty = ~(result > -torch.inf).any(dim=-1)
    if bool(empty.any()):
        best = logits.argmax(dim=-1, keepdim=True)
        result = torch.where(empty[:, None], result.scatter(-1, best, logits.gather(-1, best)), result)
    return result


def _index(ids: Iterable[int], like: Tensor) -> Tensor:
    return torch.tensor(list(ids), dtype=torch.long, device=like.device)
