"""How a weight is held in memory: today as plain numbers of one precision.

`place` is the door for more: loading hands it every tensor once, before the next is read, so a packed format can put
its own module where the Linear stands and never hold both. Neither a family nor loading knows which format it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

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
