"""What has been written so far: token records and their text, held back while a stop string may be under way.

The texts of the records handed out, joined, are always the text handed out; a stop string cuts both at the same place.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.messages import Floats, TokenRecord
from engine.sampling.chain import Trace
from engine.sampling.search import best_places, deviation, entropy, shares
from engine.text.tokenizer import Detokenizer, Tokenizer


class Recorder:
    """Collects the tokens of one answer.

    context_ids: what stands before the answer, for the detokeniser's first space. stops: the stop strings.
    phrases: those that must not appear, whatever their case. banned: where one has, the index of its first token.
    """

    def __init__(
        self, tokenizer: Tokenizer, context_ids: Sequence[int], stops: Sequence[str], phrases: Sequence[str] = ()
    ) -> None:
        self.ids: list[int] = []
        self.banned: int | None = None
        self.text = ""
        self.stopped = False
        self._tokenizer = tokenizer
        self._context = tuple(context_ids)
        self._detokenizer = Detokenizer(tokenizer, context_ids)
        self._phrases = tuple(phrases)
        self._allowed = 0  # phrases that begin before this character stay
        self._stops = tuple(stops)
        self._held: deque[TokenRecord] = deque()
        self._released = 0  # characters of self.text already handed out

    @property
    def count(self) -> int:
        """Tokens drawn."""
        return len(self.ids)

    def add(self, token: int, position: int, logits: Tensor, candidates: Tensor, result: Trace) -> None:
        """Record the token drawn at position. logits: raw float32 [V]; candidates: ids [N]; result: the chain's."""
        self.ids.append(token)
        text = self._detokenizer.push(token)
        self._held.append(_record(token, position, text, logits, candidates, result, self._tokenizer))
        self.text += text
        self.banned = self._find_phrase(len(text))
        if self.banned is None:
            self._look_for_stop(len(text))

    def rewind(self, count: int) -> None:
        """Take back all but the first count tokens, none of which was handed out."""
        while len(self.ids) > count:
            self.ids.pop()
            record = self._held.pop()
            self.text = self.text[: len(self.text) - len(record.text)]
        self._detokenizer = Detokenizer(self._tokenizer, (*self._context, *self.ids))
        self.banned = None

    def accept(self) -> None:
        """Let the banned phrase stand that is there."""
        self._allowed = len(self.text)
        self.banned = None
        self._look_for_stop(len(self.text) - self._released)

    def release(self) -> tuple[str, tuple[TokenRecord, ...]]:
        """The text and the records that are certain by now. A record leaves whole, so the text stays at its edge."""
        safe = len(self.text) - self._withheld()
        return self._hand_out(safe, halves=False)

    def finish(self) -> tuple[str, tuple[TokenRecord, ...]]:
        """Everything still held, at the end; bytes of a character that never came whole become the usual mark."""
        rest = "" if self.stopped else self._detokenizer.flush()
        if rest and self._held:
            self._held[-1] = dataclasses.replace(self._held[-1], text=self._held[-1].text + rest)
            self.text += rest
        return self._hand_out(len(self.text), halves=True)

    def _hand_out(self, safe: int, halves: bool) -> tuple[str, tuple[TokenRecord, ...]]:
        """halves: also let go of tokens that end in the middle of a character."""
        start = self._released
        out: list[TokenRecord] = []
        ready = len(self._held)
        if not halves:
            while ready and not self._held[ready - 1].text and self._held[ready - 1].id not in self._silent:
                ready -= 1
        while ready and self._released + len(self._held[0].text) <= safe:
            record = self._held.popleft()
            ready -= 1
            self._released += len(record.text)
            out.append(record)
        return self.text[start : self._released], tuple(out)

    @property
    def _silent(self) -> frozenset[int]:
        return self._tokenizer.special_ids

    def _find_phrase(self, new: int) -> int | None:
        """The index of the token that the first banned phrase begins in, which ends in the last `new` characters."""
        found: list[int] = []
        for phrase in self._phrases:
            start = max(self._allowed, len(self.text) - new - len(phrase) + 1)
            here = re.search(re.escape(phrase), self.text[start:], re.IGNORECASE)
            if here:
                found.append(start + here.start())
        if not found:
            return None
        end, count = self._released, len(self.ids) - len(self._held)
        for record in self._held:
            end += len(record.text)
            if end > min(found):
                break
            count += 1
        return count

    def _look_for_stop(self, new: int) -> None:
        for stop in self._stops:
            at = self.text.find(stop, max(0, len(self.text) - new - len(stop) + 1))
            if at >= 0:
                self._cut(at)
                self.stopped = True
                return

    def _cut(self, at: int) -> None:
        """Drop the text from character `at` on, and the records that lie wholly behind it."""
        end = len(self.text)
        while self._held:
            record = self._held[-1]
            begin = end - len(record.text)
            if begin < at or (begin == at and not record.text):
                self._held[-1] = dataclasses.replace(record, text=record.text[: at - begin])
                break
            self._held.pop()
            end = begin
        self.text = self.text[:at]

    def _withheld(self) -> int:
        """How many last characters might begin a stop string or a banned phrase."""
        longest = 0
        if self.stopped:
            return 0
        for stop in self._stops:
            for size in range(min(len(stop) - 1, len(self.text)), longest, -1):
                if self.text.endswith(stop[:size]):
                    longest = size
                    break
        for phrase in self._phrases:
            for size in range(min(len(phrase) - 1, len(self.text) - self._allowed), longest, -1):
                if re.fullmatch(re.escape(phrase[:size]), self.text[-size:], re.IGNORECASE):
                    longest = size
                    break
        return longest


def _record(
    token: int,
    position: int,
    text: str,
    logits: Tensor,
    candidates: Tensor,
    result: Trace,
    tokenizer: Tokenizer,
) -> TokenRecord:
    summary = _summary(logits.cpu().numpy(), token)
    order = torch.argsort(logits[candidates], descending=True, stable=True)
    shown = candidates[order]
    ids = shown.tolist()
    return TokenRecord(
        position=position,
        id=token,
        text=text,
        logprob=summary.logprob,
        rank=summary.rank,
        entropy=summary.entropy,
        lse=summary.lse,
        std=summary.std,
        candidate_ids=np.asarray(ids, np.int32),
        logits=logits[shown].cpu().numpy(),
        pieces=tuple(tokenizer.piece(i) for i in ids),
        after=result.probabilities(shown).cpu().numpy(),
        cut=result.cut[order.cpu()].numpy(),
        steps=result.steps,
    )


class _Summary(NamedTuple):
    logprob: float
    rank: int
    entropy: float
    lse: float
    std: float


def _summary(logits: Floats, token: int) -> _Summary:
    """What is said of a whole distribution [V]."""
    p, total = shares(logits[None])
    best, doubt = float(logits.max()), float(entropy(logits[None], p)[0, 0])
    return _Summary(
        logprob=float(logits[token]) - best - math.log(1 / float(p.max())),
        rank=int(np.count_nonzero(logits > logits[token])),
        entropy=max(0.0, doubt) if math.isfinite(doubt) else 0.0,
        lse=float(total[0, 0]),
        std=float(deviation(logits)) if logits.min() > -math.inf else math.nan,
    )


def top_ids(logits: Tensor, count: int) -> Tensor:
    """The ids of the count largest logits [V], int64, the largest first and equal ones by id."""
    values = logits.cpu().numpy()
    ids = best_places(values, count)
    return torch.from_numpy(ids[np.argsort(-values[ids], kind="stable")][:count])
