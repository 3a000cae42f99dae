"""Reading a text again to see what each layer would say: the passes behind the logit lens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

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
    # One row alone may run through all blocks at once, where nobody can look in, so it is read with those before it.
    borders = [*range(0, max(1, len(ids) - 1), CHUNK), len(ids)]
    for begin, end in pairwise(borders):
        if len(ids) > CHUNK:
            yield Progress(run, "Reading", begin, len(ids))
        with watch.watching(begin):
            if len(ids) > 1:
                context.feed(ids[begin:end], check)
            else:
                _alone(model, ids[0], context, check)
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


@torch.inference_mode()
def _alone(model: Decoder, id: int, context: Context, check: Callable[[], None]) -> None:
    model(torch.tensor([[id]], device=context.cache.device), check=check, last=True)


def _first(command: Lens, length: int) -> int:
    if not 0 <= command.first < max(length, 1):
        raise InvalidValue(f"Position {command.first} is not in a text of {length} tokens.", "Positions start at 0.")
    return command.first


def _best(command: Lens, model: LanguageModel) -> int:
    return max(1, min(command.best, model.config.vocabulary))
