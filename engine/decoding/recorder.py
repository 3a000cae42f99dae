"""What has been written so far: token records and their text, held back while a stop string may be under way.

The texts of the records handed out, joined, are always the text handed out; a stop string cuts both at the same place.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from engine.messages import TokenRecord
from engine.sampling.chain import Trace
from engine.text.tokenizer import Detokenizer, Tokenizer


class Recorder:
    """Collects the tokens of one answer.

    context_ids: what stands before the answer, for the detokeniser's first space. stops: the stop strings.
    """

    def __init__(self, tokenizer: Tokenizer, context_ids: Sequence[int], stops: Sequence[str]) -> None:
        self.ids: list[int] = []
        self.text = ""
        self.stopped = False
        self._tokenizer = tokenizer
        self._detokenizer = Detokenizer(tokenizer, context_ids)
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
        self._look_for_stop(len(text))

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
        """How many last characters might begin a stop string."""
        longest = 0
        if self.stopped:
            return 0
        for stop in self._stops:
            for size in range(min(len(stop) - 1, len(self.text)), longest, -1):
                if self.text.endswith(stop[:size]):
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
    lse = torch.logsumexp(logits, 0)
    weights = torch.exp(logits - lse)
    finite = torch.where(weights > 0, logits, lse)
    entropy = lse - (weights * finite).sum()
    final = result.logits
    after = torch.exp(final[candidates] - torch.logsumexp(final, 0))
    order = torch.argsort(logits[candidates], descending=True, stable=True)
    chosen = logits[token]
    rank = (logits > chosen).sum()
    summary = torch.stack((chosen - lse, entropy, lse, logits.std(correction=0), rank.float())).tolist()
    ids = candidates[order].tolist()
    return TokenRecord(
        position=position,
        id=token,
        text=text,
        logprob=summary[0],
        rank=int(summary[4]),
        entropy=max(0.0, summary[1]) if math.isfinite(summary[1]) else 0.0,
        lse=summary[2],
        std=summary[3],
        candidate_ids=np.asarray(ids, np.int32),
        logits=logits[candidates][order].cpu().numpy(),
        pieces=tuple(tokenizer.piece(i) for i in ids),
        after=after[order].cpu().numpy(),
        cut=result.cut[order].to(torch.int8).cpu().numpy(),
        steps=result.steps,
    )
