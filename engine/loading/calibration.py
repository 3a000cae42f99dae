"""Scales chosen by what a text drives: the inputs of every matrix are measured in full numbers, then it is quantised.

What an input loses counts by its mean square over the text. The result is kept like any other, so the text is read
once; the model is in memory first in full and then in groups, never in both.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

import torch
from torch import Tensor, nn

from engine.errors import Cancelled, EngineError, InvalidValue
from engine.loading.checkpoint import checkpoint
from engine.loading.loader import LoadedModel, load
from engine.loading.placing import Phase
from engine.models.base import Decoder
from engine.params import LoadParams
from engine.text.tokenizer import Tokenizer

READING = "Reading the text"
MOST_TOKENS = 2**15
"""Of the text; more changes no scale that could be seen."""

FEWEST_TOKENS = 256


def calibrated(
    path: str, text: str, params: LoadParams, cancelled: Callable[[], bool] = lambda: False
) -> Generator[Phase, None, LoadedModel]:
    """Load a decoder in 4 bits whose scales a text has chosen; yields and raises as `load` does."""
    if params.precision != "int4":
        raise InvalidValue(f"A text chooses nothing in {params.precision}.", "Choose int4.")
    if not checkpoint(path).weights().keepable:
        raise EngineError("The model's file holds codes already.", "Take the model in full numbers.")
    ids = Tokenizer.load(path).encode(text)[:MOST_TOKENS]
    if len(ids) < FEWEST_TOKENS:
        raise InvalidValue(f"The text has {len(ids)} tokens, fewer than {FEWEST_TOKENS}.", "Give a longer one.")
    plain = yield from load(path, params.replace(device="cpu", precision="auto"), cancelled)
    if not isinstance(plain.model, Decoder):
        raise EngineError(f"{plain.name} is no model that continues a text.", "Choose a decoder.")
    importance = yield from importances(plain.model, ids, cancelled)
    del plain
    return (yield from load(path, params, cancelled, importance))


def importances(
    model: Decoder, ids: list[int], cancelled: Callable[[], bool] = lambda: False
) -> Generator[Phase, None, dict[str, Tensor]]:
    """The mean square of each input of every matrix while the ids are read: parameter -> float32 [inputs]."""
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def seen(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].detach().float().flatten(0, -2)
            sums[name] = sums.get(name, torch.zeros(x.shape[1])) + x.square().sum(0)
            counts[name] = counts.get(name, 0) + len(x)

        return seen

    multiplied = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) or getattr(module, "transposed", False)
    ]
    hooks = [module.register_forward_pre_hook(watch(f"{name}.weight")) for name, module in multiplied]
    try:
        for start in range(0, len(ids), model.config.context):
            if cancelled():
                raise Cancelled
            yield READING, start, len(ids)
            _read(model, ids[start : start + model.config.context])
    finally:
        for hook in hooks:
            hook.remove()
    return {name: total / counts[name] for name, total in sums.items()}


@torch.inference_mode()
def _read(model: Decoder, ids: list[int]) -> None:
    model(torch.tensor([ids]), last=True)
