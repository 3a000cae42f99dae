"""An encoder-decoder that has read its source, in a decoder's place: the same loop writes and scores its target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from engine.decoding.constraints import Rules
from engine.errors import InvalidValue
from engine.messages import Prompt
from engine.models.base import Cache, Decoder, Memory, Seq2Seq, Tap
from engine.text.tokenizer import Tokenizer


def source_of(prompt: Prompt, tokenizer: Tokenizer, most: int) -> tuple[list[int], str, Prompt]:
    """The ids that the encoder reads, their text, and what is left of the prompt for the target.

    Without a source, the prompt's text or ids are it, or its messages, joined as Blenderbot's tokenizer joins turns:
    the latest ids of them, `most` at most.
    """
    if prompt.source is not None:
        return tokenizer.encode(prompt.source), prompt.source, prompt
    if prompt.text is not None:
        return tokenizer.encode(prompt.text), prompt.text, replace(prompt, text=None)
    if prompt.ids is not None:
        return list(prompt.ids), tokenizer.decode(prompt.ids), replace(prompt, ids=None)
    if prompt.messages is None:
        raise InvalidValue("There is no source.", "Give a text for the model to read.")
    turns = [(" " if turn.role == "user" else "") + turn.content for turn in prompt.messages]
    joined = "  ".join(turns)
    return tokenizer.encode(joined)[-most:], joined, replace(prompt, messages=None)


class Target(Decoder):
    """Continues the target of one source, which is read when it is first needed.

    rules: what is done to the logits of what follows; None is nothing. memory: the source where it was read before.
    Raises InvalidValue for a source that is empty or holds unknown ids.
    """

    def __init__(
        self, model: Seq2Seq, source: Sequence[int], rules: Rules | None = None, memory: Memory | None = None
    ) -> None:
        super().__init__()
        if not source:
            raise InvalidValue("The source is empty.", "Type something first.")
        wrong = next((id for id in source if not 0 <= id < model.config.source_vocabulary), None)
        if wrong is not None:
            raise InvalidValue(
                f"The id {wrong} is not in this model's vocabulary.",
                f"Ids go from 0 to {model.config.source_vocabulary - 1}.",
            )
        self.config = model.config
        self.model = model
        self.source = tuple(source)
        self.rules = rules
        self._memory = memory
        self._ids: list[int] = []

    @torch.inference_mode()
    def read(self, check: Callable[[], None] | None = None, tap: Tap | None = None) -> Memory:
        """The source, read now if it was not; check is called between layers and may raise."""
        if self._memory is None:
            ids = torch.tensor([self.source], device=next(self.model.parameters()).device)
            self._memory = self.model.encode(ids, tap=tap, check=check)
        return self._memory

    def forward(
        self,
        ids: Tensor,
        cache: Cache | None = None,
        tap: Tap | None = None,
        check: Callable[[], None] | None = None,
        last: bool = False,
        reach: int = 0,
        padding: Tensor | None = None,
    ) -> Tensor:
        assert padding is None  # one target, of one source
        start = cache.length if cache is not None else 0
        logits = self.model.decode(ids, self.read(check, tap), cache, tap, check, last)
        self._ids = [*self._ids[:start], *ids[0].tolist()]
        if self.rules is not None:
            logits[0, -1] = self.rules(self._ids, logits[0, -1])
        return logits
