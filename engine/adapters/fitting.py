"""Which module of a model each pair of an adapter's matrices belongs to: names and shapes agree, or it is refused.

Names are mapped by the family's own `rename`, so that whatever it reads its weights by is known here too. Only a
model's outline is looked at: weights, and whether they are packed, are nobody's concern here.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from engine.adapters.files import AdapterFiles
from engine.adapters.matching import ranks_and_alphas, targeted
from engine.adapters.settings import AGAIN
from engine.errors import BadModelFiles
from engine.loading.safetensors import listed
from engine.models.base import LanguageModel

OTHER_MODEL = "Load the model that it was trained on."


@dataclass(frozen=True, slots=True)
class Place:
    """name: the pair's, in the file. module: where it belongs. scale: what B A is multiplied by."""

    name: str
    module: str
    scale: float


def linears(model: nn.Module) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of every Linear module by its name, whatever it is held in."""
    return {
        name: (int(module.in_features), int(module.out_features))
        for name, module in model.named_modules()
        if hasattr(module, "in_features") and hasattr(module, "out_features")
    }


def fit(files: AdapterFiles, model: LanguageModel, called: str) -> list[Place]:
    """A place for each pair of matrices; BadModelFiles says why the model, which is called so, cannot take them."""
    settings, sides = files.settings, linears(model)
    source = f"{settings.name}, trained on {settings.base}," if settings.base else settings.name
    modules = {name: (model.rename(f"{name}.weight") or "").removesuffix(".weight") for name in files.pairs}
    strange = [name for name, module in modules.items() if module not in sides]
    if strange:
        raise BadModelFiles(f"{source} changes {listed(strange)}, which {called} does not have.", OTHER_MODEL)
    if len({*modules.values()}) < len(modules):
        raise BadModelFiles(f"{settings.name} holds two pairs of matrices for one module of {called}.", AGAIN)
    for name, pair in files.pairs.items():
        theirs, ours = (pair.B[0], pair.A[1]), sides[modules[name]][::-1]
        if theirs != ours:
            raise BadModelFiles(
                f"{source} changes {name} of {theirs[0]} × {theirs[1]}, but {called}'s is {ours[0]} × {ours[1]}.",
                OTHER_MODEL,
            )
    meant = targeted(settings, {*modules, *sides})
    unasked = [name for name in modules if name not in meant]
    if unasked:
        raise BadModelFiles(
            f"{settings.name} holds matrices for {listed(unasked)}, which its settings do not target.", AGAIN
        )
    lacking = sorted(filter(_certain, meant - modules.keys() - {*modules.values()}))
    if lacking:
        raise BadModelFiles(
            f"{source} targets {called}'s {listed(lacking)} too, but holds nothing for it.", OTHER_MODEL
        )
    places = []
    for name, (rank, alpha) in ranks_and_alphas(settings, list(modules)).items():
        found = files.pairs[name].A[0]
        if found != rank:
            raise BadModelFiles(
                f"{settings.source} gives {name} the rank {rank}, but its matrices have the rank {found}.", AGAIN
            )
        places.append(Place(name, modules[name], settings.scale(rank, alpha)))
    return places


def _certain(name: str) -> bool:
    """Whether a module of ours was one where the adapter was trained: heads may differ, experts be no modules there."""
    parts = name.split(".")
    return "experts" not in parts and any(part.isdecimal() for part in parts)
