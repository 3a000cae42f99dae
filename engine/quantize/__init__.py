"""How a weight is held in memory: as plain numbers of one precision, or in groups of few bits.

`place` and `put` are the doors: loading hands them every tensor once, before the next is read, so that a packed format
puts its own module where the Linear stands and both are never held. No family knows which format it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from engine.quantize.groups import Grouped
from engine.quantize.scheme import BITS, Scheme, schemes

if TYPE_CHECKING:
    from engine.quantize.packed import Packed

__all__ = ["BITS", "DTYPES", "Grouped", "Scheme", "nbytes", "place", "put", "put_on_gpu", "schemes", "tie"]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def place(model: nn.Module, name: str, tensor: Tensor, precision: str, device: str, owned: bool = False) -> None:
    """Put a checkpoint's tensor where the model, built on the meta device, has the parameter of that name.

    It is copied, because the file may be replaced later, into the layout that the model gave the parameter; unless it
    is owned: computed, and nobody else's.
    """
    owner = model.get_submodule(name.rpartition(".")[0])
    leaf = name.rpartition(".")[2]
    if owned:
        weight = tensor.to(device, DTYPES[precision])
    else:
        there = getattr(owner, leaf)  # empty_like of what is on the meta device would import sympy, for a second
        weight = torch.empty_strided(there.shape, there.stride(), dtype=DTYPES[precision], device=device).copy_(tensor)
    setattr(owner, leaf, nn.Parameter(weight, requires_grad=False))


def put(model: nn.Module, name: str, grouped: Grouped) -> None:
    """Put a matrix in groups where the model has the weight of that name: another layer then stands there."""
    from engine.quantize.packed import pack  # builds kernels: not for a model of plain numbers

    _stand_in(model, name, pack(grouped))


def put_on_gpu(model: nn.Module, name: str, weight: Tensor, precision: str, device: str) -> None:
    """The same on a GPU, where bitsandbytes quantises the matrix [N, K]; precision: nf4 or int8."""
    from engine.quantize.cuda import linear

    path = name.rpartition(".")[0]
    owner, _, attribute = path.rpartition(".")
    layer = linear(weight, getattr(model.get_submodule(path), "bias", None), precision, device)
    setattr(model.get_submodule(owner), attribute, layer)


def tie(model: nn.Module, name: str, other: str) -> None:
    """Let the parameter of that name be another one, which is in place already."""
    owner, _, leaf = other.rpartition(".")
    packed = getattr(model.get_submodule(owner), "packed", None)
    if packed is not None and leaf == "weight":
        _stand_in(model, name, packed)
    else:
        owner, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(owner), leaf, model.get_parameter(other))


def _stand_in(model: nn.Module, name: str, packed: Packed) -> None:
    from engine.quantize.linear import QuantEmbedding, QuantLinear

    path = name.rpartition(".")[0]
    module = model.get_submodule(path)
    is_table = isinstance(module, nn.Embedding)
    layer = QuantEmbedding(packed) if is_table else QuantLinear(packed, getattr(module, "bias", None))
    owner, _, attribute = path.rpartition(".")
    setattr(model.get_submodule(owner), attribute, layer)


def nbytes(model: nn.Module) -> int:
    """Bytes of all weights of a model, what is shared counted once."""
    packed = {id(item): item for item in (getattr(module, "packed", None) for module in model.modules())}
    return sum(weight.nbytes for weight in model.parameters()) + sum(item.nbytes for item in packed.values() if item)
