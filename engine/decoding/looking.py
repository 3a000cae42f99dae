"""Reading a text again to see what each layer would say: the passes behind the logit lens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from engine.decoding.contexts import Context
from engine.decoding.loop import CHUNK, check_prompt
from engine.decoding.targets import Target
from engine.errors import InvalidValue
from engine.inside.lens import Lens as Watch
from engine.lanes import Job
from engine.messages import Lens, Progress
from engine.models.base import Decoder, Encoder, LanguageModel
from engine.params import CaptureParams
from engine.text.tokenizer import Tokenizer


def look_into(
    run: int, model: Decoder, tokenizer: Tokenizer, ids: Sequence[int], command: Lens, check: Callable[[], None]
) -> Job:
    """Yields Progress while it reads, and one LensRows. An encoder-decoder's layers are its decoder's."""
    check_prompt(ids, model)
    speaker = model.model if isinstance(model, Target) else model
    watch = Watch(list(speaker.blocks()), _first(command, len(ids)))
    context = Context.fresh(model, CaptureParams(candidates=0))
    context.prepare(len(ids))
    for begin in range(0, len(ids), CHUNK):
        if len(ids) > CHUNK:
            yield Progress(run, "Reading", begin, len(ids))
        with watch.watching(begin), _block_by_block(model):
            context.feed(ids[begin : begin + CHUNK], check)
    yield Progress(run, "Looking", 0, 0)
    yield watch.read(run, tuple(ids), speaker.head, tokenizer.piece, _best(command, speaker), check)
    return None


def look_into_encoder(
    run: int, model: Encoder, tokenizer: Tokenizer, ids: tuple[int, ...], command: Lens, check: Callable[[], None]
) -> Job:
    """The same for a model that fills masks: every position is asked what it would be filled with."""
    if model.config.use != "fill":
        raise InvalidValue("This encoder was not trained to name tokens.", "Choose one that fills masks.")
    if not ids:
        raise InvalidValue("The text is empty.", "Type something first.")
    watch = Watch(list(model.blocks()), _first(command, len(ids)))
    _pass(model, ids, watch, check)
    yield Progress(run, "Looking", 0, 0)
    yield watch.read(
        run, ids, lambda states: model.fill(model.end(states)), tokenizer.piece, _best(command, model), check
    )
    return None


@torch.inference_mode()
def _pass(model: Encoder, ids: tuple[int, ...], watch: Watch, check: Callable[[], None]) -> None:
    with watch.watching(0):
        model(torch.tensor([ids], device=next(model.parameters()).device), check=check)


@contextmanager
def _block_by_block(model: Decoder) -> Iterator[None]:
    """During this, no blocks run as one native call, into which nobody can look."""
    fused, model.fused = model.fused, None
    try:
        yield
    finally:
        model.fused = fused


def _first(command: Lens, length: int) -> int:
    if not 0 <= command.first < max(length, 1):
        raise InvalidValue(f"Position {command.first} is not in a text of {length} tokens.", "Positions start at 0.")
    return command.first


def _best(command: Lens, model: LanguageModel) -> int:
    return max(1, min(command.best, model.config.vocabulary))
