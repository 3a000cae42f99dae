"""What a model will be held in and how much memory its weights will take, before one of them is read.

It is the plan that loading follows, for the processor; what a rounding loses is known only afterwards.
"""

from __future__ import annotations

import torch

from engine.loading.checkpoint import checkpoint
from engine.loading.loader import matched
from engine.loading.precision import beside, choose
from engine.messages import Held
from engine.models import family
from engine.models.reader import Reader
from engine.quantize import BITS, DTYPES, schemes
from engine.quantize.blocks import BITS as BLOCKS

WITH_ZEROS = ("Q4_1", "Q4_K")


def planned(path: str, wanted: str) -> tuple[str, int, tuple[Held, ...]]:
    """The precision that a wanted one comes to here, the bytes of all weights, and the matrices that are alike.

    Raises as loading does for what cannot be run.
    """
    found = checkpoint(path)
    reader = Reader(found.config, found.source)
    module = family(reader.take("model_type", str))
    config = module.Config.read(reader)
    weights = found.weights()
    precision = choose(wanted, weights, "cpu").name
    with torch.device("meta"):
        model = module.Model(config)
    names = matched(model, weights, found)
    vocabularies = {config.vocabulary, getattr(config, "source_vocabulary", config.vocabulary)}
    plan = schemes(model, precision, vocabularies) if precision in BITS else {}
    plain = beside(precision, "cpu")
    tied = {name for name, other in model.optional.items() if other and name not in names.values()}
    kinds = {name: weights.entries[tensor].precision for tensor, name in names.items()}
    total, alike = 0, dict[tuple[str, str], list[tuple[int, int]]]()
    for name, parameter in model.named_parameters():
        if name in tied:
            continue
        scheme, kind, count = plan.get(name), kinds.get(name, ""), parameter.numel()
        form, nbytes = plain, count * DTYPES[plain].itemsize
        if plain == "fp16" and name.endswith(model.exact):
            nbytes = 4 * count
        if scheme is not None and scheme.bits:
            rows, columns = parameter.shape[:: -1 if scheme.transposed else 1]
            bits, group, zeros = scheme.bits, scheme.group, scheme.bits == 4
            if BLOCKS.get(kind, 9) <= bits:
                bits, group, zeros = BLOCKS[kind], 32, kind in WITH_ZEROS
            form = f"{bits} bits in groups of {group}"
            # Packed, rows lie in tiles of 16.
            nbytes = -(-rows // 16) * 16 * -(-columns // group) * (group * bits // 8 + (4 if zeros else 2))
        total += nbytes
        if scheme is not None:
            alike.setdefault((form, scheme.why), []).append((count, nbytes))
    held = (
        Held(form, len(items), sum(count for count, _ in items), sum(nbytes for _, nbytes in items), why)
        for (form, why), items in alike.items()
    )
    return precision, total, tuple(sorted(held, key=lambda each: -each.nbytes))
