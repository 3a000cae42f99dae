"""Guidance: what the same model says after another prompt and the same answer, to be steered away from.

Source: Sanchez et al. 2023, Stay on topic with Classifier-Free Guidance. A second context is read token by token, so
every token costs a pass more; it is read once it is first needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from engine.decoding.contexts import Context
from engine.models.base import Decoder
from engine.params import CaptureParams

CHUNK = 128
"""Rows of a negative prompt read in one pass."""


class Guide:
    """The other prompt, for one answer. begin: who reads it and its ids, asked when it is first needed."""

    def __init__(self, begin: Callable[[], tuple[Decoder, list[int]]]) -> None:
        self._begin = begin
        self._context: Context | None = None
        self._prompt: list[int] = []

    def fits(self, answer: int) -> bool:
        """Whether the model can hold so many tokens of an answer behind the other prompt."""
        context = self._opened()
        return len(self._prompt) + answer <= context.model.config.context

    def logits(self, answer: Sequence[int], check: Callable[[], None]) -> Tensor:
        """Logits, float32 [V], of what follows the other prompt and these ids of the answer."""
        context = self._opened()
        ids = [*self._prompt, *answer]
        rest = ids[context.keep(ids) :]
        for start in range(0, len(rest), CHUNK):
            logits = context.feed(rest[start : start + CHUNK], check)
        return logits

    def _opened(self) -> Context:
        if self._context is None:
            model, self._prompt = self._begin()
            self._context = Context.fresh(model, CaptureParams(candidates=0))
        return self._context
