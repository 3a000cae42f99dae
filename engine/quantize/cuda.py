"""Layers of few bits for a GPU: bitsandbytes's NF4 with double quantisation, and its LLM.int8.

bitsandbytes is an extra, imported with the first such layer. Its layers take the checkpoint's weight whole, quantise it
on the way to the GPU and compute in bfloat16.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import EngineError

FORMS = {"nf4": "NF4 with double quantisation", "int8": "LLM.int8"}
OUTLIERS = 6.0
"""Inputs beyond this are multiplied in 16 bits. Source: LLM.int8 (Dettmers et al., 2022)."""


def linear(weight: Tensor, bias: nn.Parameter | None, precision: str, device: str) -> nn.Module:
    """A layer for weight [N, K] on that device; precision: nf4 or int8."""
    bnb = _library()
    N, K = weight.shape
    layer: Any
    with torch.device("meta"):
        if precision == "nf4":
            layer = bnb.nn.Linear4bit(K, N, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4")
        else:
            layer = bnb.nn.Linear8bitLt(K, N, bias=False, has_fp16_weights=False, threshold=OUTLIERS)
    if precision == "nf4":
        held = bnb.nn.Params4bit(
            weight.to(torch.bfloat16).contiguous(), requires_grad=False, quant_type="nf4", compress_statistics=True
        )
    else:
        held = bnb.nn.Int8Params(weight.half().contiguous(), requires_grad=False, has_fp16_weights=False)
    layer.weight = held.to(device)
    layer.bias = bias
    layer.form, layer.size = FORMS[precision], N * K
    result: nn.Module = layer
    return result


def _library() -> Any:
    try:
        import bitsandbytes
    except ImportError as error:
        raise EngineError(
            "NF4 and int8 on a GPU need bitsandbytes, which is not installed.",
            "Install it with pip install vitrine[cuda], or choose bf16.",
        ) from error
    return bitsandbytes
